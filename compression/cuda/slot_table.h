// A slot's header and table (FORMAT.md) as the lanes of a warp see them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/cuda/fault.h"
#include "compression/cuda/lane_tile.h"
#include "compression/slot_format.h"

namespace weft::compression::cuda {

// Places in a slot are 32-bit numbers, which saves a third of the registers: a payload has at most 1 GiB
// here.
inline constexpr std::uint64_t kMaxKernelPayload = std::uint64_t{1} << 30;

// Of levels fast and dense. A slot of level raw has no table; its tiles lie side by side.
template <typename C>
struct SlotPlaces {
  static constexpr unsigned kTileBytes = static_cast<unsigned>(C::kShape.tile_bytes());
  static constexpr unsigned kHeaderBytes = static_cast<unsigned>(kSlotHeaderBytes);

  std::uint32_t payload_bytes, pieces, whole_tiles;
  std::uint32_t pieces_offset;  // from the slot's first byte

  SlotPlaces() = default;
  WEFT_DEVICE explicit SlotPlaces(std::uint32_t payload, bool raw = false)
      : payload_bytes(payload),
        pieces((payload + kTileBytes - 1) / kTileBytes),
        whole_tiles(payload / kTileBytes),
        pieces_offset(raw ? kHeaderBytes : (kHeaderBytes + 2 * pieces + 15) / 16 * 16) {}
};

template <typename Warp>
WEFT_DEVICE void write_slot_header(const Warp& warp, std::uint8_t* slot, ElementType type, Level level,
                                   std::uint64_t payload_bytes, std::uint64_t slot_bytes) {
  const auto store = [&](unsigned word, std::uint64_t value) {
    warp.store_word(slot + 4 * word, static_cast<std::uint32_t>(value & 0xffffffffu));
  };
  store(0, kSlotMagic | std::uint32_t{kSlotVersion} << 16 | static_cast<std::uint32_t>(level) << 24);
  store(1, static_cast<std::uint32_t>(type));
  store(2, payload_bytes);
  store(3, payload_bytes >> 32);
  store(4, slot_bytes);
  store(5, slot_bytes >> 32);
  store(6, 0);
  store(7, 0);
}

struct SlotFacts {
  std::uint64_t slot_bytes = 0;
  bool raw = false;
  Fault fault = Fault::kNone;
};
// `room` is what may be read at `slot`, of which the slot may take less.
template <typename C, typename Warp>
WEFT_DEVICE SlotFacts read_slot_header(const Warp& warp, const std::uint8_t* slot, std::uint64_t room,
                                       std::uint64_t payload_bytes) {
  SlotFacts facts;
  facts.fault = Fault::kMisaligned;
  if (reinterpret_cast<std::uintptr_t>(slot) % 4 != 0) return facts;
  facts.fault = Fault::kHeader;
  if (room < kSlotHeaderBytes) return facts;
  const auto word = [&](unsigned index) { return warp.load_word(slot + 4 * index); };
  const auto pair = [&](unsigned index) { return word(index) | std::uint64_t{word(index + 1)} << 32; };
  const std::uint32_t first = word(0), type = word(1);
  const std::uint32_t level = first >> 24;
  if ((first & 0xffffffu) != (kSlotMagic | std::uint32_t{kSlotVersion} << 16)) return facts;
  if (type >> 8 != 0 || pair(6) != 0) return facts;
  facts.fault = Fault::kOtherCoding;
  facts.raw = level == static_cast<std::uint32_t>(Level::kRaw);
  if (type != static_cast<std::uint32_t>(C::kType)) return facts;
  if (!facts.raw && level != static_cast<std::uint32_t>(C::kLevel)) return facts;
  facts.fault = Fault::kPayloadSize;
  if (pair(2) != payload_bytes || payload_bytes > kMaxKernelPayload) return facts;
  facts.fault = Fault::kHeader;
  facts.slot_bytes = pair(4);
  if (facts.slot_bytes > room) return facts;
  if (facts.slot_bytes > 2 * kMaxKernelPayload) return facts;
  if (facts.slot_bytes < SlotPlaces<C>(static_cast<std::uint32_t>(payload_bytes), facts.raw).pieces_offset)
    return facts;
  facts.fault = Fault::kNone;
  return facts;
}

struct PieceFound {
  PieceKind kind;
  unsigned bytes;
  std::uint32_t offset;  // from the slot's first byte
};

// Where pieces begin, 32 of them at a time: each lane knows one entry of the table. Pieces are asked for in
// ascending order, and not more than 32 apart.
template <typename C, typename Warp>
class TableReader {
 public:
  TableReader() = default;
  WEFT_DEVICE TableReader(Warp& warp, const std::uint8_t* slot, const SlotPlaces<C>& places, bool raw)
      : slot_(slot), raw_(raw), known_(0), next_offset_(places.pieces_offset) {
    if (!raw) load_ahead(warp, places);
  }

  // All lanes together.
  WEFT_DEVICE PieceFound find(Warp& warp, const SlotPlaces<C>& places, std::uint32_t piece) {
    if (raw_) {
      const std::uint32_t before = piece * SlotPlaces<C>::kTileBytes;
      const std::uint32_t left = places.payload_bytes - before;
      const bool whole = left >= SlotPlaces<C>::kTileBytes;
      return {PieceKind::kRaw, whole ? SlotPlaces<C>::kTileBytes : left, places.pieces_offset + before};
    }
    while (piece >= known_) advance(warp, places);
    const auto index = static_cast<unsigned>(piece % kLanes);
    const std::uint32_t entry = warp.from_lane(entries_, index);
    return {static_cast<PieceKind>(entry >> 14), entry % (1u << 14) * static_cast<unsigned>(kPieceAlignment),
            warp.from_lane(places_, index)};
  }

 private:
  // The entries behind those that are known: by the time that they are asked for, they are here.
  WEFT_DEVICE void load_ahead(Warp& warp, const SlotPlaces<C>& places) {
    warp.each([&](unsigned lane) {
      const std::uint32_t piece = known_ + lane;
      ahead_[lane] = piece < places.pieces ? warp.load_half(slot_ + kSlotHeaderBytes + 2 * piece) : 0u;
    });
  }
  WEFT_DEVICE void advance(Warp& warp, const SlotPlaces<C>& places) {
    entries_ = ahead_;
    typename Warp::template Each<std::uint32_t> sizes;
    warp.each([&](unsigned lane) {
      sizes[lane] = entries_[lane] % (1u << 14) * static_cast<unsigned>(kPieceAlignment);
    });
    std::uint32_t total = 0;
    places_ = warp.sums_below(sizes, total);
    warp.each([&](unsigned lane) { places_[lane] += next_offset_; });
    next_offset_ += total;
    known_ += kLanes;
    load_ahead(warp, places);
  }

  const std::uint8_t* slot_;
  bool raw_;
  std::uint32_t known_, next_offset_;
  typename Warp::template Each<std::uint32_t> entries_, places_, ahead_;
};

}  // namespace weft::compression::cuda
