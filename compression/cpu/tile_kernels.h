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

// data[i] /= divisor, as the end of an average.
using DivideLoop = void (*)(void* data, std::size_t count, int divisor);

// The loops of an archive block's 32 states, which slot/archive_block.cc explains; it has plain ones for
// where these are nullptr.
struct StateLoops {
  // Decodes symbols as long as 64 bytes of words are left; returns how many, a multiple of 32. `from` moves
  // on.
  std::size_t (*decode)(const std::uint32_t* entry, std::uint32_t* states, const std::uint8_t*& from,
                        const std::uint8_t* end, std::uint8_t* symbols, std::size_t count);
  // Encodes all of them, last first. `symbol` holds frequency | start << 16 of each. Words are written
  // downwards from `words_end`; returns where they begin.
  std::uint16_t* (*encode)(const std::uint32_t* symbol, std::uint32_t* states, const std::uint8_t* symbols,
                           std::size_t count, std::uint16_t* words_end);
};

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
  DivideLoop (*divide)(DataType type);

  StateLoops states;
};

// The best that this computer has; found once.
const TileKernels& tile_kernels();
// nullptr where the computer or the build lacks them.
const TileKernels* tile_kernels(Instructions instructions);

ReduceLoop reduce_loop(const TileKernels& kernels, DataType type, ReduceOp op);
DivideLoop divide_loop(const TileKernels& kernels, DataType type);

}  // namespace weft::compression::cpu
