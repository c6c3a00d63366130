// How Config becomes the settings of the parts of a link that act by it. Values in, values out; any thread.
// tests/engine/config_reach_test.cc holds that no field of Config is lost on the way.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "transport/multipath/endpoint.h"
#include "transport/tcp/handshake_message.h"
#include "transport/tcp/link_backend.h"
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

// Handshake option of TCP's paths, in HELLO and WELCOME: one byte, the version of coded slots
// (compression/FORMAT.md) that an end decodes and wants to send. Payloads may be coded where both ends say
// the same.
inline constexpr std::uint16_t kCodingOption = 5;
void offer_coding(const Config& config, std::vector<tcp::HandshakeOption>& options);
// The version that a peer offers; none: it wants nothing coded.
std::optional<std::uint8_t> offered_coding(const std::vector<tcp::HandshakeOption>& peers_options);

// Of one end of a link.
struct LinkSettings {
  multipath::EndpointConfig endpoint;
  tcp::LinkTerms terms;  // the backend's; without coding, which transports besides TCP do not have
};
LinkSettings link_settings(const Config& config, const tcp::LinkParameters& agreed, bool connects,
                           std::size_t paths, std::size_t planes);
tcp::CodingTerms coding_terms(const Config& config, const LinkSettings& settings,
                              std::optional<std::uint8_t> peers_version);

}  // namespace weft
