#include <lz4.h>

#include "bench/compression/yardsticks.h"

namespace weft::bench {

bool add_lz4(std::vector<Yardstick>& to) {
  to.push_back(
      {"lz4",
       [](std::size_t bytes) { return static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(bytes))); },
       [](std::span<const std::byte> payload, std::span<std::byte> coded) {
         return static_cast<std::size_t>(LZ4_compress_default(
             reinterpret_cast<const char*>(payload.data()), reinterpret_cast<char*>(coded.data()),
             static_cast<int>(payload.size()), static_cast<int>(coded.size())));
       },
       [](std::span<const std::byte> coded, std::span<std::byte> payload) {
         (void)LZ4_decompress_safe(reinterpret_cast<const char*>(coded.data()),
                                   reinterpret_cast<char*>(payload.data()), static_cast<int>(coded.size()),
                                   static_cast<int>(payload.size()));
       }});
  return true;
}

}  // namespace weft::bench
