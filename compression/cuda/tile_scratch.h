// The shared memory that a warp needs while it codes or decodes a tile.
#pragma once

#include <cstdint>

#include "compression/tile_shape.h"

namespace weft::compression::cuda {

// The fields of escapes in the order of the elements: as many as a tile may have, in whole steps of 64.
inline constexpr unsigned kScratchFields = (kMaxEscapesDense + 63) / 64 * 64;
struct TileScratch {
  alignas(16) std::uint8_t field[kScratchFields];
};

}  // namespace weft::compression::cuda
