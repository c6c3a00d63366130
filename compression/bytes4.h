// Four bytes in a 32-bit word, as one lane of a GPU holds them; the plainest model of the "Bytes" that
// tile_transform.h works on. cpu/ has wider ones.
//
// Values; constexpr; no errors.
#pragma once

#include <cstdint>

#include "compression/host_device.h"

namespace weft::compression {

struct Bytes4 {
  std::uint32_t word;

  WEFT_HOST_DEVICE static constexpr Bytes4 splat(std::uint8_t byte) { return {byte * 0x01010101u}; }
  WEFT_HOST_DEVICE friend constexpr Bytes4 operator&(Bytes4 a, Bytes4 b) { return {a.word & b.word}; }
  WEFT_HOST_DEVICE friend constexpr Bytes4 operator|(Bytes4 a, Bytes4 b) { return {a.word | b.word}; }
  // Each byte by itself, without carry into the next.
  WEFT_HOST_DEVICE friend constexpr Bytes4 operator+(Bytes4 a, Bytes4 b) {
    return {((a.word & 0x7f7f7f7fu) + (b.word & 0x7f7f7f7fu)) ^ ((a.word ^ b.word) & 0x80808080u)};
  }
  WEFT_HOST_DEVICE friend constexpr Bytes4 operator-(Bytes4 a, Bytes4 b) {
    return {((a.word | 0x80808080u) - (b.word & 0x7f7f7f7fu)) ^ ((a.word ^ ~b.word) & 0x80808080u)};
  }
  WEFT_HOST_DEVICE friend constexpr Bytes4 smaller(Bytes4 a, Bytes4 b) {
    // The top bit of each byte says whether a < b, unsigned: the borrow of a - b.
    const std::uint32_t borrow = ((~a.word & b.word) | (~(a.word ^ b.word) & (a - b).word)) & 0x80808080u;
    const std::uint32_t mask = (borrow >> 7) * 0xffu;
    return {(a.word & mask) | (b.word & ~mask)};
  }
  template <unsigned kBits>
  WEFT_HOST_DEVICE constexpr Bytes4 shifted_left() const {
    return {(word << kBits) & (0x01010101u * (0xffu << kBits & 0xffu))};
  }
  template <unsigned kBits>
  WEFT_HOST_DEVICE constexpr Bytes4 shifted_right() const {
    return {(word >> kBits) & (0x01010101u * (0xffu >> kBits))};
  }
};

}  // namespace weft::compression
