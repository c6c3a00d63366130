#include "compression/slot/slot_writer.h"

#include <algorithm>
#include <cstring>

#include "compression/slot/zstd_block.h"
#include "compression/tile_shape.h"

namespace weft::compression {
namespace {

// Bit for bit: -0 is not 0, and every NaN is itself.
bool is_constant(const std::uint8_t* piece, std::size_t bytes, std::size_t size) {
  return bytes % size == 0 && std::memcmp(piece, piece + size, bytes - size) == 0;
}

}  // namespace

ArchiveScratch& archive_scratch() {
  thread_local const auto scratch = std::make_unique<ArchiveScratch>();
  return *scratch;
}

SlotWriter::SlotWriter(ElementType type, Level level, std::size_t payload_bytes, std::byte* slot,
                       const cpu::TileKernels& kernels, std::size_t first_piece)
    : header_{level_for(type, level), type, payload_bytes, 0},
      layout_(slot_layout(header_)),
      slot_(reinterpret_cast<std::uint8_t*>(slot)),
      // No piece takes more than a raw one.
      first_(slot_ + layout_.pieces_offset + first_piece * layout_.piece_bytes),
      next_(first_),
      pieces_done_(first_piece),
      kernels_(kernels) {
  if (first_piece != 0) return;
  const std::size_t table_end = kSlotHeaderBytes + layout_.entry_bytes * layout_.pieces;
  std::memset(slot_ + table_end, 0, layout_.pieces_offset - table_end);
}

void SlotWriter::append(const std::uint8_t* payload, std::size_t bytes) {
  if (layout_.piece_bytes == 0) {
    std::memcpy(next_, payload, bytes);
    next_ += bytes;
    return;
  }
  for (std::size_t at = 0; at < bytes; at += layout_.piece_bytes)
    append_piece(payload + at, std::min(layout_.piece_bytes, bytes - at));
}

std::size_t SlotWriter::encode(const std::uint8_t* piece, std::size_t bytes) {
  if (header_.level == Level::kArchive) {
    if (header_.type == ElementType::kBytes) return encode_zstd(piece, bytes, next_);
    const std::size_t elements = bytes / element_bytes(header_.type);
    if (bytes % element_bytes(header_.type) != 0 || elements % kTileElements != 0) return 0;
    return encode_archive(header_.type, piece, elements, next_, archive_scratch(), kernels_);
  }
  return bytes == layout_.piece_bytes ? kernels_.encode(header_.type, header_.level, piece, next_) : 0;
}

void SlotWriter::append_piece(const std::uint8_t* piece, std::size_t bytes) {
  const std::size_t size = element_bytes(header_.type);
  PieceEntry entry{PieceKind::kCoded, 0};
  std::size_t written = size;
  if (is_constant(piece, bytes, size)) {
    entry.kind = PieceKind::kConstant;
    std::memcpy(next_, piece, size);
  } else if (entry.coded_bytes = encode(piece, bytes); entry.coded_bytes != 0) {
    written = entry.coded_bytes;
  } else {
    entry.kind = PieceKind::kRaw;
    std::memcpy(next_, piece, bytes);
    written = bytes;
  }
  entry.coded_bytes = (written + kPieceAlignment - 1) / kPieceAlignment * kPieceAlignment;
  std::memset(next_ + written, 0, entry.coded_bytes - written);
  next_ += entry.coded_bytes;
  write_entry(entry, layout_.entry_bytes, slot_ + kSlotHeaderBytes + layout_.entry_bytes * pieces_done_++);
}

void SlotWriter::take_up(const SlotWriter& following) {
  const auto bytes = static_cast<std::size_t>(following.next_ - following.first_);
  std::memmove(next_, following.first_, bytes);
  next_ += bytes;
  pieces_done_ = following.pieces_done_;
}

std::size_t SlotWriter::finish() {
  header_.slot_bytes = static_cast<std::uint64_t>(next_ - slot_);
  write_header(header_, reinterpret_cast<std::byte*>(slot_));
  return static_cast<std::size_t>(header_.slot_bytes);
}

}  // namespace weft::compression
