// 16 bytes at a time, with the vectors that GCC and clang know on every machine (SSE2, NEON, or plain words).
#include <array>
#include <bit>
#include <cstring>

#include "compression/cpu/instruction_sets.h"
#include "compression/cpu/tile_loops.h"

namespace weft::compression::cpu {
namespace {

static_assert(std::endian::native == std::endian::little,
              "Elements and slots are little-endian (FORMAT.md).");

struct PortableBytes {
  static constexpr std::size_t kBytes = 16;
  using Bits = std::uint8_t __attribute__((vector_size(16)));
  using Halves = std::uint16_t __attribute__((vector_size(16)));
  using Words = std::uint32_t __attribute__((vector_size(16)));
  Bits bits;

  static PortableBytes load(const std::uint8_t* from) {
    PortableBytes loaded;
    std::memcpy(&loaded.bits, from, kBytes);
    return loaded;
  }
  void store(std::uint8_t* to) const { std::memcpy(to, &bits, kBytes); }
  static PortableBytes splat(std::uint8_t byte) { return {Bits{} + byte}; }
  friend PortableBytes operator&(PortableBytes a, PortableBytes b) { return {a.bits & b.bits}; }
  friend PortableBytes operator|(PortableBytes a, PortableBytes b) { return {a.bits | b.bits}; }
  friend PortableBytes operator+(PortableBytes a, PortableBytes b) { return {a.bits + b.bits}; }
  friend PortableBytes operator-(PortableBytes a, PortableBytes b) { return {a.bits - b.bits}; }
  friend PortableBytes smaller(PortableBytes a, PortableBytes b) {
    return {a.bits < b.bits ? a.bits : b.bits};
  }
  friend PortableBytes larger(PortableBytes a, PortableBytes b) {
    return {a.bits > b.bits ? a.bits : b.bits};
  }
  friend std::uint64_t equal_mask(PortableBytes a, PortableBytes b) {
    const auto equal = std::bit_cast<std::array<std::uint64_t, 2>>(a.bits == b.bits);
    if ((equal[0] | equal[1]) == 0) return 0;
    // The lowest bits of eight bytes, moved together by one product.
    const auto eight = [](std::uint64_t bytes) {
      return (bytes & 0x0101010101010101u) * 0x0102040810204080u >> 56;
    };
    return eight(equal[0]) | eight(equal[1]) << 8;
  }
  friend PortableBytes where_equal(PortableBytes a, PortableBytes b, PortableBytes equal,
                                   PortableBytes otherwise) {
    return {a.bits == b.bits ? equal.bits : otherwise.bits};
  }
  template <unsigned kBits>
  PortableBytes shifted_left() const {
    return {bits << kBits};
  }
  template <unsigned kBits>
  PortableBytes shifted_right() const {
    return {bits >> kBits};
  }

  unsigned largest_byte() const {
    unsigned most = 0;
    for (std::size_t i = 0; i < kBytes; ++i) most = bits[i] > most ? bits[i] : most;
    return most;
  }

  static Bits even(Bits a, Bits b) {
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  }
  static Bits odd(Bits a, Bits b) {
    return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  }
  static Bits first_in_turn(Bits a, Bits b) {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  }
  static Bits last_in_turn(Bits a, Bits b) {
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }
  template <bool kRotated>
  static void split_halves(const std::uint8_t* from, PortableBytes& low, PortableBytes& high) {
    Bits part[2];
    for (int i = 0; i < 2; ++i) {
      Halves halves;
      std::memcpy(&halves, from + 16 * i, 16);
      if constexpr (kRotated) halves = halves << 1 | halves >> 15;
      part[i] = std::bit_cast<Bits>(halves);
    }
    low = {even(part[0], part[1])};
    high = {odd(part[0], part[1])};
  }
  template <bool kRotated>
  static void join_halves(PortableBytes low, PortableBytes high, std::uint8_t* to) {
    const Bits part[2] = {first_in_turn(low.bits, high.bits), last_in_turn(low.bits, high.bits)};
    for (int i = 0; i < 2; ++i) {
      auto halves = std::bit_cast<Halves>(part[i]);
      if constexpr (kRotated) halves = halves >> 1 | halves << 15;
      std::memcpy(to + 16 * i, &halves, 16);
    }
  }

  template <bool kRotated>
  static void split_words(const std::uint8_t* from, std::uint8_t* halves, PortableBytes& low,
                          PortableBytes& high) {
    Bits top[2];
    for (int i = 0; i < 2; ++i) {
      Halves part[2];
      for (int j = 0; j < 2; ++j) {
        Words words;
        std::memcpy(&words, from + 32 * i + 16 * j, 16);
        if constexpr (kRotated) words = words << 1 | words >> 31;
        part[j] = std::bit_cast<Halves>(words);
      }
      const Halves bottom = __builtin_shufflevector(part[0], part[1], 0, 2, 4, 6, 8, 10, 12, 14);
      std::memcpy(halves + 16 * i, &bottom, 16);
      top[i] = std::bit_cast<Bits>(__builtin_shufflevector(part[0], part[1], 1, 3, 5, 7, 9, 11, 13, 15));
    }
    low = {even(top[0], top[1])};
    high = {odd(top[0], top[1])};
  }
  template <bool kRotated>
  static void join_words(const std::uint8_t* halves, PortableBytes low, PortableBytes high,
                         std::uint8_t* to) {
    const Bits top[2] = {first_in_turn(low.bits, high.bits), last_in_turn(low.bits, high.bits)};
    for (int i = 0; i < 2; ++i) {
      Halves bottom;
      std::memcpy(&bottom, halves + 16 * i, 16);
      const auto above = std::bit_cast<Halves>(top[i]);
      const Halves part[2] = {__builtin_shufflevector(bottom, above, 0, 8, 1, 9, 2, 10, 3, 11),
                              __builtin_shufflevector(bottom, above, 4, 12, 5, 13, 6, 14, 7, 15)};
      for (int j = 0; j < 2; ++j) {
        auto words = std::bit_cast<Words>(part[j]);
        if constexpr (kRotated) words = words >> 1 | words << 31;
        std::memcpy(to + 32 * i + 16 * j, &words, 16);
      }
    }
  }

  static std::size_t append_masked(std::uint64_t mask, PortableBytes fields, std::uint8_t* list) {
    std::size_t count = 0;
    for (; mask != 0; mask &= mask - 1)
      list[count++] = fields.bits[static_cast<std::size_t>(__builtin_ctzll(mask))];
    return count;
  }
  template <std::uint8_t kMask, unsigned kShift>
  static void put_masked(std::uint64_t mask, PortableBytes bytes, const std::uint8_t* list,
                         std::uint8_t* to) {
    bytes.store(to);
    for (; mask != 0; mask &= mask - 1) {
      std::uint8_t& byte = to[__builtin_ctzll(mask)];
      byte = static_cast<std::uint8_t>((byte & ~kMask) | *list++ << kShift);
    }
  }

  void store_nibbles(std::uint8_t* to) const {
    const auto pairs = std::bit_cast<Halves>(bits);
    const auto packed = std::bit_cast<Bits>(pairs | pairs >> 4);
    const Bits together = even(packed, packed);
    std::memcpy(to, &together, kBytes / 2);
  }
  static PortableBytes load_nibbles(const std::uint8_t* from) {
    Bits packed{};
    std::memcpy(&packed, from, kBytes / 2);
    const auto pairs = std::bit_cast<Halves>(first_in_turn(packed, Bits{}));
    return PortableBytes{std::bit_cast<Bits>(pairs | pairs << 4)} & splat(0x0f);
  }
};

}  // namespace

const TileKernels kPortableKernels{"portable",
                                   TileLoops<PortableBytes>::encode_any,
                                   TileLoops<PortableBytes>::decode_any,
                                   portable_reduce,
                                   portable_divide,
                                   {}};

}  // namespace weft::compression::cpu
