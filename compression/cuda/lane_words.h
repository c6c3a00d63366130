// What a lane does with 32-bit words in one or two instructions, and the same in plain C++ where the compiler
// proves it and where lanes run on the host.
//
// Values; any thread; no errors.
#pragma once

#include <cstdint>

#include "compression/host_device.h"

namespace weft::compression::cuda {

// Four of the eight bytes of `low` (0 to 3) and `high` (4 to 7): nibble i of the selector names byte i of the
// result.
WEFT_HOST_DEVICE constexpr std::uint32_t permuted(std::uint32_t low, std::uint32_t high,
                                                  std::uint32_t selector) {
#if defined(__CUDA_ARCH__)
  return __byte_perm(low, high, selector);
#else
  std::uint32_t result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned byte = selector >> (4 * i) & 7u;
    result |= ((byte < 4 ? low : high) >> (8 * (byte & 3u)) & 0xffu) << (8 * i);
  }
  return result;
#endif
}

// 0xff in each byte whose top bit is set, 0 elsewhere.
WEFT_HOST_DEVICE constexpr std::uint32_t spread_top_bits(std::uint32_t word) {
#if defined(__CUDA_ARCH__)
  std::uint32_t spread;
  asm("prmt.b32 %0, %1, 0, 0xba98;" : "=r"(spread) : "r"(word));
  return spread;
#else
  return (word >> 7 & 0x01010101u) * 0xffu;
#endif
}

// sum + the four bytes of `bytes`.
WEFT_HOST_DEVICE constexpr std::uint32_t add_bytes(std::uint32_t bytes, std::uint32_t sum) {
#if defined(__CUDA_ARCH__)
  return __dp4a(bytes, 0x01010101u, sum);
#else
  return sum + (bytes & 0xff) + (bytes >> 8 & 0xff) + (bytes >> 16 & 0xff) + (bytes >> 24);
#endif
}

WEFT_HOST_DEVICE constexpr unsigned set_bits(std::uint32_t word) {
#if defined(__CUDA_ARCH__)
  return static_cast<unsigned>(__popc(word));
#else
  return static_cast<unsigned>(__builtin_popcount(word));
#endif
}

// Of a word that is not 0.
WEFT_HOST_DEVICE constexpr unsigned highest_bit(std::uint32_t word) {
#if defined(__CUDA_ARCH__)
  return 31u - static_cast<unsigned>(__clz(static_cast<int>(word)));
#else
  return 31u - static_cast<unsigned>(__builtin_clz(word));
#endif
}

// The larger of each 16 bits, unsigned.
WEFT_HOST_DEVICE constexpr std::uint32_t larger_halves(std::uint32_t a, std::uint32_t b) {
#if defined(__CUDA_ARCH__)
  return __vmaxu2(a, b);
#else
  const std::uint32_t low = (a & 0xffff) > (b & 0xffff) ? a & 0xffff : b & 0xffff;
  return (a >> 16 > b >> 16 ? a >> 16 : b >> 16) << 16 | low;
#endif
}

}  // namespace weft::compression::cuda
