// The compiler's proof that the transform loses nothing: of the split over all 65,536 patterns of 16 bits, of
// the symbols over every high byte. Nothing of this file is left when a program runs.
#include "compression/bytes4.h"
#include "compression/tile_transform.h"

namespace weft::compression {
namespace {

// In quarters, as compilers limit the steps of one proof.
template <bool kRotated>
constexpr bool split_is_undone(unsigned quarter) {
  for (unsigned bits = quarter * 0x4000; bits < (quarter + 1) * 0x4000; ++bits) {
    const auto pattern = static_cast<std::uint16_t>(bits);
    if (join_half<kRotated>(split_half<kRotated>(pattern)) != pattern) return false;
  }
  return true;
}
static_assert(split_is_undone<false>(0) && split_is_undone<false>(1));
static_assert(split_is_undone<false>(2) && split_is_undone<false>(3));
static_assert(split_is_undone<true>(0) && split_is_undone<true>(1));
static_assert(split_is_undone<true>(2) && split_is_undone<true>(3));

// Symbols of `high` have no bit above symbol_bits; the code is 7 exactly where the field lies outside of the
// window; elsewhere the high byte comes back, and everywhere all its bits but the field do.
template <TileShape kShape>
constexpr bool symbols_are_undone_at(unsigned base) {
  const Bytes4 placed = Bytes4::splat(static_cast<std::uint8_t>(base << kShape.field_shift));
  for (unsigned first = 0; first < 256; first += 4) {
    const Bytes4 high{first * 0x01010101u + 0x03020100u};
    const Bytes4 symbols = to_symbols<kShape>(high, placed);
    const Bytes4 again = from_symbols<kShape>(symbols, placed);
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned symbol = symbols.word >> (8 * i) & 0xff, before = first + i,
                     after = again.word >> (8 * i) & 0xff;
      const unsigned field = (before & kShape.field_mask()) >> kShape.field_shift;
      const bool escapes = (symbol & kShape.code_mask()) == kShape.code_mask();
      if (symbol >> kShape.symbol_bits() != 0) return false;
      if (escapes != (field < base || field > base + 6)) return false;
      if ((escapes ? (before ^ after) & ~kShape.field_mask() & 0xffu : before ^ after) != 0) return false;
    }
  }
  return true;
}
// The first windows, one in the middle, the last; tests/compression goes through all of them when it runs.
template <TileShape kShape>
constexpr bool symbols_are_undone() {
  return symbols_are_undone_at<kShape>(0) && symbols_are_undone_at<kShape>(1) &&
         symbols_are_undone_at<kShape>(kShape.max_base() / 2) &&
         symbols_are_undone_at<kShape>(kShape.max_base());
}
static_assert(symbols_are_undone<kShapeBfloat16Fast>() && kShapeBfloat16Fast.max_base() == 121);
static_assert(symbols_are_undone<kShapeBfloat16Dense>() && kShapeBfloat16Dense.max_base() == 249);
static_assert(symbols_are_undone<kShapeFloat16Fast>() && kShapeFloat16Fast.max_base() == 25);
static_assert(symbols_are_undone<kShapeE4M3Fast>() && kShapeE4M3Fast.max_base() == 9);
static_assert(symbols_are_undone<kShapeE5M2Fast>() && kShapeE5M2Fast.max_base() == 25);

// Bits that are set in one symbol alone are found there again, and nowhere else: shifts and ors are linear,
// so this holds for all symbols if it holds for each bit.
template <unsigned kBits, unsigned kRow>
constexpr bool row_is_undone() {
  for (unsigned bit = 0; bit < kBits; ++bit) {
    Bytes4 planes[kBits]{};
    add_to_planes<kBits, kRow>(Bytes4::splat(static_cast<std::uint8_t>(1u << bit)), planes);
    const Bytes4 rows[kTileRows]{row_of_planes<kBits, 0>(planes), row_of_planes<kBits, 1>(planes),
                                 row_of_planes<kBits, 2>(planes), row_of_planes<kBits, 3>(planes),
                                 row_of_planes<kBits, 4>(planes), row_of_planes<kBits, 5>(planes),
                                 row_of_planes<kBits, 6>(planes), row_of_planes<kBits, 7>(planes)};
    for (unsigned row = 0; row < kTileRows; ++row)
      if (rows[row].word != (row == kRow ? (1u << bit) * 0x01010101u : 0u)) return false;
  }
  return true;
}
template <unsigned kBits>
constexpr bool planes_are_undone() {
  return row_is_undone<kBits, 0>() && row_is_undone<kBits, 1>() && row_is_undone<kBits, 2>() &&
         row_is_undone<kBits, 3>() && row_is_undone<kBits, 4>() && row_is_undone<kBits, 5>() &&
         row_is_undone<kBits, 6>() && row_is_undone<kBits, 7>();
}
static_assert(planes_are_undone<3>() && planes_are_undone<4>() && planes_are_undone<6>() &&
              planes_are_undone<7>());

}  // namespace
}  // namespace weft::compression
