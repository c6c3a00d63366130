// Decodes a slot's payload, piece by piece, in order. Trusts nothing that the slot says.
//
// One thread at a time. The slot is the caller's and outlives the reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "compression/cpu/tile_kernels.h"
#include "compression/slot_format.h"
#include "weft/status.h"

namespace weft::compression {

class SlotReader {
 public:
  static Result<SlotReader> open(std::span<const std::byte> slot, const cpu::TileKernels& kernels);

  const SlotHeader& header() const { return header_; }
  // 0: a raw slot gives bytes in any portions. Otherwise read() gives whole pieces; only the last may be
  // shorter.
  std::size_t piece_bytes() const { return layout_.piece_bytes; }
  // The next `bytes` of the payload, which has at least that many left.
  Status read(std::uint8_t* payload, std::size_t bytes);
  // Passes over pieces, of which at least that many are left, without a look at what they hold.
  Status skip(std::size_t pieces);
  // After all of the payload was read: nothing may be left over.
  Status finish() const;

 private:
  SlotReader(const SlotHeader& header, const std::uint8_t* slot, const cpu::TileKernels& kernels);
  Status read_piece(std::uint8_t* piece, std::size_t bytes);
  PieceEntry next_entry() const;
  Status no_piece(const char* wrong) const;
  const char* decode(PieceEntry entry, std::uint8_t* piece, std::size_t bytes) const;

  SlotHeader header_;
  SlotLayout layout_;
  const std::uint8_t* slot_;
  const std::uint8_t* next_;
  const std::uint8_t* end_;
  std::size_t pieces_done_ = 0;
  const cpu::TileKernels* kernels_;
};

}  // namespace weft::compression
