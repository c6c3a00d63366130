#include <zstd.h>

#include "bench/compression/yardsticks.h"

namespace weft::bench {

Yardstick zstd_yardstick() {
  return {"zstd -1", ZSTD_compressBound,
          [](std::span<const std::byte> payload, std::span<std::byte> coded) {
            return ZSTD_compress(coded.data(), coded.size(), payload.data(), payload.size(), 1);
          },
          [](std::span<const std::byte> coded, std::span<std::byte> payload) {
            (void)ZSTD_decompress(payload.data(), payload.size(), coded.data(), coded.size());
          }};
}

}  // namespace weft::bench
