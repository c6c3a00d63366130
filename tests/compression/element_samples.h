// Payloads that the codec's tests share: the same ones on every machine, as nothing here depends on a
// library's distributions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "compression/element_type.h"

namespace weft::compression {

struct Sample {
  std::string name;
  ElementType type;
  std::vector<std::byte> bytes;
};

// Steele, Lea and Flood, 2014.
class SplitMix {
 public:
  explicit SplitMix(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t x = state_ += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

 private:
  std::uint64_t state_;
};

// The bits of the type's number next to `value`. Cut off, not rounded: the tests care for bits, not for
// values.
std::uint32_t bits_of(ElementType type, float value);

// Where a type's exponent begins, and its bits.
struct Exponent {
  unsigned lowest, bits;
};
Exponent exponent_of(ElementType type);

// Sums of uniform numbers, near enough to a normal distribution, of about this scale.
std::vector<std::byte> gaussian(ElementType type, std::size_t elements, float scale, std::uint64_t seed);
std::vector<std::byte> random_bytes(std::size_t bytes, std::uint64_t seed);
// Words in any order: what zstd makes smaller.
std::vector<std::byte> words(std::size_t bytes, std::uint64_t seed);
// Every pattern of a 16-bit type in an order without runs: 128 KiB.
std::vector<std::byte> every_half_pattern();

// For each float type: normal numbers, random bytes, constants, numbers among zeros, exponents far apart, as
// many escapes as a tile may have and one more, and lengths around those of tiles. For bytes of unknown type:
// pieces that level archive leaves raw, finds constant, and codes.
std::vector<Sample> samples();

}  // namespace weft::compression
