// Level archive for the float types: high bytes through an entropy coder (32 interleaved rANS states), all
// else as it is (FORMAT.md, "The archive block").
//
// Any thread. `ArchiveScratch` is the caller's, so that nothing is allocated from block to block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "compression/cpu/tile_kernels.h"
#include "compression/element_type.h"
#include "compression/slot_format.h"

namespace weft::compression {

struct ArchiveScratch {
  std::uint8_t high[kArchiveElements];
  std::uint16_t words[kArchiveElements + 64];  // what the states give off, last word first
  std::uint32_t entry[4096];                   // decoder: what each value of a state's low 12 bits stands for
};

// Codes `count` elements (a multiple of 1,024, at most kArchiveElements). Returns the coded bytes, a multiple
// of 4; 0 where raw is the better choice. Writes at most raw's bytes.
std::size_t encode_archive(ElementType type, const std::uint8_t* elements, std::size_t count,
                           std::uint8_t* coded, ArchiveScratch& scratch, const cpu::TileKernels& kernels);

// nullptr, or what is wrong with the `bytes` at `coded`; reads nothing behind them.
const char* decode_archive(ElementType type, const std::uint8_t* coded, std::size_t bytes,
                           std::uint8_t* elements, std::size_t count, ArchiveScratch& scratch,
                           const cpu::TileKernels& kernels);

}  // namespace weft::compression
