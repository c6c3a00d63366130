#include "transport/verbs/peer_memory.h"

#include <algorithm>
#include <array>
#include <filesystem>

namespace weft::verbs {

bool has_peer_memory(const std::string& sys) {
  constexpr std::array kSigns = {"/module/nvidia_peermem", "/module/nv_peer_mem",
                                 "/kernel/mm/memory_peers/nv_mem", "/kernel/mm/memory_peers/nv_mem_nc",
                                 "/kernel/mm/memory_peers/amdkfd"};
  return std::any_of(kSigns.begin(), kSigns.end(), [&](const char* sign) {
    std::error_code ignored;
    return std::filesystem::is_directory(sys + sign, ignored);
  });
}

}  // namespace weft::verbs
