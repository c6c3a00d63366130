// The list of exponents that no window holds, at the end of a coded tile (FORMAT.md, "Escapes").
//
// Any thread; nothing is allocated.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/tile_shape.h"

namespace weft::compression::cpu {

// One field a byte, in the order of the elements. Room for a whole tile, so that whoever fills or reads it
// need not count first, and for a vector that is read behind the last.
struct EscapeFields {
  std::uint8_t field[kTileElements + 64];
  std::size_t count = 0;
};

// Returns the bytes of the list, before padding. The list has room for max_escapes() of any kind.
std::size_t write_escapes(TileShape shape, unsigned base, const EscapeFields& escapes, std::uint8_t* list);

// Reads `count` escapes from a list of exactly `bytes` (padding of up to 3 bytes included); false where it
// has another length. Fields behind the last are zero.
bool read_escapes(TileShape shape, unsigned base, std::size_t count, const std::uint8_t* list,
                  std::size_t bytes, EscapeFields& escapes);

}  // namespace weft::compression::cpu
