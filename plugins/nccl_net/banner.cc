#include "plugins/nccl_net/banner.h"

#include <sstream>

#include "plugins/nccl_net/device_properties.h"
#include "weft/version.h"

namespace weft::nccl_net {
namespace {

const char* kinds_of(const DeviceMemorySupport& memory) {
  if (!memory.any()) return "host memory";
  if (!memory.dmabuf) return "host and GPU memory (peer memory)";
  return memory.peer_memory ? "host and GPU memory (dmabuf, peer memory)" : "host and GPU memory (dmabuf)";
}

// Per connection the peer has its say too: statistics tell what came of it.
const char* compression_of(const Config& config) {
  switch (config.compression) {
    case CompressionChoice::kAuto:
      return "auto (over TCP)";
    case CompressionChoice::kOff:
      return "off";
    case CompressionChoice::kFast:
      return "fast (over TCP)";
    case CompressionChoice::kDense:
      return "dense (over TCP)";
    case CompressionChoice::kArchive:
      return "archive (over TCP)";
  }
  return "";
}

}  // namespace

std::string banner(int abi_version, const Config& config, const std::vector<Device>& planes,
                   const std::string& transport, const DeviceMemorySupport& memory) {
  std::ostringstream text;
  text << "Weft " WEFT_VERSION_STRING ", net plugin ABI v" << abi_version << ", " << planes.size()
       << (planes.size() == 1 ? " plane:" : " planes:");
  const char* separator = " ";
  for (const Device& plane : planes) {
    text << separator << plane.name << ' ' << plane.address << " (" << plane.speed_mbps << " Mb/s)";
    separator = ", ";
  }
  text << "; " << (config.paths_per_plane == 0 ? "4" : std::to_string(config.paths_per_plane))
       << " paths per pair of interfaces" << (config.paths_per_plane == 0 ? " (1 within a host)" : "")
       << ", at most " << config.max_paths << " a connection; at most " << nccl::kMaxRequests
       << " requests x " << kMaxGroupedReceives << " receives a connection; a peer silent for "
       << config.peer_timeout.count() << " ms is lost; " << kinds_of(memory) << " over " << transport
       << "; compression " << compression_of(config) << "; shared secret "
       << (config.secret.empty() ? "off" : "on");
  if (!config.stats_file.empty()) text << "; counters in " << config.stats_file;
  return text.str();
}

}  // namespace weft::nccl_net
