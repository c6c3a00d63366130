// The wire slot (FORMAT.md): header, table of pieces, pieces. Here is what stands where; codec.h codes and
// decodes.
//
// Plain values; any thread; nothing is allocated but the text of an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "compression/element_type.h"
#include "weft/status.h"

namespace weft::compression {

inline constexpr std::uint16_t kSlotMagic = 0x4357;  // "WC"
inline constexpr std::uint8_t kSlotVersion = 1;
inline constexpr std::size_t kSlotHeaderBytes = 32;
inline constexpr std::size_t kPieceAlignment = 4;        // of every piece's size
inline constexpr std::size_t kFirstPieceAlignment = 16;  // of the first piece's place in the slot
inline constexpr std::size_t kArchiveElements = 65536;   // of an archive block
inline constexpr std::size_t kZstdBlockBytes = 262144;
inline constexpr std::uint64_t kMaxPayloadBytes = std::uint64_t{1} << 40;

enum class PieceKind : std::uint8_t { kRaw, kConstant, kCoded };

struct SlotHeader {
  Level level = Level::kRaw;
  ElementType type = ElementType::kBytes;
  std::uint64_t payload_bytes = 0;  // before coding
  std::uint64_t slot_bytes = 0;     // all of the slot, this header included

  friend bool operator==(const SlotHeader&, const SlotHeader&) = default;
};

// A piece is what is coded by itself: a tile of 1,024 elements, an archive block, a zstd block; the last may
// be shorter. A raw slot has neither pieces nor a table.
struct SlotLayout {
  std::size_t piece_bytes = 0;  // before coding
  std::size_t pieces = 0;
  std::size_t entry_bytes = 0;  // of a table entry: 2 or 4
  std::size_t pieces_offset = kSlotHeaderBytes;
};
SlotLayout slot_layout(const SlotHeader& header);

// Levels that a type does not have: bytes have no exponents, so fast and dense become raw.
Level level_for(ElementType type, Level wanted);

// What a slot for a payload may need at most.
std::size_t max_slot_bytes(ElementType type, Level level, std::size_t payload_bytes);

void write_header(const SlotHeader& header, std::byte* slot);
// `slot` may be larger than the slot that stands in it.
Result<SlotHeader> read_header(std::span<const std::byte> slot);

// Sizes in the table count units of kPieceAlignment. For entry_bytes 2: kind << 14 | units; for 4: kind << 30
// | units.
struct PieceEntry {
  PieceKind kind;
  std::size_t coded_bytes;
};
void write_entry(PieceEntry entry, std::size_t entry_bytes, std::uint8_t* at);
PieceEntry read_entry(const std::uint8_t* at, std::size_t entry_bytes);

}  // namespace weft::compression
