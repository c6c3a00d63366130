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
#include <type_traits>

#include "compression/cuda/group_reader.h"
#include "compression/cuda/group_writer.h"
#include "compression/cuda/tile_reduce.h"

namespace weft::compression::cuda {

// When a tile's loads are made. Which is best only a GPU can tell (codec_cuda_bench).
struct Loads {
  // Of the next tile while this one is coded: hides the memory's latency where few warps are resident, and
  // takes registers.
  bool ahead = false;
  // A reduction's local elements only when the slot's have been decoded; until then they are on their way to
  // the second cache. Takes 16 registers fewer (FP32: 32).
  bool local_late = false;
};

// The whole tiles of a slot, a round of the group at a time. load(warp, number, tile, loaded) makes a tile's
// loads; work(warp, number, tile, loaded, round, next) does the rest and calls next() when it needs `loaded`
// no more, round being what the warp hands over to end_round(first, rounds).
template <Loads kLoads, typename Loaded, typename Round, typename Group, typename Load, typename Work,
          typename End>
WEFT_DEVICE void each_round(Group& group, std::uint32_t tiles, const Load& load, const Work& work,
                            const End& end) {
  using Warp = typename Group::Warp;
  typename Group::template EachWarp<Loaded> ahead(group);
  const auto load_ahead = [&](Warp& warp, unsigned number, std::uint32_t tile) {
    if (tile < tiles)
      load(warp, number, tile, ahead[number]);
    else
      ahead[number] = {};
  };
  if constexpr (kLoads.ahead)
    group.each_warp([&](Warp& warp, unsigned number) { load_ahead(warp, number, number); });
  WEFT_ROLLED
  for (std::uint32_t first = 0; first < tiles; first += group.warps()) {
    typename Group::template EachWarp<Round> rounds(group);
    group.each_warp([&](Warp& warp, unsigned number) {
      const std::uint32_t tile = first + number;
      if (tile >= tiles) {
        rounds[number] = {};
        return;
      }
      if constexpr (kLoads.ahead) {
        work(warp, number, tile, ahead[number], rounds[number],
             [&] { load_ahead(warp, number, tile + group.warps()); });
      } else {
        Loaded loaded;
        load(warp, number, tile, loaded);
        work(warp, number, tile, loaded, rounds[number], [] {});
      }
    });
    end(first, rounds);
  }
}
struct NoRound {};

// Codes `bytes` bytes at `source`.
template <typename C, Loads kLoads = Loads{}, typename Group>
WEFT_DEVICE SlotOutcome pack(Group& group, const std::uint8_t* source, std::uint64_t bytes,
                             std::uint8_t* slot) {
  using Warp = typename Group::Warp;
  constexpr unsigned kTileBytes = SlotPlaces<C>::kTileBytes;
  if (!is_aligned(slot, 4)) return {0, Fault::kMisaligned, 0};
  if (bytes > kMaxKernelPayload) return {0, Fault::kPayloadSize, 0};
  const SlotPlaces<C> places(static_cast<std::uint32_t>(bytes));
  const bool aligned = is_aligned(source, 4 * C::kRowWords);
  GroupWriter<C, Group> writer(group, slot, places);
  each_round<kLoads, TileElements<C, Warp>, TilePlan<C, Warp>>(
      group, places.whole_tiles,
      [&](Warp& warp, unsigned, std::uint32_t tile, auto& loaded) {
        load_elements<C>(warp, source + tile * kTileBytes, aligned, loaded);
      },
      [&](Warp& warp, unsigned, std::uint32_t, auto& loaded, auto& plan, const auto& next) {
        const TileElements<C, Warp> elements = loaded;
        next();
        plan_tile<C>(warp, elements, magnitudes_of<C>(warp, elements), plan);
      },
      [&](std::uint32_t first, auto& plans) { writer.write_round(group, first, plans); });
  const std::uint8_t* last = source + places.whole_tiles * kTileBytes;
  const std::uint64_t written =
      writer.finish(group, last, [&](unsigned index) { return element_at<C>(last, index); });
  return {written, Fault::kNone, 0};
}

// Decodes a slot of at most `room` bytes, which must hold exactly `bytes` of payload.
template <typename C, Loads kLoads = Loads{}, typename Group>
WEFT_DEVICE SlotOutcome unpack(Group& group, const std::uint8_t* slot, std::uint64_t room,
                               std::uint8_t* destination, std::uint64_t bytes) {
  using Warp = typename Group::Warp;
  constexpr unsigned kTileBytes = SlotPlaces<C>::kTileBytes;
  GroupReader<C, Group> reader(group, slot, room, bytes);
  if (reader.header_fault() != Fault::kNone) return {0, reader.header_fault(), 0};
  const bool aligned = is_aligned(destination, 4 * C::kRowWords);
  const std::uint32_t whole_tiles = reader.places().whole_tiles;
  each_round<kLoads, FetchedTile<C, Warp>, NoRound>(
      group, whole_tiles,
      [&](Warp& warp, unsigned number, std::uint32_t tile, auto& loaded) {
        reader.fetch(warp, number, tile, loaded);
      },
      [&](Warp& warp, unsigned number, std::uint32_t tile, auto& loaded, auto&, const auto& next) {
        TileElements<C, Warp> elements;
        const bool sound = reader.read(warp, number, tile, loaded, elements);
        next();
        if (sound) store_elements<C>(warp, elements, destination + tile * kTileBytes, aligned);
      },
      [](std::uint32_t, auto&) {});
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
template <typename C, ReduceOp kOp, Loads kLoads, typename Group>
class ReducedTiles {
 public:
  using Warp = typename Group::Warp;
  struct Loaded {
    FetchedTile<C, Warp> received;
    std::conditional_t<kLoads.local_late, NoRound, TileElements<C, Warp>> local;
  };

  WEFT_DEVICE ReducedTiles(GroupReader<C, Group>& reader, const std::uint8_t* local, int divisor)
      : reader_(reader), local_(local), aligned_(is_aligned(local, 4 * C::kRowWords)), divisor_(divisor) {}

  WEFT_DEVICE void load(Warp& warp, unsigned number, std::uint32_t tile, Loaded& loaded) {
    reader_.fetch(warp, number, tile, loaded.received);
    if constexpr (kLoads.local_late) {
      warp.expect(local_ + tile * SlotPlaces<C>::kTileBytes, SlotPlaces<C>::kTileBytes);
    } else {
      load_local(warp, tile, loaded.local);
    }
  }
  // The elements and their magnitudes; false where the slot has a fault.
  WEFT_DEVICE bool reduce(Warp& warp, unsigned number, std::uint32_t tile, Loaded& loaded,
                          TileElements<C, Warp>& elements,
                          typename Warp::template Each<std::uint32_t>& most) {
    // Twice only where a result is NaN: what was decoded is not kept beside the result.
    WEFT_ROLLED
    for (bool exactly = divisor_ != 1;; exactly = true) {
      if (!reader_.read(warp, number, tile, loaded.received, elements)) return false;
      if constexpr (kLoads.local_late) {
        TileElements<C, Warp> local;
        load_local(warp, tile, local);
        if (reduce(warp, local, elements, most, exactly)) return true;
        reader_.fetch_again(warp, loaded.received);
      } else {
        if (reduce(warp, loaded.local, elements, most, exactly)) return true;
        reader_.fetch_again(warp, loaded.received);
        load_local(warp, tile, loaded.local);
      }
    }
  }

 private:
  WEFT_DEVICE void load_local(Warp& warp, std::uint32_t tile, TileElements<C, Warp>& local) {
    load_elements<C>(warp, local_ + tile * SlotPlaces<C>::kTileBytes, aligned_, local);
  }
  // False where a result is NaN and was not reduced exactly.
  WEFT_DEVICE bool reduce(Warp& warp, TileElements<C, Warp>& local, TileElements<C, Warp>& elements,
                          typename Warp::template Each<std::uint32_t>& most, bool exactly) {
    if (exactly) {
      reduce_exactly<C, kOp>(warp, local, elements, divisor_, most);
      return true;
    }
    reduce_numbers<C, kOp>(warp, local, elements, most);
    typename Warp::template Each<bool> nan;
    warp.each([&](unsigned lane) { nan[lane] = has_nan<C>(most[lane]); });
    return !warp.any(nan);
  }

  GroupReader<C, Group>& reader_;
  const std::uint8_t* local_;
  bool aligned_;
  int divisor_;
};

// destination = local (op) what the slot holds, then divided by `divisor`. All have `bytes` bytes.
template <typename C, ReduceOp kOp, Loads kLoads = Loads{}, typename Group>
WEFT_DEVICE SlotOutcome unpack_reduce(Group& group, const std::uint8_t* slot, std::uint64_t room,
                                      const std::uint8_t* local, std::uint8_t* destination,
                                      std::uint64_t bytes, int divisor = 1) {
  using Warp = typename Group::Warp;
  using T = typename C::Element;
  constexpr unsigned kTileBytes = SlotPlaces<C>::kTileBytes;
  if (bytes % C::kRowWords != 0) return {0, Fault::kPayloadSize, 0};
  if (divisor < 1) return {0, Fault::kDivisor, 0};
  GroupReader<C, Group> reader(group, slot, room, bytes);
  if (reader.header_fault() != Fault::kNone) return {0, reader.header_fault(), 0};
  ReducedTiles<C, kOp, kLoads, Group> tiles(reader, local, divisor);
  const bool aligned = is_aligned(destination, 4 * C::kRowWords);
  const std::uint32_t whole_tiles = reader.places().whole_tiles;
  each_round<kLoads, typename ReducedTiles<C, kOp, kLoads, Group>::Loaded, NoRound>(
      group, whole_tiles,
      [&](Warp& warp, unsigned number, std::uint32_t tile, auto& loaded) {
        tiles.load(warp, number, tile, loaded);
      },
      [&](Warp& warp, unsigned number, std::uint32_t tile, auto& loaded, auto&, const auto& next) {
        TileElements<C, Warp> elements;
        typename Warp::template Each<std::uint32_t> most;
        const bool sound = tiles.reduce(warp, number, tile, loaded, elements, most);
        next();
        if (sound) store_elements<C>(warp, elements, destination + tile * kTileBytes, aligned);
      },
      [](std::uint32_t, auto&) {});
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
template <typename C, ReduceOp kOp, Loads kLoads = Loads{}, typename Group>
WEFT_DEVICE SlotOutcome unpack_reduce_pack(Group& group, const std::uint8_t* slot, std::uint64_t room,
                                           const std::uint8_t* local, std::uint8_t* next_slot,
                                           std::uint64_t bytes, int divisor = 1) {
  using Warp = typename Group::Warp;
  using T = typename C::Element;
  constexpr unsigned kTileBytes = SlotPlaces<C>::kTileBytes;
  if (bytes % C::kRowWords != 0) return {0, Fault::kPayloadSize, 0};
  if (!is_aligned(next_slot, 4)) return {0, Fault::kMisaligned, 0};
  if (divisor < 1) return {0, Fault::kDivisor, 0};
  GroupReader<C, Group> reader(group, slot, room, bytes);
  if (reader.header_fault() != Fault::kNone) return {0, reader.header_fault(), 0};
  ReducedTiles<C, kOp, kLoads, Group> tiles(reader, local, divisor);
  const SlotPlaces<C> places(static_cast<std::uint32_t>(bytes));
  GroupWriter<C, Group> writer(group, next_slot, places);
  each_round<kLoads, typename ReducedTiles<C, kOp, kLoads, Group>::Loaded, TilePlan<C, Warp>>(
      group, places.whole_tiles,
      [&](Warp& warp, unsigned number, std::uint32_t tile, auto& loaded) {
        tiles.load(warp, number, tile, loaded);
      },
      [&](Warp& warp, unsigned number, std::uint32_t tile, auto& loaded, auto& plan, const auto& next) {
        TileElements<C, Warp> elements;
        typename Warp::template Each<std::uint32_t> most;
        const bool sound = tiles.reduce(warp, number, tile, loaded, elements, most);
        next();
        if (sound) {
          plan_tile<C>(warp, elements, most, plan);
        } else {
          plan = {};
          plan.kind = PieceKind::kConstant;  // something short: the slot is of no use any more
          plan.bytes = kPieceAlignment;
        }
      },
      [&](std::uint32_t first, auto& plans) { writer.write_round(group, first, plans); });
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
