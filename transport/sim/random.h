// A random source whose draws are the same on every machine and with every standard library, so that a seed
// replays anywhere (SplitMix64, Steele, Lea and Flood, OOPSLA 2014).
#pragma once

#include <cstdint>

#include "transport/multipath/types.h"

namespace weft::sim {

class Random {
 public:
  // The seed is mixed first: the streams of neighbouring states are the same stream, one step apart.
  explicit Random(std::uint64_t seed) : state_(mix(seed + 0x9E3779B97F4A7C15u)) {}
  std::uint64_t next() { return mix(state_ += 0x9E3779B97F4A7C15u); }
  static std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // In [0, bound).
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
  // In [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  bool chance(double probability) { return unit() < probability; }
  multipath::Duration duration(multipath::Duration low, multipath::Duration high) {
    return low + multipath::Duration(below(static_cast<std::uint64_t>((high - low).count()) + 1));
  }
  // Small values often, large ones seldom: uniform in the number of bits.
  std::uint64_t scaled(std::uint64_t most) {
    std::uint64_t bits = 1;
    while (bits < 63 && (most >> bits) != 0) ++bits;
    std::uint64_t value = next() >> (64 - between(1, bits));
    return value > most ? most : value;
  }
  // A source of its own, for a part that shall not disturb the draws of the others.
  Random split() { return Random(next()); }

 private:
  std::uint64_t state_;
};

}  // namespace weft::sim
