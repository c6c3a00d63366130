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

MrcProfiles mrc_profiles(const Config& config) {
  const auto number = [](std::int64_t profile) -> std::optional<std::uint64_t> {
    if (profile < 0) return std::nullopt;
    return static_cast<std::uint64_t>(profile);
  };
  return {number(config.rdma.mrc_ev_profile), number(config.rdma.mrc_cc_profile)};
}

}  // namespace weft::verbs
