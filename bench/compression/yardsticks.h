// General compressors that the codecs are compared with.
//
// Any thread; errors do not happen to buffers of the sizes that are asked for.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace weft::bench {

struct Yardstick {
  std::string name;
  std::size_t (*max_bytes)(std::size_t payload_bytes);
  // Returns the coded bytes.
  std::size_t (*pack)(std::span<const std::byte> payload, std::span<std::byte> coded);
  void (*unpack)(std::span<const std::byte> coded, std::span<std::byte> payload);
};

Yardstick zstd_yardstick();
// Appends LZ4; false in builds that do not have it.
bool add_lz4(std::vector<Yardstick>& to);

}  // namespace weft::bench
