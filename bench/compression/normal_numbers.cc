#include "bench/compression/normal_numbers.h"

#include <cstdint>
#include <cstring>
#include <random>

#include "compression/half_floats.h"

namespace weft::bench {

using namespace compression;

std::vector<std::byte> normal_numbers(ElementType type, std::size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<std::byte> result(bytes);
  const std::size_t size = element_bytes(type);
  for (std::size_t at = 0; at + size <= bytes; at += size) {
    const float value = normal(random);
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if (type == ElementType::kBfloat16) bits = to_bfloat16(value).bits;
    if (type == ElementType::kFloat16) bits = to_float16(value).bits;
    if (type == ElementType::kFloat8E5M2) bits = to_float16(value * 64).bits >> 8;
    if (type == ElementType::kFloat8E4M3)
      bits = (to_float16(value * 64).bits >> 8 & 0x80u) | (to_float16(value * 64 / 256).bits >> 7 & 0x7fu);
    std::memcpy(&result[at], &bits, size);
  }
  return result;
}

}  // namespace weft::bench
