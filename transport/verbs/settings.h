// What of Config the verbs backend acts on, in its own terms. Values; any thread.
#pragma once

#include <cstdint>
#include <optional>

#include "transport/verbs/port_discovery.h"
#include "weft/config.h"

namespace weft::verbs {

// The ports that the user wants. An error only for a Config that validate() would refuse.
Result<PortWish> port_wish(const Config& config);

// What the attributes of a queue pair take from the user.
struct QueuePairSettings {
  std::uint8_t traffic_class = 0;
  std::uint8_t service_level = 0;
  std::uint8_t timeout = 14;  // 4.096 us * 2^timeout
  std::uint8_t retry_count = 3;
};
QueuePairSettings queue_pair_settings(const Config& config);

// As the network's controller of MRC has numbered them; none: the device's default.
struct MrcProfiles {
  std::optional<std::uint64_t> ways;
  std::optional<std::uint64_t> congestion;
};
MrcProfiles mrc_profiles(const Config& config);

}  // namespace weft::verbs
