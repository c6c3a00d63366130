// Codes a payload into a slot, piece by piece, in order.
//
// One thread at a time. The slot is the caller's and outlives the writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "compression/cpu/tile_kernels.h"
#include "compression/slot/archive_block.h"
#include "compression/slot_format.h"

namespace weft::compression {

class SlotWriter {
 public:
  // `slot` has room for max_slot_bytes() of these. A writer with another `first_piece` than 0 writes a part
  // of the slot, the pieces from there on, where they cannot meet those before them: see take_up().
  SlotWriter(ElementType type, Level level, std::size_t payload_bytes, std::byte* slot,
             const cpu::TileKernels& kernels, std::size_t first_piece = 0);

  // 0: a raw slot takes bytes in any portions. Otherwise append() takes whole pieces; only the last may be
  // shorter.
  std::size_t piece_bytes() const { return layout_.piece_bytes; }
  void append(const std::uint8_t* payload, std::size_t bytes);
  // Appends what the writer of the part that follows has written into the same slot.
  void take_up(const SlotWriter& following);
  // After all of the payload was appended: writes the header and returns the slot's bytes.
  std::size_t finish();

 private:
  void append_piece(const std::uint8_t* piece, std::size_t bytes);
  std::size_t encode(const std::uint8_t* piece, std::size_t bytes);

  SlotHeader header_;
  SlotLayout layout_;
  std::uint8_t* slot_;
  std::uint8_t* first_;  // that this writer writes
  std::uint8_t* next_;
  std::size_t pieces_done_;
  const cpu::TileKernels& kernels_;
};

// This thread's memory for archive blocks, made at the first call.
ArchiveScratch& archive_scratch();

}  // namespace weft::compression
