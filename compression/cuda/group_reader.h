// How the warps of a group read a slot: each round one tile of each warp.
//
// All threads of the group call together.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/cuda/last_piece.h"
#include "compression/cuda/slot_table.h"
#include "compression/cuda/tile_decode.h"

namespace weft::compression::cuda {

struct SlotOutcome {
  std::uint64_t slot_bytes;  // what was written, or read
  Fault fault;
  std::uint64_t piece;  // that has the fault, if it is a piece's
};

// As the CPU reports it: of the first piece that has one. A piece's number and the fault in one word: a
// payload of kMaxKernelPayload has 2^20 pieces.
inline constexpr std::uint32_t kNoFault = ~std::uint32_t{0};
WEFT_HOST_DEVICE constexpr std::uint32_t fault_of_piece(std::uint32_t piece, Fault fault) {
  return piece << 8 | static_cast<std::uint32_t>(fault);
}
WEFT_HOST_DEVICE constexpr SlotOutcome outcome(std::uint64_t slot_bytes, std::uint32_t first_fault,
                                               bool left_over) {
  if (first_fault != kNoFault) return {slot_bytes, static_cast<Fault>(first_fault & 0xff), first_fault >> 8};
  return {slot_bytes, left_over ? Fault::kLeftOver : Fault::kNone, 0};
}

WEFT_DEVICE bool is_aligned(const void* at, unsigned bytes) {
  return reinterpret_cast<std::uintptr_t>(at) % bytes == 0;
}

// What is wrong with a whole tile by its entry of the table alone.
template <typename C>
WEFT_DEVICE Fault check_piece(const PieceFound& piece, std::uint32_t slot_bytes) {
  if (piece.offset > slot_bytes || piece.bytes > slot_bytes - piece.offset) return Fault::kOutsideSlot;
  switch (piece.kind) {
    case PieceKind::kCoded:
      return piece.bytes < C::kShape.fixed_bytes() ? Fault::kShorterThanPlanes : Fault::kNone;
    case PieceKind::kRaw:
      return piece.bytes != C::kShape.tile_bytes() ? Fault::kRawSize : Fault::kNone;
    case PieceKind::kConstant:
      return piece.bytes != kPieceAlignment ? Fault::kConstantSize : Fault::kNone;
  }
  return Fault::kUnknownKind;
}

// A whole tile that check_piece() has nothing against: first its loads, then the rest.
template <typename C, typename Warp>
WEFT_DEVICE void load_piece(Warp& warp, const std::uint8_t* from, const PieceFound& piece,
                            PieceWords<C, Warp>& words) {
  if (piece.kind == PieceKind::kCoded) return load_tile<C>(warp, from, piece.bytes, words);
  warp.each([&](unsigned lane) {
    words[lane].header = words[lane].list = 0;
    if (piece.kind == PieceKind::kConstant) {
      const std::uint32_t element = element_everywhere<C>(warp.load_word(from));
      each_row([&](auto row) {
        WEFT_UNROLLED
        for (unsigned w = 0; w < C::kRowWords; ++w) words[lane].row[row][w] = element;
      });
      return;
    }
    const std::uint8_t* at = warp.base(from + 4 * C::kRowWords * lane);
    each_row([&](auto row) {
      WEFT_UNROLLED
      for (unsigned w = 0; w < C::kRowWords; ++w)
        words[lane].row[row][w] = warp.load_word(at + 4 * (C::kRowWords * kLanes * row + w));
    });
  });
}
template <typename C, typename Warp>
WEFT_DEVICE Fault decode_piece(Warp& warp, const std::uint8_t* from, const PieceFound& piece,
                               const PieceWords<C, Warp>& words, TileElements<C, Warp>& elements) {
  if (piece.kind == PieceKind::kCoded) return decode_tile<C>(warp, from, piece.bytes, words, elements);
  warp.each([&](unsigned lane) {
    each_row([&](auto row) {
      WEFT_UNROLLED
      for (unsigned w = 0; w < C::kRowWords; ++w) elements[lane].word[row][w] = words[lane].row[row][w];
    });
  });
  return Fault::kNone;
}

// A tile whose loads were made.
template <typename C, typename Warp>
struct FetchedTile {
  PieceFound piece;
  bool sound;  // by its entry of the table
  PieceWords<C, Warp> words;
};

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
      if (facts.fault == Fault::kNone) tables_[number] = TableReader<C, Warp>(warp, slot, places_, facts.raw);
      faults_[number] = kNoFault;
    });
  }

  // Of the header: nothing else may be asked for then.
  WEFT_DEVICE Fault header_fault() const { return header_fault_; }
  WEFT_DEVICE const SlotPlaces<C>& places() const { return places_; }

  using Fetched = FetchedTile<C, Warp>;
  // A whole tile: its loads are made. Tiles of a warp in ascending order, at most 32 apart.
  WEFT_DEVICE void fetch(Warp& warp, unsigned number, std::uint32_t tile, Fetched& fetched) {
    fetched.piece = tables_[number].find(warp, places_, tile);
    fetched.sound = keep(number, tile, check_piece<C>(fetched.piece, slot_bytes_));
    fetch_again(warp, fetched);
  }
  WEFT_DEVICE void fetch_again(Warp& warp, Fetched& fetched) {
    if (fetched.sound)
      load_piece<C>(warp, slot_ + fetched.piece.offset, fetched.piece, fetched.words);
    else
      fetched.words = {};
  }
  // False where the piece has a fault, which is kept.
  WEFT_DEVICE bool read(Warp& warp, unsigned number, std::uint32_t tile, const Fetched& fetched,
                        TileElements<C, Warp>& elements) {
    return fetched.sound &&
           keep(number, tile,
                decode_piece<C>(warp, slot_ + fetched.piece.offset, fetched.piece, fetched.words, elements));
  }
  // The last piece, if it is shorter than a tile: calls use(warp, where it is, whether its elements are one).
  // Then, for all, what became of the slot.
  template <typename Use>
  WEFT_DEVICE SlotOutcome finish(Group& group, const Use& use) {
    const bool left_over = places_.pieces == 0 && slot_bytes_ != places_.pieces_offset;
    group.each_warp([&](Warp& warp, unsigned number) {
      if (number != 0 || places_.pieces == 0) return;
      const std::uint32_t last = places_.pieces - 1;
      const PieceFound piece = tables_[number].find(warp, places_, last);
      const auto bytes = static_cast<unsigned>(places_.payload_bytes % SlotPlaces<C>::kTileBytes);
      if (bytes != 0) {
        const Fault fault = is_outside(piece) ? Fault::kOutsideSlot : check_last_piece<C>(piece, bytes);
        if (keep(number, last, fault)) use(warp, slot_ + piece.offset, piece.kind == PieceKind::kConstant);
      }
      // Any fault of a piece comes before it.
      if (piece.offset + piece.bytes != slot_bytes_) keep(number, kLeftOverPiece, Fault::kLeftOver);
    });
    const std::uint32_t first = group.smallest(faults_);
    return outcome(slot_bytes_, first, left_over);
  }

 private:
  static constexpr std::uint32_t kLeftOverPiece = 0x00fffffe;  // behind all that there are

  WEFT_DEVICE bool is_outside(const PieceFound& piece) const {
    return piece.offset > slot_bytes_ || piece.bytes > slot_bytes_ - piece.offset;
  }
  WEFT_DEVICE bool keep(unsigned number, std::uint32_t tile, Fault fault) {
    if (fault == Fault::kNone) return true;
    const std::uint32_t found = fault_of_piece(tile, fault);
    faults_[number] = found < faults_[number] ? found : faults_[number];
    return false;
  }

  const std::uint8_t* slot_;
  std::uint32_t slot_bytes_;
  Fault header_fault_;
  SlotPlaces<C> places_;
  typename Group::template EachWarp<TableReader<C, Warp>> tables_;
  typename Group::template EachWarp<std::uint32_t> faults_;
};

}  // namespace weft::compression::cuda
