// The last piece of a slot where it is shorter than a tile: raw or constant, element by element. Rare and
// short, so it is written to be small.
//
// All lanes of a warp call together.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/cuda/slot_table.h"
#include "compression/cuda/tile_reduce.h"

namespace weft::compression::cuda {

// Bytes of a slot's last piece, padding included, and its entry of the table.
struct LastPiece {
  PieceKind kind;
  unsigned bytes;
};

template <typename C>
WEFT_DEVICE std::uint32_t element_at(const std::uint8_t* from, unsigned index) {
  std::uint32_t bits = 0;
  WEFT_UNROLLED
  for (unsigned b = 0; b < C::kRowWords; ++b)
    bits |= std::uint32_t{from[C::kRowWords * index + b]} << (8 * b);
  return bits;
}
template <typename C>
WEFT_DEVICE void put_element(std::uint8_t* to, unsigned index, std::uint32_t bits) {
  WEFT_UNROLLED
  for (unsigned b = 0; b < C::kRowWords; ++b)
    to[C::kRowWords * index + b] = static_cast<std::uint8_t>(bits >> (8 * b) & 0xffu);
}

// Writes to `to` what `element(i)` says, and `odd_bytes` more from `odd`; one element only if all are equal.
template <typename C, typename Warp, typename Element>
WEFT_DEVICE LastPiece write_last_piece(Warp& warp, unsigned elements, const std::uint8_t* odd,
                                       unsigned odd_bytes, std::uint8_t* to, const Element& element) {
  typename Warp::template Each<bool> differs;
  warp.each([&](unsigned lane) {
    differs[lane] = odd_bytes != 0 || elements == 0;
    const std::uint32_t first = elements == 0 ? 0 : element(0);
    WEFT_ROLLED
    for (unsigned i = lane; i < elements; i += kLanes) {
      const std::uint32_t bits = element(i);
      put_element<C>(to, i, bits);
      differs[lane] = differs[lane] || bits != first;
    }
  });
  const bool constant = !warp.any(differs);
  const unsigned used = C::kRowWords * (constant ? 1u : elements) + odd_bytes;
  const unsigned bytes = (used + 3) / 4 * 4;
  warp.each([&](unsigned lane) {
    if (lane < odd_bytes) to[used - odd_bytes + lane] = odd[lane];
    // Padding of a constant piece lies where other lanes have put elements: they are done, any() waited for
    // them.
    if (lane < bytes - used) to[used + lane] = 0;
  });
  return {constant ? PieceKind::kConstant : PieceKind::kRaw, bytes};
}

// What is wrong with a last piece of `bytes` payload bytes.
template <typename C>
WEFT_DEVICE Fault check_last_piece(const PieceFound& piece, unsigned bytes) {
  switch (piece.kind) {
    case PieceKind::kRaw:
      return piece.bytes < bytes || piece.bytes - bytes >= kPieceAlignment ? Fault::kRawSize : Fault::kNone;
    case PieceKind::kConstant:
      return piece.bytes != kPieceAlignment || bytes % C::kRowWords != 0 ? Fault::kConstantSize
                                                                         : Fault::kNone;
    case PieceKind::kCoded:
      return Fault::kShorterThanTile;
  }
  return Fault::kUnknownKind;
}

}  // namespace weft::compression::cuda
