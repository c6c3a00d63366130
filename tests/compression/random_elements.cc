#include "tests/compression/random_elements.h"

#include <array>
#include <cmath>
#include <cstring>

#include "compression/tile_shape.h"

namespace weft::compression {
namespace {

// One element at a time, as the bits of its type in the lowest bits of a word.
class Source {
 public:
  Source(ElementType type, Distribution distribution, SplitMix& random)
      : type_(type),
        distribution_(distribution),
        exponent_(exponent_of(type)),
        random_(random),
        // Scales that 8-bit floats can still hold, and others.
        scale_(std::ldexp(1.0f, static_cast<int>(random.next() % 24) - 16)),
        constant_(static_cast<std::uint32_t>(random.next())) {}

  // Whatever changes from one tile to the next.
  void begin_tile() {
    const std::uint64_t draw = random_.next();
    odd_one_out_ = draw % 8 == 0 ? (draw >> 8) % kTileElements : kTileElements;
    width_ = 6 + (draw >> 32) % 4;
    share_ = static_cast<unsigned>(draw >> 40) & 0xff;
    top_ = static_cast<unsigned>((draw >> 48) & ((1u << exponent_.bits) - 1));
  }

  std::uint32_t element(std::size_t index) {
    switch (distribution_) {
      case Distribution::kUniformBits:
        return static_cast<std::uint32_t>(random_.next() >> 32);
      case Distribution::kNormal:
        return normal();
      case Distribution::kConstant:
        return index == odd_one_out_ ? static_cast<std::uint32_t>(random_.next()) : constant_;
      case Distribution::kNanRich:
        return (random_.next() & 0xff) < share_ ? normal() : with_exponent(~0u);
      case Distribution::kSparse:
        return (random_.next() & 0xff) < share_ ? normal()
                                                : with_exponent(0) & (share_ % 2 == 0 ? ~0u : sign());
      case Distribution::kSpread: {
        const std::uint64_t draw = random_.next();
        const bool far = (draw & 0xff) < share_ / 2;
        return with_exponent(far ? static_cast<unsigned>(draw >> 8)
                                 : top_ - static_cast<unsigned>((draw >> 16) % width_));
      }
    }
    return 0;
  }

 private:
  std::uint32_t normal() {
    // Four uniform numbers of 16 bits: near enough for exponents.
    const std::uint64_t draw = random_.next();
    const auto sum = static_cast<std::int64_t>((draw & 0xffff) + (draw >> 16 & 0xffff) +
                                               (draw >> 32 & 0xffff) + (draw >> 48));
    // Its low bits are none of the sum's, which would make the last bits of a float32 zero.
    const std::uint32_t low = type_ == ElementType::kFloat32 ? static_cast<std::uint32_t>(draw) & 0xff : 0;
    return bits_of(type_, static_cast<float>(sum - 2 * 0xffff) / 37837.0f * scale_) ^ low;
  }
  std::uint32_t with_exponent(unsigned exponent) {
    const std::uint32_t mask = ((1u << exponent_.bits) - 1) << exponent_.lowest;
    return (static_cast<std::uint32_t>(random_.next() >> 32) & ~mask) | (exponent << exponent_.lowest & mask);
  }
  std::uint32_t sign() const { return 1u << (8 * element_bytes(type_) - 1); }

  ElementType type_;
  Distribution distribution_;
  Exponent exponent_;
  SplitMix& random_;
  float scale_;
  std::uint32_t constant_;
  std::size_t odd_one_out_ = 0;
  unsigned width_ = 7, share_ = 0, top_ = 0;
};

template <std::size_t kBytes>
std::vector<std::byte> filled(Source& source, std::size_t elements) {
  std::vector<std::byte> bytes(elements * kBytes);
  for (std::size_t i = 0; i < elements; ++i) {
    if (i % kTileElements == 0) source.begin_tile();
    const std::uint32_t bits = source.element(i % kTileElements);
    std::memcpy(&bytes[i * kBytes], &bits, kBytes);
  }
  return bytes;
}

}  // namespace

std::string_view to_string(Distribution distribution) {
  constexpr std::array<std::string_view, kDistributions> kNames{"uniform bits", "normal", "constant",
                                                                "NaN-rich",     "sparse", "spread"};
  return kNames.at(static_cast<std::size_t>(distribution));
}

std::vector<std::byte> random_elements(ElementType type, Distribution distribution, std::size_t elements,
                                       SplitMix& random) {
  Source source(type, distribution, random);
  switch (element_bytes(type)) {
    case 1:
      return filled<1>(source, elements);
    case 2:
      return filled<2>(source, elements);
    default:
      return filled<4>(source, elements);
  }
}

}  // namespace weft::compression
