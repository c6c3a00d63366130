// The four fused primitives for a warp or a block of a GPU: from elements to a wire slot, from a slot to
// elements, and both with a reduction between. What slot/codec.h does on the CPU, with the same bytes, for
// the float types at levels fast and dense; a slot of level raw is read too. Level archive and bytes stay
// with the CPU.
//
// `Group` is DeviceWarpAlone or DeviceBlock (device_lanes.cuh); on the host HostBlock. All its threads call
// together; every thread gets the outcome. Nothing is kept in memory but the group's few hundred bytes a warp
// of shared memory: a tile goes from the source through registers into the slot. Memory is the caller's:
// - a payload has at most kMaxKernelPayload bytes;
// - slots begin at a multiple of 4; a slot that is written has room for max_slot_bytes();
// - payload may begin anywhere, but goes faster aligned to four elements;
// - buffers do not overlap, except that a reduction's local elements may be its destination.
// What was written is visible to the group's other threads, and to other blocks and devices, only after the
// caller's barrier and fence. Whatever a slot holds, nothing outside of the buffers is read or written; where
// something is wrong, what was written to the destination is undefined.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/cuda/group_reader.h"
#include "compression/cuda/group_writer.h"
#include "compression/cuda/tile_reduce.h"

namespace weft::compression::cuda {

// kAhead: a warp loads its next tile while it codes this one, which hides the memory's latency where few warps are
// resident, and takes 16 to 36 registers (twice that for FP32).

// Codes `bytes` bytes at `source`.
template <typename C, bool kAhead = false, typename Group>
WEFT_DEVICE SlotOutcome pack(Group& group, const std::uint8_t* source, std::uint64_t bytes,
                             std::uint8_t* slot) {
  using Warp = typename Group::Warp;
  constexpr unsigned kTileBytes = SlotPlaces<C>::kTileBytes;
  if (!is_aligned(slot, 4)) return {0, Fault::kMisaligned, 0};
  if (bytes > kMaxKernelPayload) return {0, Fault::kPayloadSize, 0};
  const SlotPlaces<C> places(static_cast<std::uint32_t>(bytes));
  const bool aligned = is_aligned(source, 4 * C::kRowWords);
  GroupWriter<C, Group> writer(group, slot, places);
  typename Group::template EachWarp<TileElements<C, Warp>> loaded(group);
  const auto load = [&](Warp& warp, unsigned number, std::uint32_t tile) {
    if (tile < places.whole_tiles) load_elements<C>(warp, source + tile * kTileBytes, aligned, loaded[number]);
  };
  if constexpr (kAhead) group.each_warp([&](Warp& warp, unsigned number) { load(warp, number, number); });
  WEFT_ROLLED
  for (std::uint32_t first = 0; first < places.whole_tiles; first += group.warps()) {
    group.each_warp([&](Warp& warp, unsigned number) {
      const std::uint32_t tile = first + number;
      if (tile >= places.whole_tiles) return writer.skip(number);
      if constexpr (!kAhead) load(warp, number, tile);
      const TileElements<C, Warp> elements = loaded[number];
      if constexpr (kAhead) load(warp, number, tile + group.warps());
      plan_tile<C>(warp, elements, magnitudes_of<C>(warp, elements), writer.plan(number));
    });
    writer.write_round(group, first);
  }
  const std::uint8_t* last = source + places.whole_tiles * kTileBytes;
  const std::uint64_t written =
      writer.finish(group, last, [&](unsigned index) { return element_at<C>(last, index); });
  return {written, Fault::kNone, 0};
}

// Decodes a slot of at most `room` bytes, which must hold exactly `bytes` of payload.
template <typename C, bool kAhead = false, typename Group>
WEFT_DEVICE SlotOutcome unpack(Group& group, const std::uint8_t* slot, std::uint64_t room,
                               std::uint8_t* destination, std::uint64_t bytes) {
  using Warp = typename Group::Warp;
  constexpr unsigned kTileBytes = SlotPlaces<C>::kTileBytes;
  GroupReader<C, Group> reader(group, slot, room, bytes);
  if (reader.header_fault() != Fault::kNone) return {0, reader.header_fault(), 0};
  const bool aligned = is_aligned(destination, 4 * C::kRowWords);
  const std::uint32_t whole_tiles = reader.places().whole_tiles;
  const auto fetch = [&](Warp& warp, unsigned number, std::uint32_t tile) {
    if (tile < whole_tiles) reader.fetch(warp, number, tile);
  };
  if constexpr (kAhead) group.each_warp([&](Warp& warp, unsigned number) { fetch(warp, number, number); });
  WEFT_ROLLED
  for (std::uint32_t first = 0; first < whole_tiles; first += group.warps()) {
    group.each_warp([&](Warp& warp, unsigned number) {
      const std::uint32_t tile = first + number;
      if (tile >= whole_tiles) return;
      TileElements<C, Warp> elements;
      if constexpr (!kAhead) fetch(warp, number, tile);
      const bool sound = reader.read(warp, number, elements);
      if constexpr (kAhead) fetch(warp, number, tile + group.warps());
      if (sound) store_elements<C>(warp, elements, destination + tile * kTileBytes, aligned);
    });
  }
  return reader.finish(group, [&](Warp& warp, const std::uint8_t* from, bool constant) {
    const std::uint64_t done = whole_tiles * kTileBytes;
    warp.each([&](unsigned lane) {
      WEFT_ROLLED
      for (std::uint64_t i = lane; done + i < bytes; i += kLanes)
        destination[done + i] = from[constant ? i % C::kRowWords : i];
    });
  });
}

// The tiles of a slot, reduced with `local`.
template <typename C, ReduceOp kOp, bool kAhead, typename Group>
class ReducedTiles {
 public:
  using Warp = typename Group::Warp;
  using Words = typename Warp::template Each<std::uint32_t>;

  WEFT_DEVICE ReducedTiles(Group& group, GroupReader<C, Group>& reader, const std::uint8_t* local, int divisor)
      : reader_(reader),
        local_(local),
        aligned_(is_aligned(local, 4 * C::kRowWords)),
        divisor_(divisor),
        warps_(group.warps()),
        here_(group) {
    if constexpr (kAhead) group.each_warp([&](Warp& warp, unsigned number) { fetch(warp, number, number); });
  }

  // Tile `tile` and the magnitudes of its elements; false where the slot has a fault.
  WEFT_DEVICE bool read(Warp& warp, unsigned number, std::uint32_t tile, TileElements<C, Warp>& elements,
                        Words& most) {
    if constexpr (!kAhead) fetch(warp, number, tile);
    const bool sound = reduce(warp, number, tile, elements, most);
    if constexpr (kAhead) fetch(warp, number, tile + warps_);
    return sound;
  }

 private:
  WEFT_DEVICE void fetch(Warp& warp, unsigned number, std::uint32_t tile) {
    if (tile >= reader_.places().whole_tiles) return;
    reader_.fetch(warp, number, tile);
    load_local(warp, number, tile);
  }
  WEFT_DEVICE void load_local(Warp& warp, unsigned number, std::uint32_t tile) {
    load_elements<C>(warp, local_ + tile * SlotPlaces<C>::kTileBytes, aligned_, here_[number]);
  }
  WEFT_DEVICE bool reduce(Warp& warp, unsigned number, std::uint32_t tile, TileElements<C, Warp>& elements,
                          Words& most) {
    // Twice only where a result is NaN: what was decoded is not kept beside the result.
    WEFT_ROLLED
    for (bool exactly = divisor_ != 1;; exactly = true) {
      if (!reader_.read(warp, number, elements)) return false;
      if (exactly) {
        reduce_exactly<C, kOp>(warp, here_[number], elements, divisor_, most);
        return true;
      }
      reduce_numbers<C, kOp>(warp, here_[number], elements, most);
      typename Warp::template Each<bool> nan;
      warp.each([&](unsigned lane) { nan[lane] = has_nan<C>(most[lane]); });
      if (!warp.any(nan)) return true;
      reader_.fetch_again(warp, number);
      load_local(warp, number, tile);
    }
  }

  GroupReader<C, Group>& reader_;
  const std::uint8_t* local_;
  bool aligned_;
  int divisor_;
  unsigned warps_;
  typename Group::template EachWarp<TileElements<C, Warp>> here_;
};

// destination = local (op) what the slot holds, then divided by `divisor`. All have `bytes` bytes.
template <typename C, ReduceOp kOp, bool kAhead = false, typename Group>
WEFT_DEVICE SlotOutcome unpack_reduce(Group& group, const std::uint8_t* slot, std::uint64_t room,
                                      const std::uint8_t* local, std::uint8_t* destination,
                                      std::uint64_t bytes, int divisor = 1) {
  using Warp = typename Group::Warp;
  using T = typename C::Element;
  constexpr unsigned kTileBytes = SlotPlaces<C>::kTileBytes;
  if (bytes % C::kRowWords != 0) return {0, Fault::kPayloadSize, 0};
  GroupReader<C, Group> reader(group, slot, room, bytes);
  if (reader.header_fault() != Fault::kNone) return {0, reader.header_fault(), 0};
  ReducedTiles<C, kOp, kAhead, Group> tiles(group, reader, local, divisor);
  const bool aligned = is_aligned(destination, 4 * C::kRowWords);
  const std::uint32_t whole_tiles = reader.places().whole_tiles;
  WEFT_ROLLED
  for (std::uint32_t first = 0; first < whole_tiles; first += group.warps()) {
    group.each_warp([&](Warp& warp, unsigned number) {
      const std::uint32_t tile = first + number, at = tile * kTileBytes;
      if (tile >= whole_tiles) return;
      TileElements<C, Warp> elements;
      typename Warp::template Each<std::uint32_t> most;
      if (tiles.read(warp, number, tile, elements, most))
        store_elements<C>(warp, elements, destination + at, aligned);
    });
  }
  return reader.finish(group, [&](Warp& warp, const std::uint8_t* from, bool constant) {
    const std::uint64_t done = whole_tiles * kTileBytes;
    const auto elements = static_cast<unsigned>((bytes - done) / C::kRowWords);
    warp.each([&](unsigned lane) {
      WEFT_ROLLED
      for (unsigned i = lane; i < elements; i += kLanes) {
        const std::uint32_t received = element_at<C>(from, constant ? 0 : i);
        put_element<C>(destination + done, i,
                       reduced_exactly<T, kOp>(element_at<C>(local + done, i), received, divisor));
      }
    });
  });
}

// The same result, coded into `next_slot` and never written elsewhere. The outcome is that of the slot that
// was read, or, if it has no fault, the size of the one that was written.
template <typename C, ReduceOp kOp, bool kAhead = false, typename Group>
WEFT_DEVICE SlotOutcome unpack_reduce_pack(Group& group, const std::uint8_t* slot, std::uint64_t room,
                                           const std::uint8_t* local, std::uint8_t* next_slot,
                                           std::uint64_t bytes, int divisor = 1) {
  using Warp = typename Group::Warp;
  using T = typename C::Element;
  constexpr unsigned kTileBytes = SlotPlaces<C>::kTileBytes;
  if (bytes % C::kRowWords != 0) return {0, Fault::kPayloadSize, 0};
  if (!is_aligned(next_slot, 4)) return {0, Fault::kMisaligned, 0};
  GroupReader<C, Group> reader(group, slot, room, bytes);
  if (reader.header_fault() != Fault::kNone) return {0, reader.header_fault(), 0};
  ReducedTiles<C, kOp, kAhead, Group> tiles(group, reader, local, divisor);
  const SlotPlaces<C> places(static_cast<std::uint32_t>(bytes));
  GroupWriter<C, Group> writer(group, next_slot, places);
  WEFT_ROLLED
  for (std::uint32_t first = 0; first < places.whole_tiles; first += group.warps()) {
    group.each_warp([&](Warp& warp, unsigned number) {
      const std::uint32_t tile = first + number;
      if (tile >= places.whole_tiles) return writer.skip(number);
      TileElements<C, Warp> elements;
      typename Warp::template Each<std::uint32_t> most;
      if (tiles.read(warp, number, tile, elements, most)) {
        plan_tile<C>(warp, elements, most, writer.plan(number));
      } else {
        TilePlan<C, Warp> plan{};
        plan.kind = PieceKind::kConstant;  // something short: the slot is of no use any more
        plan.bytes = kPieceAlignment;
        writer.plan(number) = plan;
      }
    });
    writer.write_round(group, first);
  }
  const std::uint8_t* last_received = nullptr;
  bool last_constant = false;
  const SlotOutcome received = reader.finish(group, [&](Warp&, const std::uint8_t* from, bool constant) {
    last_received = from;
    last_constant = constant;
  });
  if (received.fault != Fault::kNone) return received;
  const std::uint8_t* last = local + places.whole_tiles * kTileBytes;
  const std::uint64_t written = writer.finish(group, last, [&](unsigned index) {
    return reduced_exactly<T, kOp>(element_at<C>(last, index),
                                   element_at<C>(last_received, last_constant ? 0 : index), divisor);
  });
  return {written, Fault::kNone, 0};
}

}  // namespace weft::compression::cuda
