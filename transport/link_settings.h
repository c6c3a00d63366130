// How Config becomes the settings of the parts of a link that act by it. Values in, values out; any thread.
// tests/engine/config_reach_test.cc holds that no field of Config is lost on the way.
#pragma once

#include <chrono>
#include <cstddef>

#include "transport/multipath/endpoint.h"
#include "transport/tcp/handshake_message.h"
#include "weft/config.h"

namespace weft {

// Over how many planes a new connection runs, and by how many paths over each.
struct PathPlan {
  std::size_t planes = 0;
  std::size_t per_plane = 0;
};
PathPlan plan_paths(const Config& config, std::size_t usable_planes, bool one_is_enough);

// What the connecting end asks for, and what the accepting one makes of that.
tcp::LinkParameters offered_parameters(const Config& config);
tcp::LinkParameters agreed_parameters(const Config& config, const tcp::LinkParameters& offered);

// Of one end of a link.
struct LinkSettings {
  multipath::EndpointConfig endpoint;
  // The backend's.
  bool payload_checksum = false;
  std::chrono::milliseconds peer_timeout{};
};
LinkSettings link_settings(const Config& config, const tcp::LinkParameters& agreed, bool connects,
                           std::size_t paths, std::size_t planes);

}  // namespace weft
