#include "plugins/nccl_net/device_properties.h"

#include <cctype>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

namespace weft::nccl_net {
namespace {

// dddd:bb:dd.f
bool is_pci_address(std::string_view text) {
  if (text.size() != 12 || text[4] != ':' || text[7] != ':' || text[10] != '.') return false;
  for (std::size_t i : {0, 1, 2, 3, 5, 6, 8, 9, 11}) {
    if (!std::isxdigit(static_cast<unsigned char>(text[i]))) return false;
  }
  return true;
}

// NCCL takes the last component as the PCI address; under a virtio NIC's address there is one more.
std::string up_to_pci_address(std::string path) {
  while (!path.empty()) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return {};
    if (is_pci_address(std::string_view(path).substr(slash + 1))) return path;
    path.resize(slash);
  }
  return {};
}

const char* keep_for_ever(const std::string& text) {
  static std::mutex mutex;
  static auto& kept = *new std::set<std::string>();
  std::lock_guard lock(mutex);
  return kept.insert(text).first->c_str();
}

}  // namespace

DeviceProperties describe_device(const std::vector<Device>& planes, const DeviceMemorySupport& memory) {
  DeviceProperties result;
  if (memory.peer_memory) result.ptr_support |= nccl::kPtrCuda;
  if (memory.dmabuf) result.ptr_support |= nccl::kPtrDmaBuf;
  result.guid = 0x77656674;  // "weft"
  std::set<std::string_view> counted;
  for (const Device& plane : planes) {
    // An interface with two addresses is two planes but has only one wire.
    if (counted.insert(plane.name).second) result.speed_mbps += plane.speed_mbps;
    if (result.pci_path != nullptr) continue;
    if (std::string path = up_to_pci_address(plane.pci_path); !path.empty()) {
      result.pci_path = keep_for_ever(path);
    }
  }
  return result;
}

}  // namespace weft::nccl_net
