// How the warps of a group read a slot: each round one tile of each warp.
//
// All threads of the group call together.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/cuda/last_piece.h"
#include "compression/cuda/slot_table.h"
#include "compression/cuda/tile.h"

namespace weft::compression::cuda {

struct SlotOutcome {
  std::uint64_t slot_bytes;  // what was written, or read
  Fault fault;
  std::uint64_t piece;  // that has the fault, if it is a piece's
};

// As the CPU reports it: of the first piece that has one.
inline constexpr std::uint64_t kNoFault = ~std::uint64_t{0};
WEFT_HOST_DEVICE constexpr std::uint64_t fault_of_piece(std::uint64_t piece, Fault fault) {
  return piece << 8 | static_cast<std::uint64_t>(fault);
}
WEFT_HOST_DEVICE constexpr SlotOutcome outcome(std::uint64_t slot_bytes, std::uint64_t first_fault,
                                               bool left_over) {
  if (first_fault != kNoFault) return {slot_bytes, static_cast<Fault>(first_fault & 0xff), first_fault >> 8};
  return {slot_bytes, left_over ? Fault::kLeftOver : Fault::kNone, 0};
}

WEFT_DEVICE bool is_aligned(const void* at, unsigned bytes) {
  return reinterpret_cast<std::uintptr_t>(at) % bytes == 0;
}

// A whole tile of a slot, whatever its kind.
template <typename C, typename Warp>
WEFT_DEVICE Fault read_piece(Warp& warp, const std::uint8_t* slot, std::uint32_t slot_bytes,
                             const PieceFound& piece, TileElements<C, Warp>& elements) {
  if (piece.offset > slot_bytes || piece.bytes > slot_bytes - piece.offset) return Fault::kOutsideSlot;
  const std::uint8_t* from = slot + piece.offset;
  if (piece.kind == PieceKind::kCoded) return read_tile<C>(warp, from, piece.bytes, elements);
  if (piece.kind == PieceKind::kRaw) {
    if (piece.bytes != C::kShape.tile_bytes()) return Fault::kRawSize;
    warp.each([&](unsigned lane) {
      each_row([&](auto row) {
        WEFT_UNROLLED
        for (unsigned w = 0; w < C::kRowWords; ++w)
          elements[lane].word[row][w] = warp.load_word(from + 4 * (C::kRowWords * (kLanes * row + lane) + w));
      });
    });
    return Fault::kNone;
  }
  if (piece.kind != PieceKind::kConstant) return Fault::kUnknownKind;
  if (piece.bytes != kPieceAlignment) return Fault::kConstantSize;
  const std::uint32_t word = element_everywhere<C>(warp.load_word(from));
  warp.each([&](unsigned lane) {
    each_row([&](auto row) {
      WEFT_UNROLLED
      for (unsigned w = 0; w < C::kRowWords; ++w) elements[lane].word[row][w] = word;
    });
  });
  return Fault::kNone;
}

template <typename C, typename Group>
class GroupReader {
 public:
  using Warp = typename Group::Warp;

  // `room` is what may be read at `slot`, of which the slot may take less.
  WEFT_DEVICE GroupReader(Group& group, const std::uint8_t* slot, std::uint64_t room,
                          std::uint64_t payload_bytes)
      : slot_(slot), tables_(group), faults_(group) {
    group.each_warp([&](Warp& warp, unsigned number) {
      const SlotFacts facts = read_slot_header<C>(warp, slot, room, payload_bytes);
      slot_bytes_ = static_cast<std::uint32_t>(facts.slot_bytes);
      header_fault_ = facts.fault;
      places_ = SlotPlaces<C>(static_cast<std::uint32_t>(payload_bytes), facts.raw);
      tables_[number] = TableReader<C, Warp>(slot, places_, facts.raw);
      faults_[number] = kNoFault;
    });
  }

  // Of the header: nothing else may be asked for then.
  WEFT_DEVICE Fault header_fault() const { return header_fault_; }
  WEFT_DEVICE const SlotPlaces<C>& places() const { return places_; }

  WEFT_DEVICE PieceFound find(Warp& warp, unsigned number, std::uint32_t tile) {
    return tables_[number].find(warp, places_, tile);
  }
  // False where the piece has a fault, which is kept.
  WEFT_DEVICE bool read(Warp& warp, unsigned number, std::uint32_t tile, const PieceFound& piece,
                        TileElements<C, Warp>& elements) {
    return keep(number, tile, read_piece<C>(warp, slot_, slot_bytes_, piece, elements));
  }
  // The last piece, if it is shorter than a tile: calls use(warp, where it is, whether its elements are one).
  // Then, for all, what became of the slot.
  template <typename Use>
  WEFT_DEVICE SlotOutcome finish(Group& group, const Use& use) {
    const bool left_over = places_.pieces == 0 && slot_bytes_ != places_.pieces_offset;
    group.each_warp([&](Warp& warp, unsigned number) {
      if (number != 0 || places_.pieces == 0) return;
      const std::uint32_t last = places_.pieces - 1;
      const PieceFound piece = find(warp, number, last);
      const auto bytes = static_cast<unsigned>(places_.payload_bytes % SlotPlaces<C>::kTileBytes);
      if (bytes != 0) {
        const Fault fault = is_outside(piece) ? Fault::kOutsideSlot : check_last_piece<C>(piece, bytes);
        if (keep(number, last, fault)) use(warp, slot_ + piece.offset, piece.kind == PieceKind::kConstant);
      }
      // Any fault of a piece comes before it.
      if (piece.offset + piece.bytes != slot_bytes_) keep(number, kLeftOverPiece, Fault::kLeftOver);
    });
    const std::uint64_t first = group.smallest(faults_);
    return outcome(slot_bytes_, first, left_over);
  }

 private:
  static constexpr std::uint32_t kLeftOverPiece = ~std::uint32_t{0};

  WEFT_DEVICE bool is_outside(const PieceFound& piece) const {
    return piece.offset > slot_bytes_ || piece.bytes > slot_bytes_ - piece.offset;
  }
  WEFT_DEVICE bool keep(unsigned number, std::uint32_t tile, Fault fault) {
    if (fault == Fault::kNone) return true;
    const std::uint64_t found = fault_of_piece(tile, fault);
    faults_[number] = found < faults_[number] ? found : faults_[number];
    return false;
  }

  const std::uint8_t* slot_;
  std::uint32_t slot_bytes_;
  Fault header_fault_;
  SlotPlaces<C> places_;
  typename Group::template EachWarp<TableReader<C, Warp>> tables_;
  typename Group::template EachWarp<std::uint64_t> faults_;
};

}  // namespace weft::compression::cuda
