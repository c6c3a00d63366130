// The 32 lanes of a warp, and the warps of a block, run in turn on the host: the very source of the kernels
// in tests without a GPU. device_lanes.cuh has the same names for the GPU.
//
// One thread at a time. What would go wrong on a GPU and not here is watched: accesses that are not aligned,
// and shared memory that is read before the lanes were synchronised; faults() counts them. Lanes may run
// backwards: results must not change.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "compression/cuda/lane_tile.h"
#include "compression/cuda/tile_scratch.h"

namespace weft::compression::cuda {

class HostWarp {
 public:
  template <typename T>
  struct Each {
    std::array<T, kLanes> value;
    T& operator[](unsigned lane) { return value[lane]; }
    const T& operator[](unsigned lane) const { return value[lane]; }
  };

  explicit HostWarp(bool backwards = false) : backwards_(backwards) {}

  template <typename F>
  void each(const F& f) const {
    for (unsigned i = 0; i < kLanes; ++i) f(backwards_ ? kLanes - 1 - i : i);
  }

  std::uint32_t ballot(const Each<bool>& votes) const {
    std::uint32_t result = 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) result |= std::uint32_t{votes[lane]} << lane;
    return result;
  }
  bool any(const Each<bool>& votes) const { return ballot(votes) != 0; }
  std::uint32_t largest(const Each<std::uint32_t>& values) const {
    std::uint32_t most = 0;
    for (const std::uint32_t value : values.value) most = value > most ? value : most;
    return most;
  }
  std::uint32_t sum(const Each<std::uint32_t>& values) const {
    std::uint32_t total = 0;
    for (const std::uint32_t value : values.value) total += value;
    return total;
  }
  // What the lanes below have in all.
  Each<std::uint32_t> sums_below(const Each<std::uint32_t>& values, std::uint32_t& total) const {
    Each<std::uint32_t> below;
    total = 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      below[lane] = total;
      total += values[lane];
    }
    return below;
  }
  // What all lanes have alike.
  std::uint32_t same(const Each<std::uint32_t>& values) const {
    for (const std::uint32_t value : values.value) faults_ += value != values[0];
    return values[0];
  }
  std::uint32_t from_lane(const Each<std::uint32_t>& values, unsigned lane) const { return values[lane]; }
  // Before a lane reads what another has written to the scratch.
  void sync() { written_.fill(false); }

  void put_fields(unsigned index, std::uint32_t fields, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      scratch_.field[within(index + i)] = static_cast<std::uint8_t>(fields >> (8 * i) & 0xff);
      written_[within(index + i)] = true;
    }
    faults_ += index % count != 0;
  }
  std::uint32_t fields(unsigned index, unsigned count) const {
    std::uint32_t result = 0;
    for (unsigned i = 0; i < count; ++i) {
      result |= std::uint32_t{scratch_.field[within(index + i)]} << (8 * i);
      faults_ += written_[within(index + i)];
    }
    faults_ += index % count != 0;
    return result;
  }

  void expect(const std::uint8_t*, unsigned) const {}
  template <typename T>
  T* base(T* at) const {
    return at;
  }
  template <unsigned kWords>
  void load(const std::uint8_t* from, std::uint32_t (&words)[kWords]) const {
    aligned(from, sizeof(words));
    std::memcpy(words, from, sizeof(words));
  }
  template <unsigned kWords>
  void store(std::uint8_t* to, const std::uint32_t (&words)[kWords]) const {
    aligned(to, sizeof(words));
    std::memcpy(to, words, sizeof(words));
  }
  std::uint32_t load_word(const std::uint8_t* from) const { return read<std::uint32_t>(from); }
  std::uint32_t load_half(const std::uint8_t* from) const { return read<std::uint16_t>(from); }
  void store_word(std::uint8_t* to, std::uint32_t word) const { write(to, word); }
  void store_half(std::uint8_t* to, std::uint32_t half) const { write(to, static_cast<std::uint16_t>(half)); }

  std::size_t faults() const { return faults_; }

 private:
  unsigned within(unsigned index) const {
    faults_ += index >= kScratchFields;
    return index % kScratchFields;
  }
  void aligned(const void* at, std::size_t bytes) const {
    faults_ += std::bit_cast<std::uintptr_t>(at) % bytes != 0;
  }
  template <typename T>
  T read(const std::uint8_t* from) const {
    T value;
    aligned(from, sizeof(T));
    std::memcpy(&value, from, sizeof(T));
    return value;
  }
  template <typename T>
  void write(std::uint8_t* to, T value) const {
    aligned(to, sizeof(T));
    std::memcpy(to, &value, sizeof(T));
  }

  bool backwards_;
  mutable std::size_t faults_ = 0;
  TileScratch scratch_{};
  std::array<bool, kScratchFields> written_{};  // since the last sync()
};

class HostBlock {
 public:
  using Warp = HostWarp;
  template <typename T>
  class EachWarp {
   public:
    explicit EachWarp(const HostBlock& block) : value_(block.warps()) {}
    T& operator[](unsigned warp) { return value_[warp]; }
    const T& operator[](unsigned warp) const { return value_[warp]; }

   private:
    std::vector<T> value_;
  };

  explicit HostBlock(unsigned warps, bool backwards = false)
      : backwards_(backwards), warps_(warps, HostWarp(backwards)) {}

  unsigned warps() const { return static_cast<unsigned>(warps_.size()); }
  // f(warp, its number). What warps are to see of each other lies between two calls.
  template <typename F>
  void each_warp(const F& f) {
    for (unsigned i = 0; i < warps(); ++i) {
      const unsigned warp = backwards_ ? warps() - 1 - i : i;
      f(warps_[warp], warp);
    }
  }
  // What the warps below have in all, and the total of all warps.
  void sums_below(const EachWarp<std::uint32_t>& sizes, EachWarp<std::uint32_t>& below,
                  std::uint32_t& total) {
    total = 0;
    for (unsigned warp = 0; warp < warps(); ++warp) {
      below[warp] = total;
      total += sizes[warp];
    }
  }
  std::uint32_t smallest(const EachWarp<std::uint32_t>& values) const {
    std::uint32_t least = ~std::uint32_t{0};
    for (unsigned warp = 0; warp < warps(); ++warp) least = values[warp] < least ? values[warp] : least;
    return least;
  }

  std::size_t faults() const {
    std::size_t sum = 0;
    for (const HostWarp& warp : warps_) sum += warp.faults();
    return sum;
  }

 private:
  bool backwards_;
  std::vector<HostWarp> warps_;
};

}  // namespace weft::compression::cuda
