#include "compression/slot_format.h"

#include <string>

#include "compression/tile_shape.h"

namespace weft::compression {
namespace {

template <typename T>
void put(std::byte* at, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) at[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
}

std::uint64_t get(const std::byte* at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value |= static_cast<std::uint64_t>(at[i]) << (8 * i);
  return value;
}

std::size_t rounded_up(std::size_t bytes, std::size_t to) {
  return (bytes + to - 1) / to * to;
}

Status refused(const std::string& what) {
  return {StatusCode::kProtocolError, "This is not a coded slot of Weft: " + what};
}

}  // namespace

Level level_for(ElementType type, Level wanted) {
  return type == ElementType::kBytes && wanted != Level::kArchive ? Level::kRaw : wanted;
}

SlotLayout slot_layout(const SlotHeader& header) {
  SlotLayout layout;
  if (header.level == Level::kRaw) return layout;
  layout.entry_bytes = header.level == Level::kArchive ? 4 : 2;
  if (header.level != Level::kArchive) {
    layout.piece_bytes = kTileElements * element_bytes(header.type);
  } else if (header.type == ElementType::kBytes) {
    layout.piece_bytes = kZstdBlockBytes;
  } else {
    layout.piece_bytes = kArchiveElements * element_bytes(header.type);
  }
  layout.pieces =
      static_cast<std::size_t>((header.payload_bytes + layout.piece_bytes - 1) / layout.piece_bytes);
  layout.pieces_offset =
      rounded_up(kSlotHeaderBytes + layout.entry_bytes * layout.pieces, kFirstPieceAlignment);
  return layout;
}

std::size_t max_slot_bytes(ElementType type, Level level, std::size_t payload_bytes) {
  const SlotLayout layout = slot_layout({level_for(type, level), type, payload_bytes, 0});
  return layout.pieces_offset + rounded_up(payload_bytes, kPieceAlignment);
}

void write_header(const SlotHeader& header, std::byte* slot) {
  put(slot, kSlotMagic);
  put(slot + 2, kSlotVersion);
  put(slot + 3, static_cast<std::uint8_t>(header.level));
  put(slot + 4, static_cast<std::uint8_t>(header.type));
  put(slot + 5, std::uint8_t{0});
  put(slot + 6, std::uint16_t{0});
  put(slot + 8, header.payload_bytes);
  put(slot + 16, header.slot_bytes);
  put(slot + 24, std::uint64_t{0});
}

Result<SlotHeader> read_header(std::span<const std::byte> slot) {
  if (slot.size() < kSlotHeaderBytes)
    return refused("it has " + std::to_string(slot.size()) + " bytes, its header alone has 32.");
  if (get(&slot[0], 2) != kSlotMagic) return refused("it does not begin with WC.");
  if (get(&slot[2], 1) != kSlotVersion)
    return refused("its format has version " + std::to_string(get(&slot[2], 1)) +
                   ", this Weft knows version 1. Run the same Weft at both ends.");
  const std::uint64_t level = get(&slot[3], 1), type = get(&slot[4], 1);
  if (level >= kLevels) return refused("level " + std::to_string(level) + " is unknown.");
  if (type >= kElementTypes) return refused("element type " + std::to_string(type) + " is unknown.");
  if (get(&slot[5], 3) != 0 || get(&slot[24], 8) != 0)
    return refused("reserved bytes of its header are not 0.");
  const SlotHeader header{static_cast<Level>(level), static_cast<ElementType>(type), get(&slot[8], 8),
                          get(&slot[16], 8)};
  if (level_for(header.type, header.level) != header.level)
    return refused("bytes of unknown type cannot have level " + std::string(to_string(header.level)) + ".");
  if (header.payload_bytes > kMaxPayloadBytes) return refused("its payload is larger than 1 TiB.");
  if (header.slot_bytes > slot.size())
    return refused("it says that it has " + std::to_string(header.slot_bytes) + " bytes, but only " +
                   std::to_string(slot.size()) + " are here.");
  if (header.slot_bytes < slot_layout(header).pieces_offset) return refused("it ends within its table.");
  return header;
}

void write_entry(PieceEntry entry, std::size_t entry_bytes, std::uint8_t* at) {
  const unsigned shift = static_cast<unsigned>(8 * entry_bytes - 2);
  const std::size_t value =
      static_cast<std::size_t>(entry.kind) << shift | entry.coded_bytes / kPieceAlignment;
  for (std::size_t i = 0; i < entry_bytes; ++i) at[i] = static_cast<std::uint8_t>(value >> (8 * i) & 0xff);
}

PieceEntry read_entry(const std::uint8_t* at, std::size_t entry_bytes) {
  const unsigned shift = static_cast<unsigned>(8 * entry_bytes - 2);
  std::size_t value = 0;
  for (std::size_t i = 0; i < entry_bytes; ++i) value |= static_cast<std::size_t>(at[i]) << (8 * i);
  return {static_cast<PieceKind>(value >> shift),
          (value & ((std::size_t{1} << shift) - 1)) * kPieceAlignment};
}

}  // namespace weft::compression
