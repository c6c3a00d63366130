// How the warps of a group write a slot: each round one tile of each warp, side by side without gaps.
//
// All threads of the group call together.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/cuda/last_piece.h"
#include "compression/cuda/slot_table.h"
#include "compression/cuda/tile.h"

namespace weft::compression::cuda {

// Tiles that a group writes, side by side: each round one of each warp.
template <typename C, typename Group>
class GroupWriter {
 public:
  using Warp = typename Group::Warp;
  WEFT_DEVICE GroupWriter(Group& group, std::uint8_t* slot, const SlotPlaces<C>& places)
      : slot_(slot), places_(places), offset_(places.pieces_offset), sizes_(group), below_(group) {}

  // Of one round, and no longer: what a plan held in the round before must not be kept in registers.
  using Plans = typename Group::template EachWarp<TilePlan<C, Warp>>;
  // Tile `first` + warp is written, if there is one; `plans` of all others are {}.
  WEFT_DEVICE void write_round(Group& group, std::uint32_t first, Plans& plans) {
    std::uint32_t total = 0;
    group.each_warp([&](Warp&, unsigned number) { sizes_[number] = plans[number].bytes; });
    group.sums_below(sizes_, below_, total);
    group.each_warp([&](Warp& warp, unsigned number) {
      const std::uint32_t tile = first + number;
      if (tile >= places_.whole_tiles) return;
      write_tile<C>(warp, plans[number], slot_ + offset_ + below_[number]);
      write_entry(warp, tile, plans[number].kind, plans[number].bytes);
    });
    offset_ += total;
  }
  // The last piece, if it is shorter, from what `element` says; then the header. Returns the slot's bytes.
  template <typename Element>
  WEFT_DEVICE std::uint64_t finish(Group& group, const std::uint8_t* last, const Element& element) {
    const auto left = static_cast<unsigned>(places_.payload_bytes % SlotPlaces<C>::kTileBytes);
    const unsigned elements = left / C::kRowWords, odd_bytes = left % C::kRowWords;
    group.each_warp([&](Warp& warp, unsigned number) {
      sizes_[number] = 0;
      if (number != 0) return;
      if (left != 0) {
        const LastPiece piece = write_last_piece<C>(warp, elements, last + C::kRowWords * elements, odd_bytes,
                                                    slot_ + offset_, element);
        write_entry(warp, places_.whole_tiles, piece.kind, piece.bytes);
        sizes_[number] = piece.bytes;
      }
      warp.each([&](unsigned lane) {
        const std::uint32_t padding = SlotPlaces<C>::kHeaderBytes + 2 * (places_.pieces + lane);
        if (padding < places_.pieces_offset) warp.store_half(slot_ + padding, 0);
        if (lane == 0)
          write_slot_header(warp, slot_, C::kType, C::kLevel, places_.payload_bytes,
                            offset_ + sizes_[number]);
      });
    });
    std::uint32_t total = 0;
    group.sums_below(sizes_, below_, total);
    return offset_ + total;
  }

 private:
  WEFT_DEVICE void write_entry(Warp& warp, std::uint32_t piece, PieceKind kind, unsigned bytes) {
    warp.each([&](unsigned lane) {
      if (lane == 0)
        warp.store_half(
            slot_ + kSlotHeaderBytes + 2 * piece,
            static_cast<std::uint32_t>(kind) << 14 | bytes / static_cast<unsigned>(kPieceAlignment));
    });
  }

  std::uint8_t* slot_;
  const SlotPlaces<C>& places_;
  std::uint32_t offset_;
  typename Group::template EachWarp<std::uint32_t> sizes_, below_;
};

}  // namespace weft::compression::cuda
