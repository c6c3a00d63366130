// One lane's share of a tile, and the transform of it (FORMAT.md, "The coded tile").
//
// A tile is 8 rows of 128 elements. A lane owns columns 4 * lane to 4 * lane + 3 of every row: one word of
// high bytes for each row, and one word of each plane. So a lane makes whole words of the slot from whole
// words of the payload, and a warp's accesses are contiguous.
//
// Values; any thread; no errors. Every array index is a constant once loops are unrolled: arrays are
// registers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "compression/bytes4.h"
#include "compression/cuda/device_function.h"
#include "compression/cuda/lane_words.h"
#include "compression/float8.h"
#include "compression/half_floats.h"
#include "compression/tile_transform.h"

namespace weft::compression::cuda {

inline constexpr unsigned kLanes = 32;  // of a warp
inline constexpr unsigned kRows = kTileRows;

// A type at a level that warps code, fast or dense; archive blocks stay with the CPU. `Element` is what
// element_arithmetic.h knows it as.
template <ElementType kElementType, Level kElementLevel>
struct Coding;
template <ElementType kElementType, Level kElementLevel, TileShape kTileShape, typename ElementOf>
struct CodingOf {
  static constexpr ElementType kType = kElementType;
  static constexpr Level kLevel = kElementLevel;
  static constexpr TileShape kShape = kTileShape;
  static constexpr unsigned kRowWords = kTileShape.element_bytes;  // of a lane, in a row of the payload
  using Element = ElementOf;
};
template <>
struct Coding<ElementType::kBfloat16, Level::kFast>
    : CodingOf<ElementType::kBfloat16, Level::kFast, kShapeBfloat16Fast, Bfloat16> {};
template <>
struct Coding<ElementType::kBfloat16, Level::kDense>
    : CodingOf<ElementType::kBfloat16, Level::kDense, kShapeBfloat16Dense, Bfloat16> {};
template <>
struct Coding<ElementType::kFloat16, Level::kFast>
    : CodingOf<ElementType::kFloat16, Level::kFast, kShapeFloat16Fast, Float16> {};
template <>
struct Coding<ElementType::kFloat16, Level::kDense>
    : CodingOf<ElementType::kFloat16, Level::kDense, kShapeFloat16Dense, Float16> {};
template <>
struct Coding<ElementType::kFloat32, Level::kFast>
    : CodingOf<ElementType::kFloat32, Level::kFast, kShapeFloat32Fast, float> {};
template <>
struct Coding<ElementType::kFloat32, Level::kDense>
    : CodingOf<ElementType::kFloat32, Level::kDense, kShapeFloat32Dense, float> {};
template <>
struct Coding<ElementType::kFloat8E4M3, Level::kFast>
    : CodingOf<ElementType::kFloat8E4M3, Level::kFast, kShapeE4M3Fast, Float8E4M3> {};
template <>
struct Coding<ElementType::kFloat8E4M3, Level::kDense>
    : CodingOf<ElementType::kFloat8E4M3, Level::kDense, kShapeE4M3Dense, Float8E4M3> {};
template <>
struct Coding<ElementType::kFloat8E5M2, Level::kFast>
    : CodingOf<ElementType::kFloat8E5M2, Level::kFast, kShapeE5M2Fast, Float8E5M2> {};
template <>
struct Coding<ElementType::kFloat8E5M2, Level::kDense>
    : CodingOf<ElementType::kFloat8E5M2, Level::kDense, kShapeE5M2Dense, Float8E5M2> {};

// std::integral_constant, for the GPU too.
template <unsigned kValue>
struct RowNumber {
  WEFT_HOST_DEVICE constexpr operator unsigned() const { return kValue; }
};
// Calls f with each row's number as a constant.
template <unsigned kRow = 0, typename F>
WEFT_DEVICE void each_row(const F& f) {
  if constexpr (kRow < kRows) {
    f(RowNumber<kRow>{});
    each_row<kRow + 1>(f);
  }
}

// Payload words: four elements of a row, as they lie in memory.
template <typename C>
struct LaneElements {
  std::uint32_t word[kRows][C::kRowWords];
};

// The next row comes first: for rolled loops, which have no row number that is a constant.
template <typename C>
WEFT_DEVICE void turn_rows(LaneElements<C>& elements) {
  WEFT_UNROLLED
  for (unsigned w = 0; w < C::kRowWords; ++w) {
    const std::uint32_t first = elements.word[0][w];
    WEFT_UNROLLED
    for (unsigned row = 0; row + 1 < kRows; ++row) elements.word[row][w] = elements.word[row + 1][w];
    elements.word[kRows - 1][w] = first;
  }
}

// The same for the elements of a row.
template <unsigned kWords>
WEFT_DEVICE void turn_words(std::uint32_t (&words)[kWords]) {
  const std::uint32_t first = words[0];
  WEFT_UNROLLED
  for (unsigned w = 0; w + 1 < kWords; ++w) words[w] = words[w + 1];
  words[kWords - 1] = first;
}
template <unsigned kWords>
WEFT_DEVICE void turn_halves(std::uint32_t (&words)[kWords]) {
  const std::uint32_t first = words[0];
  WEFT_UNROLLED
  for (unsigned w = 0; w < kWords; ++w)
    words[w] = words[w] >> 16 | (w + 1 < kWords ? words[w + 1] : first) << 16;
}

// Four elements' words into raw words (low halves before low bytes) and the word of high bytes.
template <TileShape kShape>
struct SplitRow {
  std::uint32_t raw[kShape.element_bytes == 1 ? 1 : kShape.element_bytes - 1];
  std::uint32_t high;
};

template <TileShape kShape>
WEFT_HOST_DEVICE constexpr SplitRow<kShape> split_row(const std::uint32_t (&words)[kShape.element_bytes]) {
  SplitRow<kShape> row{};
  if constexpr (kShape.element_bytes == 1) {
    row.high = words[0];
  } else if constexpr (kShape.element_bytes == 2 && !kShape.rotated) {
    row.raw[0] = permuted(words[0], words[1], 0x6420);
    row.high = permuted(words[0], words[1], 0x7531);
  } else if constexpr (kShape.element_bytes == 2) {
    // The high bytes of the elements shifted by one; the low bytes get the signs, bit 7 of the high bytes
    // before.
    const std::uint32_t low = permuted(words[0] << 1, words[1] << 1, 0x6420);
    const std::uint32_t signs = permuted(words[0], words[1], 0x7531);
    row.raw[0] = (low & 0xfefefefeu) | (signs >> 7 & 0x01010101u);
    row.high = permuted(words[0] << 1, words[1] << 1, 0x7531);
  } else {
    std::uint32_t turned[4]{};
    WEFT_UNROLLED
    for (unsigned i = 0; i < 4; ++i) turned[i] = kShape.rotated ? words[i] << 1 | words[i] >> 31 : words[i];
    row.raw[0] = permuted(turned[0], turned[1], 0x5410);
    row.raw[1] = permuted(turned[2], turned[3], 0x5410);
    const std::uint32_t top[2]{permuted(turned[0], turned[1], 0x7632),
                               permuted(turned[2], turned[3], 0x7632)};
    row.raw[2] = permuted(top[0], top[1], 0x6420);
    row.high = permuted(top[0], top[1], 0x7531);
  }
  return row;
}

template <TileShape kShape>
WEFT_HOST_DEVICE constexpr void join_row(const SplitRow<kShape>& row,
                                         std::uint32_t (&words)[kShape.element_bytes]) {
  if constexpr (kShape.element_bytes == 1) {
    words[0] = row.high;
  } else if constexpr (kShape.element_bytes == 2) {
    for (unsigned i = 0; i < 2; ++i) {
      const std::uint32_t turned = permuted(row.raw[0], row.high, i == 0 ? 0x5140 : 0x7362);
      words[i] = kShape.rotated ? (turned >> 1 & 0x7fff7fffu) | (turned << 15 & 0x80008000u) : turned;
    }
  } else {
    const std::uint32_t top[2]{permuted(row.raw[2], row.high, 0x5140),
                               permuted(row.raw[2], row.high, 0x7362)};
    WEFT_UNROLLED
    for (unsigned i = 0; i < 4; ++i) {
      const std::uint32_t turned = permuted(row.raw[i / 2], top[i / 2], i % 2 == 0 ? 0x5410 : 0x7632);
      words[i] = kShape.rotated ? turned >> 1 | turned << 31 : turned;
    }
  }
}

// As to_symbols() of tile_transform.h where no field lies above base + 7, which an encoder's choice of the
// base makes sure of: then a byte is below the window, or its difference is the code. The compiler proves
// both equal (lane_proof.cc).
template <TileShape kShape>
WEFT_HOST_DEVICE constexpr std::uint32_t to_lane_symbols(std::uint32_t high, std::uint32_t base) {
  constexpr std::uint32_t kCode = kShape.code_mask() * 0x01010101u;
  constexpr std::uint32_t kField = kShape.field_mask() * 0x01010101u;
  constexpr std::uint32_t kTop = 0x80808080u;
  std::uint32_t difference, inside;  // inside: the top bits tell
  if constexpr (kShape.field_mask() < 0x80) {
    difference = ((high & kField) | kTop) - base;
    inside = difference;
  } else {
    difference = (high | kTop) - (base & ~kTop);
    inside = (high & ~base) | ((high | ~base) & difference);
  }
  std::uint32_t symbols = (difference | ~spread_top_bits(inside)) & kCode;
  if constexpr (kShape.field_bits + kShape.field_shift < 8u)
    symbols |= high >> (kShape.field_bits - 3u) &
               (0xffu << (kShape.field_shift + 3u) & (0xffu >> (kShape.field_bits - 3u))) * 0x01010101u;
  if constexpr (kShape.field_shift != 0) symbols |= high & ((1u << kShape.field_shift) - 1u) * 0x01010101u;
  return symbols;
}

// Where two rows' symbols escape: bit 0 of each byte for the even row, bit 4 for the odd one.
template <TileShape kShape>
WEFT_HOST_DEVICE constexpr std::uint32_t escape_flags(std::uint32_t even, std::uint32_t odd) {
  const std::uint32_t codes =
      (even >> kShape.field_shift & 0x07070707u) | (odd >> kShape.field_shift & 0x07070707u) << 4;
  return (codes + 0x11111111u) >> 3 & 0x11111111u;
}

// The largest magnitudes of a lane, as the type's bits without sign: two of 16 bits, or one of 32. NaN counts
// as larger than infinity.
template <typename C>
WEFT_HOST_DEVICE constexpr std::uint32_t larger_magnitudes(std::uint32_t most, std::uint32_t word) {
  if constexpr (C::kRowWords == 1) {
    most = larger_halves(most, word & 0x7f7f7f7fu);
    return larger_halves(most, word << 8 & 0x7f007f00u);
  } else if constexpr (C::kRowWords == 2) {
    return larger_halves(most, word & 0x7fff7fffu);
  } else {
    const std::uint32_t magnitude = word & 0x7fffffffu;
    return most > magnitude ? most : magnitude;
  }
}
// The field of the largest of them.
template <typename C>
WEFT_HOST_DEVICE constexpr unsigned largest_field(std::uint32_t most) {
  constexpr unsigned kBits = C::kRowWords == 4 ? 31u : 15u;
  if constexpr (C::kRowWords < 4) most = most >> 16 > (most & 0xffffu) ? most >> 16 : most & 0xffffu;
  return most >> (kBits - C::kShape.field_bits);
}
// Whether a NaN is among them that needs the slow way: not of FP8, whose NaNs are all the same.
template <typename C>
WEFT_HOST_DEVICE constexpr bool has_nan(std::uint32_t most) {
  if constexpr (C::kRowWords == 1) {
    return false;
  } else if constexpr (C::kRowWords == 4) {
    return most > 0x7f800000u;
  } else {
    constexpr std::uint32_t kInfinity = std::is_same_v<typename C::Element, Float16> ? 0x7c00u : 0x7f80u;
    return most >> 16 > kInfinity || (most & 0xffffu) > kInfinity;
  }
}

// How many of four fields equal `field`, which is in place in every byte, as bits of which one is set for
// each.
template <TileShape kShape>
WEFT_HOST_DEVICE constexpr std::uint32_t equal_fields(std::uint32_t high, std::uint32_t field) {
  const std::uint32_t other = (high ^ field) & kShape.field_mask() * 0x01010101u;
  return ~(((other & 0x7f7f7f7fu) + 0x7f7f7f7fu) | other) & 0x80808080u;
}

}  // namespace weft::compression::cuda
