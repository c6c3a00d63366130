#include "compression/slot/slot_reader.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "compression/slot/slot_writer.h"
#include "compression/slot/zstd_block.h"
#include "compression/tile_shape.h"

namespace weft::compression {
namespace {

constexpr const char* kNoEnd = "it does not end within the slot";

// A tile is read as several short streams, which processors do not foresee: told of the next one while this
// one is decoded, they take half the time or less where the slot is not in a cache. A prefetch of any address
// is harmless.
void prefetch(const std::uint8_t* next, std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  for (std::size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(next + at);
}

}  // namespace

SlotReader::SlotReader(const SlotHeader& header, const std::uint8_t* slot, const cpu::TileKernels& kernels)
    : header_(header),
      layout_(slot_layout(header)),
      slot_(slot),
      next_(slot + layout_.pieces_offset),
      end_(slot + header.slot_bytes),
      kernels_(&kernels) {}

Result<SlotReader> SlotReader::open(std::span<const std::byte> slot, const cpu::TileKernels& kernels) {
  auto header = read_header(slot);
  if (!header) return header.status();
  return SlotReader(*header, reinterpret_cast<const std::uint8_t*>(slot.data()), kernels);
}

Status SlotReader::read(std::uint8_t* payload, std::size_t bytes) {
  if (layout_.piece_bytes == 0) {
    if (static_cast<std::size_t>(end_ - next_) < bytes)
      return {StatusCode::kProtocolError, "A raw slot is shorter than its payload."};
    if (bytes != 0) std::memcpy(payload, next_, bytes);
    next_ += bytes;
    return {};
  }
  for (std::size_t at = 0; at < bytes; at += layout_.piece_bytes) {
    Status status = read_piece(payload + at, std::min(layout_.piece_bytes, bytes - at));
    if (!status) return status;
  }
  return {};
}

const char* SlotReader::decode(PieceEntry entry, std::uint8_t* piece, std::size_t bytes) const {
  const std::size_t size = element_bytes(header_.type);
  switch (entry.kind) {
    case PieceKind::kRaw:
      if (entry.coded_bytes < bytes || entry.coded_bytes - bytes >= kPieceAlignment)
        return "it is raw and has another size than its payload";
      std::memcpy(piece, next_, bytes);
      return nullptr;
    case PieceKind::kConstant:
      if (entry.coded_bytes != kPieceAlignment || bytes % size != 0)
        return "it is constant and has another size than one element";
      for (std::size_t at = 0; at < bytes; at += size) std::memcpy(piece + at, next_, size);
      return nullptr;
    case PieceKind::kCoded:
      if (header_.level == Level::kArchive) {
        if (header_.type == ElementType::kBytes) return decode_zstd(next_, entry.coded_bytes, piece, bytes);
        if (bytes % (kTileElements * size) != 0) return "it is coded and does not have whole tiles";
        return decode_archive(header_.type, next_, entry.coded_bytes, piece, bytes / size, archive_scratch(),
                              *kernels_);
      }
      if (bytes != layout_.piece_bytes) return "it is coded and shorter than a tile";
      return kernels_->decode(header_.type, header_.level, next_, entry.coded_bytes, piece);
  }
  return "its kind is unknown";
}

PieceEntry SlotReader::next_entry() const {
  return read_entry(slot_ + kSlotHeaderBytes + layout_.entry_bytes * pieces_done_, layout_.entry_bytes);
}

Status SlotReader::no_piece(const char* wrong) const {
  return {StatusCode::kProtocolError,
          "Piece " + std::to_string(pieces_done_) + " of " + std::to_string(layout_.pieces) +
              " of a coded slot (" + std::string(to_string(header_.type)) + ", level " +
              std::string(to_string(header_.level)) + ") cannot be decoded: " + wrong + "."};
}

Status SlotReader::skip(std::size_t pieces) {
  for (; pieces != 0; --pieces) {
    const PieceEntry entry = next_entry();
    if (entry.coded_bytes > static_cast<std::size_t>(end_ - next_)) return no_piece(kNoEnd);
    next_ += entry.coded_bytes;
    ++pieces_done_;
  }
  return {};
}

Status SlotReader::read_piece(std::uint8_t* piece, std::size_t bytes) {
  const PieceEntry entry = next_entry();
  const char* wrong = kNoEnd;
  if (layout_.piece_bytes <= kMaxTileBytes) prefetch(next_ + entry.coded_bytes, layout_.piece_bytes);
  if (entry.coded_bytes <= static_cast<std::size_t>(end_ - next_)) wrong = decode(entry, piece, bytes);
  if (wrong != nullptr) return no_piece(wrong);
  next_ += entry.coded_bytes;
  ++pieces_done_;
  return {};
}

Status SlotReader::finish() const {
  if (next_ == end_) return {};
  return {StatusCode::kProtocolError, std::to_string(end_ - next_) +
                                          " bytes are left over behind the last piece of a "
                                          "coded slot."};
}

}  // namespace weft::compression
