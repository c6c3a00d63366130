// The transform of a tile's elements (FORMAT.md, "The coded tile"), written once for CPU, GPU and compiler.
//
// `Bytes` is some number of bytes that are worked on at once: Bytes4 in a GPU's lane, a vector register in
// cpu/. It has splat, &, |, + and - (each byte by itself), smaller (unsigned), shifted_left<n> and
// shifted_right<n>. Values; constexpr; no errors; nothing here reads memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/host_device.h"
#include "compression/tile_shape.h"

namespace weft::compression {

// Sixteen bits into the byte that stays as it is and the high byte, and back. A 32-bit element is rotated as
// a whole; its high half then goes through here unrotated.
struct SplitHalf {
  std::uint8_t raw, high;
};
template <bool kRotated>
WEFT_HOST_DEVICE constexpr SplitHalf split_half(std::uint16_t bits) {
  const auto turned = kRotated ? static_cast<std::uint16_t>(bits << 1 | bits >> 15) : bits;
  return {static_cast<std::uint8_t>(turned & 0xff), static_cast<std::uint8_t>(turned >> 8)};
}
template <bool kRotated>
WEFT_HOST_DEVICE constexpr std::uint16_t join_half(SplitHalf parts) {
  const auto turned = static_cast<std::uint16_t>(parts.high << 8 | parts.raw);
  return kRotated ? static_cast<std::uint16_t>(turned >> 1 | turned << 15) : turned;
}

// High bytes into symbols. `base` is the window's first field value, already moved to the field's place. A
// field below the window wraps around to something larger than code 7, which is why a base must not exceed
// max_base().
template <TileShape kShape, typename Bytes>
WEFT_HOST_DEVICE constexpr Bytes to_symbols(Bytes high, Bytes base) {
  constexpr std::uint8_t kUpper =
      static_cast<std::uint8_t>(0xffu << (kShape.field_bits + kShape.field_shift));
  constexpr std::uint8_t kLower = static_cast<std::uint8_t>((1u << kShape.field_shift) - 1u);
  Bytes symbols =
      smaller((high & Bytes::splat(kShape.field_mask())) - base, Bytes::splat(kShape.code_mask()));
  if constexpr (kUpper != 0)
    symbols = symbols | (high & Bytes::splat(kUpper)).template shifted_right<kShape.field_bits - 3u>();
  if constexpr (kLower != 0) symbols = symbols | (high & Bytes::splat(kLower));
  return symbols;
}

// And back. The field of an escape (code 7) is left wrong: the caller puts it in.
template <TileShape kShape, typename Bytes>
WEFT_HOST_DEVICE constexpr Bytes from_symbols(Bytes symbols, Bytes base) {
  constexpr std::uint8_t kUpper = static_cast<std::uint8_t>(0xffu << (3u + kShape.field_shift));
  constexpr std::uint8_t kLower = static_cast<std::uint8_t>((1u << kShape.field_shift) - 1u);
  Bytes high = ((symbols & Bytes::splat(kShape.code_mask())) + base) & Bytes::splat(kShape.field_mask());
  if constexpr (kShape.field_bits + kShape.field_shift < 8u)
    high = high | (symbols & Bytes::splat(kUpper)).template shifted_left<kShape.field_bits - 3u>();
  if constexpr (kLower != 0) high = high | (symbols & Bytes::splat(kLower));
  return high;
}

// The eight rows' symbols of some columns into bytes of the planes, and back: column j is the number
// sum over rows k of symbol[k][j] << (kBits * k), and plane p holds its bits 8p to 8p + 7.
template <unsigned kBits, unsigned kRow, unsigned kPlane, typename Bytes>
WEFT_HOST_DEVICE constexpr void add_to_plane(Bytes symbols, Bytes& plane) {
  constexpr unsigned kFrom = kBits * kRow, kTo = 8u * kPlane;
  if constexpr (kFrom + kBits > kTo && kFrom < kTo + 8u) {
    if constexpr (kFrom >= kTo) {
      plane = plane | symbols.template shifted_left<kFrom - kTo>();
    } else {
      plane = plane | symbols.template shifted_right<kTo - kFrom>();
    }
  }
}
template <unsigned kBits, unsigned kRow, unsigned kPlane = 0, typename Bytes>
WEFT_HOST_DEVICE constexpr void add_to_planes(Bytes symbols, Bytes (&planes)[kBits]) {
  if constexpr (kPlane < kBits) {
    add_to_plane<kBits, kRow, kPlane>(symbols, planes[kPlane]);
    add_to_planes<kBits, kRow, kPlane + 1>(symbols, planes);
  }
}

template <unsigned kBits, unsigned kRow, typename Bytes>
WEFT_HOST_DEVICE constexpr Bytes row_of_planes(const Bytes (&planes)[kBits]) {
  constexpr unsigned kFrom = kBits * kRow, kPlane = kFrom / 8u, kShift = kFrom % 8u;
  Bytes symbols = planes[kPlane];
  if constexpr (kShift != 0) symbols = symbols.template shifted_right<kShift>();
  if constexpr (kShift + kBits > 8u)
    symbols = symbols | planes[kPlane + 1].template shifted_left<8u - kShift>();
  return symbols & Bytes::splat(static_cast<std::uint8_t>((1u << kBits) - 1u));
}

// The window's base where the largest field is `largest`. Level dense may go one lower, if that saves
// escapes.
WEFT_HOST_DEVICE constexpr unsigned highest_base(unsigned largest) {
  return largest >= kWindow ? largest - (kWindow - 1u) : 0u;
}

}  // namespace weft::compression
