#include "transport/verbs/settings.h"

namespace weft::verbs {

Result<PortWish> port_wish(const Config& config) {
  const auto filter = engine::HcaFilter::parse(config.rdma.devices);
  if (!filter) return filter.status();
  PortWish wish{*filter, config.address_family, {}};
  if (config.rdma.gid_index >= 0) wish.gid_index = config.rdma.gid_index;
  return wish;
}

QueuePairSettings queue_pair_settings(const Config& config) {
  return {static_cast<std::uint8_t>(config.rdma.traffic_class),
          static_cast<std::uint8_t>(config.rdma.service_level),
          static_cast<std::uint8_t>(config.rdma.timeout), static_cast<std::uint8_t>(config.rdma.retry_count)};
}

}  // namespace weft::verbs
