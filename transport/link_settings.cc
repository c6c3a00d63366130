#include "transport/link_settings.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "compression/slot_format.h"

namespace weft {
namespace {

// Enough for a network that spreads connections over several ways (ECMP), few enough to keep alive.
constexpr int kPathsPerPlane = 4;

std::vector<multipath::PlaneId> deal_planes(std::size_t paths, std::size_t planes) {
  std::vector<multipath::PlaneId> dealt;
  std::size_t per_plane = std::max<std::size_t>(1, paths / std::max<std::size_t>(1, planes));
  for (std::size_t i = 0; i < paths; ++i) dealt.push_back(static_cast<multipath::PlaneId>(i / per_plane));
  return dealt;
}

}  // namespace

PathPlan plan_paths(const Config& config, std::size_t usable_planes, bool one_is_enough) {
  PathPlan plan;
  const auto max_paths = static_cast<std::size_t>(config.max_paths);
  plan.planes = std::min(usable_planes, max_paths);
  const int automatic = one_is_enough ? 1 : kPathsPerPlane;
  const int wanted = config.paths_per_plane == 0 ? automatic : config.paths_per_plane;
  if (plan.planes > 0) plan.per_plane = std::min(static_cast<std::size_t>(wanted), max_paths / plan.planes);
  return plan;
}

tcp::LinkParameters offered_parameters(const Config& config) {
  tcp::LinkParameters offered;
  offered.chunk_limit_bytes = static_cast<std::uint32_t>(std::bit_floor(config.chunk_bytes));
  offered.payload_checksum = config.payload_checksum;
  return offered;
}

tcp::LinkParameters agreed_parameters(const Config& config, const tcp::LinkParameters& offered) {
  tcp::LinkParameters agreed;
  agreed.chunk_limit_bytes =
      std::min(offered.chunk_limit_bytes, static_cast<std::uint32_t>(config.chunk_bytes));
  agreed.payload_checksum = offered.payload_checksum || config.payload_checksum;
  return agreed;
}

LinkSettings link_settings(const Config& config, const tcp::LinkParameters& agreed, bool connects,
                           std::size_t paths, std::size_t planes) {
  LinkSettings settings;
  settings.endpoint.path_planes = deal_planes(paths, planes);
  settings.endpoint.connects = connects;
  settings.endpoint.chunk_bytes = std::bit_floor(std::size_t{agreed.chunk_limit_bytes});
  settings.endpoint.peer_timeout = config.peer_timeout;
  settings.endpoint.path_timeout = config.path_timeout;
  // An acknowledgement waits here behind what the peer has given to the same stream, and in the queues of the
  // kernels and the network, which TCP fills by design. Less than this starves planes whose both directions
  // are busy; more delays whatever has to be said about a failed path (docs/transport.md has the
  // measurements).
  settings.endpoint.window_slack = std::chrono::milliseconds(16);
  settings.terms.payload_checksum = agreed.payload_checksum;
  settings.terms.peer_timeout = config.peer_timeout;
  return settings;
}

void offer_coding(const Config& config, std::vector<tcp::HandshakeOption>& options) {
  if (config.compression == CompressionChoice::kOff) return;
  options.push_back({kCodingOption, {static_cast<std::byte>(compression::kSlotVersion)}});
}

std::optional<std::uint8_t> offered_coding(const std::vector<tcp::HandshakeOption>& peers_options) {
  for (const tcp::HandshakeOption& option : peers_options) {
    if (option.type == kCodingOption && option.value.size() == 1)
      return std::to_integer<std::uint8_t>(option.value[0]);
  }
  return std::nullopt;
}

tcp::CodingTerms coding_terms(const Config& config, const LinkSettings& settings,
                              std::optional<std::uint8_t> peers_version) {
  const bool agreed =
      config.compression != CompressionChoice::kOff && peers_version == compression::kSlotVersion;
  return {config.compression, agreed, settings.endpoint.chunk_bytes, peers_version};
}

}  // namespace weft
