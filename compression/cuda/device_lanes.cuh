// The lanes of a warp and the warps of a block on the GPU; host_lanes.h has the same names, and says what
// they mean.
//
// A block is one-dimensional, of whole warps, at most 32 of them. All threads of the warp or block that was
// given to a primitive call it together. BlockMemory and TileScratch lie in shared memory and belong to the
// call; slots and payloads lie in global memory (a peer's or the host's, mapped, too).
#pragma once

#include <cstdint>

#include "compression/cuda/lane_tile.h"
#include "compression/cuda/tile_scratch.h"

namespace weft::compression::cuda {

// kStreaming: payload and slots pass the first cache by, as nothing of them is read twice. Which is faster
// must be measured (codec_cuda_bench).
template <bool kStreaming>
class DeviceWarpOf {
 public:
  template <typename T>
  struct Each {
    T value;
    WEFT_DEVICE T& operator[](unsigned) { return value; }
    WEFT_DEVICE const T& operator[](unsigned) const { return value; }
  };

  WEFT_DEVICE explicit DeviceWarpOf(TileScratch& scratch)
      : field_(scratch.field), lane_(threadIdx.x % kLanes) {}

  template <typename F>
  WEFT_DEVICE void each(const F& f) const {
    f(lane_);
  }
  WEFT_DEVICE std::uint32_t ballot(const Each<bool>& votes) const { return __ballot_sync(kAll, votes.value); }
  WEFT_DEVICE bool any(const Each<bool>& votes) const { return __any_sync(kAll, votes.value) != 0; }
  WEFT_DEVICE std::uint32_t largest(const Each<std::uint32_t>& values) const {
    return __reduce_max_sync(kAll, values.value);
  }
  WEFT_DEVICE std::uint32_t sum(const Each<std::uint32_t>& values) const {
    return __reduce_add_sync(kAll, values.value);
  }
  WEFT_DEVICE Each<std::uint32_t> sums_below(const Each<std::uint32_t>& values, std::uint32_t& total) const {
    std::uint32_t upto = values.value;
    // The shuffle itself says which lanes have no lane so far below: no comparison, no selection.
    WEFT_UNROLLED
    for (unsigned step = 1; step < kLanes; step *= 2)
      asm volatile(
          "{ .reg .pred there; .reg .u32 other;\n"
          "shfl.sync.up.b32 other|there, %0, %1, 0, 0xffffffff;\n"
          "@there add.u32 %0, %0, other; }"
          : "+r"(upto)
          : "r"(step));
    total = __shfl_sync(kAll, upto, kLanes - 1);
    return {upto - values.value};
  }
  // What all lanes have alike.
  WEFT_DEVICE std::uint32_t same(const Each<std::uint32_t>& values) const { return values.value; }
  WEFT_DEVICE std::uint32_t from_lane(const Each<std::uint32_t>& values, unsigned lane) const {
    return __shfl_sync(kAll, values.value, static_cast<int>(lane));
  }
  WEFT_DEVICE void sync() const { __syncwarp(); }

  WEFT_DEVICE void put_fields(unsigned index, std::uint32_t fields, unsigned count) {
    if (count == 1) field_[index] = static_cast<std::uint8_t>(fields);
    if (count == 2) *reinterpret_cast<std::uint16_t*>(field_ + index) = static_cast<std::uint16_t>(fields);
    if (count == 4) *reinterpret_cast<std::uint32_t*>(field_ + index) = fields;
  }
  WEFT_DEVICE std::uint32_t fields(unsigned index, unsigned count) const {
    if (count == 1) return field_[index];
    if (count == 2) return *reinterpret_cast<const std::uint16_t*>(field_ + index);
    return *reinterpret_cast<const std::uint32_t*>(field_ + index);
  }

  // What will be loaded soon, to the second cache; at most 4 KiB.
  WEFT_DEVICE void expect(const std::uint8_t* from, unsigned bytes) const {
    constexpr unsigned kLine = 128;
    if (kLine * lane_ < bytes)
      asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(from + kLine * lane_)));
  }
  // An address that others are told from by constants: the compiler must not add up each by itself.
  template <typename T>
  WEFT_DEVICE T* base(T* at) const {
    asm volatile("" : "+l"(at));
    return at;
  }
  // Volatile, so that loads are made where they stand: a compiler would move them behind the checks of what
  // was loaded before, and the warp would wait for memory twice.
  template <unsigned kWords>
  WEFT_DEVICE void load(const std::uint8_t* from, std::uint32_t (&words)[kWords]) const {
    const std::size_t at = __cvta_generic_to_global(from);
    if constexpr (kWords == 4) {
      if constexpr (kStreaming)
        asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                     : "l"(at));
      else
        asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                     : "l"(at));
    } else if constexpr (kWords == 2) {
      if constexpr (kStreaming)
        asm volatile("ld.global.L1::no_allocate.v2.u32 {%0, %1}, [%2];"
                     : "=r"(words[0]), "=r"(words[1])
                     : "l"(at));
      else
        asm volatile("ld.global.v2.u32 {%0, %1}, [%2];" : "=r"(words[0]), "=r"(words[1]) : "l"(at));
    } else {
      words[0] = load_word(from);
    }
  }
  template <unsigned kWords>
  WEFT_DEVICE void store(std::uint8_t* to, const std::uint32_t (&words)[kWords]) const {
    if constexpr (kWords == 4) {
      put(reinterpret_cast<uint4*>(to), make_uint4(words[0], words[1], words[2], words[3]));
    } else if constexpr (kWords == 2) {
      put(reinterpret_cast<uint2*>(to), make_uint2(words[0], words[1]));
    } else {
      store_word(to, words[0]);
    }
  }
  WEFT_DEVICE std::uint32_t load_word(const std::uint8_t* from) const {
    std::uint32_t word;
    const std::size_t at = __cvta_generic_to_global(from);
    if constexpr (kStreaming)
      asm volatile("ld.global.L1::no_allocate.u32 %0, [%1];" : "=r"(word) : "l"(at));
    else
      asm volatile("ld.global.u32 %0, [%1];" : "=r"(word) : "l"(at));
    return word;
  }
  WEFT_DEVICE std::uint32_t load_half(const std::uint8_t* from) const {
    std::uint16_t half;
    asm volatile("ld.global.u16 %0, [%1];" : "=h"(half) : "l"(__cvta_generic_to_global(from)));
    return half;
  }
  WEFT_DEVICE void store_word(std::uint8_t* to, std::uint32_t word) const {
    put(reinterpret_cast<std::uint32_t*>(to), word);
  }
  WEFT_DEVICE void store_half(std::uint8_t* to, std::uint32_t half) const {
    *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(half);
  }

 private:
  template <typename T>
  WEFT_DEVICE static void put(T* to, T value) {
    if constexpr (kStreaming)
      __stcs(to, value);
    else
      *to = value;
  }

  static constexpr unsigned kAll = 0xffffffffu;
  std::uint8_t* field_;
  unsigned lane_;
};

using DeviceWarp = DeviceWarpOf<false>;

// A warp by itself takes whole slots: no barrier.
class DeviceWarpAlone {
 public:
  using Warp = DeviceWarp;
  template <typename T>
  struct EachWarp {
    T value;
    WEFT_DEVICE explicit EachWarp(const DeviceWarpAlone&) {}
    WEFT_DEVICE T& operator[](unsigned) { return value; }
    WEFT_DEVICE const T& operator[](unsigned) const { return value; }
  };

  WEFT_DEVICE explicit DeviceWarpAlone(TileScratch& scratch) : warp_(scratch) {}
  WEFT_DEVICE static constexpr unsigned warps() { return 1; }
  template <typename F>
  WEFT_DEVICE void each_warp(const F& f) {
    f(warp_, 0u);
  }
  WEFT_DEVICE void sums_below(const EachWarp<std::uint32_t>& sizes, EachWarp<std::uint32_t>& below,
                              std::uint32_t& total) {
    below.value = 0;
    total = sizes.value;
  }
  WEFT_DEVICE std::uint32_t smallest(const EachWarp<std::uint32_t>& values) const { return values.value; }

 private:
  DeviceWarp warp_;
};

template <unsigned kWarps>
struct BlockMemory {
  TileScratch scratch[kWarps];
  std::uint32_t sizes[2][kWarps];
  std::uint32_t smallest[kWarps];
};

template <unsigned kWarps, bool kStreaming = false>
class DeviceBlock {
  static_assert(kWarps >= 2 && kWarps <= kLanes);

 public:
  using Warp = DeviceWarpOf<kStreaming>;
  template <typename T>
  struct EachWarp {
    T value;
    WEFT_DEVICE explicit EachWarp(const DeviceBlock&) {}
    WEFT_DEVICE T& operator[](unsigned) { return value; }
    WEFT_DEVICE const T& operator[](unsigned) const { return value; }
  };

  WEFT_DEVICE explicit DeviceBlock(BlockMemory<kWarps>& memory)
      : memory_(memory), number_(threadIdx.x / kLanes), warp_(memory.scratch[threadIdx.x / kLanes]) {}

  WEFT_DEVICE static constexpr unsigned warps() { return kWarps; }
  template <typename F>
  WEFT_DEVICE void each_warp(const F& f) {
    f(warp_, number_);
  }
  // Two arrays in turn, so that one barrier a round is enough: who writes here again has passed the next one,
  // which nobody passes who still reads.
  WEFT_DEVICE void sums_below(const EachWarp<std::uint32_t>& sizes, EachWarp<std::uint32_t>& below,
                              std::uint32_t& total) {
    std::uint32_t* mine = memory_.sizes[round_ ^= 1u];
    if (threadIdx.x % kLanes == 0) mine[number_] = sizes.value;
    __syncthreads();
    total = below.value = 0;
    WEFT_UNROLLED
    for (unsigned warp = 0; warp < kWarps; ++warp) {
      const std::uint32_t size = mine[warp];
      total += size;
      if (warp < number_) below.value += size;
    }
  }
  WEFT_DEVICE std::uint32_t smallest(const EachWarp<std::uint32_t>& values) const {
    __syncthreads();
    if (threadIdx.x % kLanes == 0) memory_.smallest[number_] = values.value;
    __syncthreads();
    std::uint32_t least = ~0u;
    WEFT_UNROLLED
    for (unsigned warp = 0; warp < kWarps; ++warp)
      least = memory_.smallest[warp] < least ? memory_.smallest[warp] : least;
    return least;
  }

 private:
  BlockMemory<kWarps>& memory_;
  unsigned number_;
  unsigned round_ = 0;
  Warp warp_;
};

}  // namespace weft::compression::cuda
