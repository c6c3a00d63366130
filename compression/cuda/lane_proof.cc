// The compiler's proof that a lane's short ways give what tile_transform.h gives. Nothing of this file is
// left when a program runs.
#include "compression/cuda/lane_tile.h"

namespace weft::compression::cuda {
namespace {

constexpr std::uint32_t kOnes = 0x01010101u;

// Every high byte, in windows that an encoder may choose for it: no field above base + 7.
template <TileShape kShape>
constexpr bool symbols_are_the_same_at(unsigned base) {
  const auto placed = static_cast<std::uint8_t>(base << kShape.field_shift);
  for (unsigned byte = 0; byte < 256; ++byte) {
    const unsigned field = (byte & kShape.field_mask()) >> kShape.field_shift;
    if (field > base + 7) continue;
    // Neighbours below and in the window, so that a carry would show.
    const std::uint32_t high = byte | byte << 16 | (placed * 0x01000100u);
    const Bytes4 wanted = to_symbols<kShape>(Bytes4{high}, Bytes4::splat(placed));
    if (to_lane_symbols<kShape>(high, placed * kOnes) != wanted.word) return false;
    const std::uint32_t low = byte * 0x01000100u;  // beside fields of 0
    if (to_lane_symbols<kShape>(low, placed * kOnes) !=
        to_symbols<kShape>(Bytes4{low}, Bytes4::splat(placed)).word)
      return false;
  }
  return true;
}
template <TileShape kShape>
constexpr bool symbols_are_the_same() {
  for (unsigned base = 0; base <= kShape.max_base(); base += kShape.max_base() / 8 + 1)
    if (!symbols_are_the_same_at<kShape>(base)) return false;
  return symbols_are_the_same_at<kShape>(kShape.max_base());
}
static_assert(symbols_are_the_same<kShapeBfloat16Fast>());
static_assert(symbols_are_the_same<kShapeBfloat16Dense>());
static_assert(symbols_are_the_same<kShapeFloat16Fast>());
static_assert(symbols_are_the_same<kShapeE4M3Fast>());
static_assert(symbols_are_the_same<kShapeE5M2Fast>());

// A row's split is that of its elements, for bits of all places: split and join only move bits, so what holds
// for each bit and for 0 holds for all.
template <TileShape kShape>
constexpr bool halves_are_split_alike() {
  for (unsigned i = 0; i <= 64; ++i) {
    std::uint32_t words[2]{};
    if (i < 64) words[i / 32] = 1u << i % 32;
    const SplitRow<kShape> row = split_row<kShape>(words);
    for (unsigned element = 0; element < 4; ++element) {
      const auto half = static_cast<std::uint16_t>(words[element / 2] >> (16 * (element % 2)) & 0xffff);
      const SplitHalf wanted = split_half<kShape.rotated>(half);
      if ((row.raw[0] >> (8 * element) & 0xff) != wanted.raw) return false;
      if ((row.high >> (8 * element) & 0xff) != wanted.high) return false;
    }
    std::uint32_t again[2]{};
    join_row<kShape>(row, again);
    if (again[0] != words[0] || again[1] != words[1]) return false;
  }
  return true;
}
static_assert(halves_are_split_alike<kShapeBfloat16Fast>() && halves_are_split_alike<kShapeBfloat16Dense>());

template <TileShape kShape>
constexpr bool words_are_split_alike() {
  for (unsigned i = 0; i <= 128; ++i) {
    std::uint32_t words[4]{};
    if (i < 128) words[i / 32] = 1u << i % 32;
    const SplitRow<kShape> row = split_row<kShape>(words);
    for (unsigned element = 0; element < 4; ++element) {
      const std::uint32_t word = words[element], turned = kShape.rotated ? word << 1 | word >> 31 : word;
      if ((row.raw[element / 2] >> (16 * (element % 2)) & 0xffff) != (turned & 0xffff)) return false;
      if ((row.raw[2] >> (8 * element) & 0xff) != (turned >> 16 & 0xff)) return false;
      if ((row.high >> (8 * element) & 0xff) != turned >> 24) return false;
    }
    std::uint32_t again[4]{};
    join_row<kShape>(row, again);
    for (unsigned element = 0; element < 4; ++element)
      if (again[element] != words[element]) return false;
  }
  return true;
}
static_assert(words_are_split_alike<kShapeFloat32Fast>() && words_are_split_alike<kShapeFloat32Dense>());

}  // namespace
}  // namespace weft::compression::cuda
