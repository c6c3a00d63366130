// One tile on the CPU: coded, decoded, reduced. The same bytes whichever instructions do it.
//
// Any thread; nothing is allocated. Pointers need no alignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "compression/tile_shape.h"
#include "weft/data_type.h"

namespace weft::compression::cpu {

enum class Instructions : std::uint8_t { kPortable, kAvx2, kAvx512 };

// out[i] = a[i] (op) b[i]. `out` may be `a` or `b`, otherwise they must not overlap. kAvg adds.
using ReduceLoop = void (*)(void* out, const void* a, const void* b, std::size_t count);

struct TileKernels {
  std::string_view name;

  // Codes a tile of a float type at level fast or dense. Returns how many bytes stand at `coded`, a multiple
  // of 4; 0 where raw is the better choice (what is at `coded` is then undefined). Writes at most raw's
  // bytes.
  std::size_t (*encode)(ElementType type, Level level, const std::uint8_t* tile, std::uint8_t* coded);

  // Writes a whole tile to `tile` and returns nullptr, or says what is wrong with the `bytes` at `coded`;
  // `tile` is then undefined. Reads nothing behind `bytes`, whatever they are.
  const char* (*decode)(ElementType type, Level level, const std::uint8_t* coded, std::size_t bytes,
                        std::uint8_t* tile);

  // nullptr where these instructions have no loop of their own; kPortable has all.
  ReduceLoop (*reduce)(DataType type, ReduceOp op);
};

// The best that this computer has; found once.
const TileKernels& tile_kernels();
// nullptr where the computer or the build lacks them.
const TileKernels* tile_kernels(Instructions instructions);

ReduceLoop reduce_loop(const TileKernels& kernels, DataType type, ReduceOp op);
// data[i] /= divisor, as the end of an average.
void divide(DataType type, void* data, std::size_t count, int divisor);

}  // namespace weft::compression::cpu
