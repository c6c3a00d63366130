// The loops over a tile, for a vector type of any width. Each file that includes this instantiates it with a
// type of its own, so that nothing is shared between files that are compiled for different instructions.
//
// `Vector` is a Bytes of tile_transform.h with kBytes, and: load, store; larger; largest_byte; equal_mask
// (bit i: byte i is equal); where_equal (a byte of the third where the first two are equal, of the fourth
// elsewhere); split_halves and join_halves (2 * kBytes of 16-bit elements, rotated or not); split_words and
// join_words (4 * kBytes of 32-bit elements into low halves as they are, and the high halves' two bytes);
// append_masked (the bytes whose bit is set, to a list, of which up to kBytes are overwritten) and put_masked
// (back, into some bits of those bytes; up to kBytes of the list are read); store_nibbles and load_nibbles
// (bytes below 16 as half bytes, the first lowest).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "compression/cpu/escape_list.h"
#include "compression/tile_shape.h"
#include "compression/tile_transform.h"

namespace weft::compression::cpu {

template <typename Vector>
struct TileLoops {
  static constexpr std::size_t kBytes = Vector::kBytes;
  using Escapes = EscapeList<Vector>;

  template <TileShape kShape>
  static void split(const std::uint8_t* tile, std::uint8_t* raw, std::uint8_t* high) {
    for (std::size_t i = 0; i < kTileElements; i += kBytes) {
      Vector low_bytes, high_bytes;
      if constexpr (kShape.element_bytes == 2) {
        Vector::template split_halves<kShape.rotated>(tile + 2 * i, low_bytes, high_bytes);
        low_bytes.store(raw + i);
      } else {
        Vector::template split_words<kShape.rotated>(tile + 4 * i, raw + 2 * i, low_bytes, high_bytes);
        low_bytes.store(raw + 2 * kTileElements + i);
      }
      high_bytes.store(high + i);
    }
  }

  template <TileShape kShape>
  static void join(const std::uint8_t* raw, const std::uint8_t* high, std::uint8_t* tile) {
    for (std::size_t i = 0; i < kTileElements; i += kBytes) {
      const Vector high_bytes = Vector::load(high + i);
      if constexpr (kShape.element_bytes == 2) {
        Vector::template join_halves<kShape.rotated>(Vector::load(raw + i), high_bytes, tile + 2 * i);
      } else {
        Vector::template join_words<kShape.rotated>(raw + 2 * i, Vector::load(raw + 2 * kTileElements + i),
                                                    high_bytes, tile + 4 * i);
      }
    }
  }

  template <TileShape kShape>
  static unsigned choose_base(const std::uint8_t* high) {
    const Vector mask = Vector::splat(kShape.field_mask());
    Vector most = Vector::splat(0);
    for (std::size_t i = 0; i < kTileElements; i += kBytes)
      most = larger(most, Vector::load(high + i) & mask);
    const unsigned largest = most.largest_byte() >> kShape.field_shift;
    const unsigned base = highest_base(largest);
    if (!kShape.nibbles || base == 0) return base;
    const auto counted = [](unsigned field) {
      return Vector::splat(static_cast<std::uint8_t>(field << kShape.field_shift));
    };
    const Vector lost = counted(largest), gained = counted(base - 1);
    int balance = 0;
    for (std::size_t i = 0; i < kTileElements; i += kBytes) {
      const Vector fields = Vector::load(high + i) & mask;
      balance +=
          __builtin_popcountll(equal_mask(fields, gained)) - __builtin_popcountll(equal_mask(fields, lost));
    }
    return balance > 0 ? base - 1 : base;
  }

  // Symbols in place of the high bytes; the fields of escapes go to their list. False where they are too
  // many.
  template <TileShape kShape>
  static bool make_symbols(std::uint8_t* high, unsigned base, EscapeFields& escapes) {
    const Vector placed = Vector::splat(static_cast<std::uint8_t>(base << kShape.field_shift));
    const Vector code = Vector::splat(kShape.code_mask());
    std::size_t count = 0;
    for (std::size_t i = 0; i < kTileElements; i += kBytes) {
      const Vector bytes = Vector::load(high + i);
      const Vector symbols = to_symbols<kShape>(bytes, placed);
      symbols.store(high + i);
      const std::uint64_t escaped = equal_mask(symbols & code, code);
      if (kShape.escapes_are_rare() && escaped == 0) continue;
      const Vector fields = bytes & Vector::splat(kShape.field_mask());
      count += Vector::append_masked(escaped, fields.template shifted_right<kShape.field_shift>(),
                                     escapes.field + count);
    }
    escapes.count = count;
    return count <= kShape.max_escapes();
  }

  template <unsigned kBits, unsigned kRow = 0>
  static void add_rows(const std::uint8_t* symbols, Vector (&planes)[kBits]) {
    if constexpr (kRow < kTileRows) {
      add_to_planes<kBits, kRow>(Vector::load(symbols + kRow * kTileColumns), planes);
      add_rows<kBits, kRow + 1>(symbols, planes);
    }
  }
  template <unsigned kBits>
  static void pack_symbols(const std::uint8_t* symbols, std::uint8_t* out) {
    for (std::size_t column = 0; column < kTileColumns; column += kBytes) {
      Vector planes[kBits];
      for (Vector& plane : planes) plane = Vector::splat(0);
      add_rows<kBits>(symbols + column, planes);
      for (std::size_t p = 0; p < kBits; ++p) planes[p].store(out + p * kTileColumns + column);
    }
  }
  template <unsigned kBits, unsigned kRow = 0>
  static void take_rows(const Vector (&planes)[kBits], std::uint8_t* symbols) {
    if constexpr (kRow < kTileRows) {
      row_of_planes<kBits, kRow>(planes).store(symbols + kRow * kTileColumns);
      take_rows<kBits, kRow + 1>(planes, symbols);
    }
  }
  template <unsigned kBits>
  static void unpack_symbols(const std::uint8_t* in, std::uint8_t* symbols) {
    for (std::size_t column = 0; column < kTileColumns; column += kBytes) {
      Vector planes[kBits];
      for (std::size_t p = 0; p < kBits; ++p) planes[p] = Vector::load(in + p * kTileColumns + column);
      take_rows<kBits>(planes, symbols + column);
    }
  }

  // High bytes in place of the symbols. Returns how many escapes there were.
  template <TileShape kShape>
  static std::size_t restore_high_bytes(std::uint8_t* symbols, unsigned base, const EscapeFields& escapes) {
    const Vector placed = Vector::splat(static_cast<std::uint8_t>(base << kShape.field_shift));
    const Vector code = Vector::splat(kShape.code_mask());
    std::size_t used = 0;
    for (std::size_t i = 0; i < kTileElements; i += kBytes) {
      const Vector bytes = Vector::load(symbols + i);
      const Vector high = from_symbols<kShape>(bytes, placed);
      const std::uint64_t escaped = equal_mask(bytes & code, code);
      if (kShape.escapes_are_rare() && escaped == 0) {
        high.store(symbols + i);
      } else {
        Vector::template put_masked<kShape.field_mask(), kShape.field_shift>(
            escaped, high, escapes.field + used, symbols + i);
        used += static_cast<std::size_t>(__builtin_popcountll(escaped));
      }
    }
    return used;
  }

  template <TileShape kShape>
  static std::size_t encode(const std::uint8_t* tile, std::uint8_t* coded) {
    alignas(64) std::uint8_t high[kTileElements];
    std::uint8_t* raw = coded + kTileHeaderBytes;
    if constexpr (kShape.element_bytes == 1) {
      std::memcpy(high, tile, kTileElements);
    } else {
      split<kShape>(tile, raw, high);
    }
    EscapeFields escapes;
    const unsigned base = choose_base<kShape>(high);
    if (!make_symbols<kShape>(high, base, escapes)) return 0;
    std::uint8_t list[Escapes::kMostBytes + kBytes];
    const std::size_t list_bytes = Escapes::template write<kShape>(base, escapes, list);
    const std::size_t bytes = (kShape.fixed_bytes() + list_bytes + 3) / 4 * 4;
    if (bytes >= kShape.tile_bytes()) return 0;
    pack_symbols<kShape.symbol_bits()>(high, raw + kShape.raw_bytes());
    std::memcpy(coded + kShape.fixed_bytes(), list, list_bytes);
    for (std::size_t i = kShape.fixed_bytes() + list_bytes; i < bytes; ++i) coded[i] = 0;
    coded[0] = static_cast<std::uint8_t>(base);
    coded[1] = 0;
    coded[2] = static_cast<std::uint8_t>(escapes.count & 0xff);
    coded[3] = static_cast<std::uint8_t>(escapes.count >> 8);
    return bytes;
  }

  template <TileShape kShape>
  static const char* decode(const std::uint8_t* coded, std::size_t bytes, std::uint8_t* tile) {
    if (bytes < kShape.fixed_bytes()) return "it is shorter than its planes";
    const unsigned base = coded[0];
    const std::size_t count = coded[2] | static_cast<std::size_t>(coded[3]) << 8;
    if (base > kShape.max_base()) return "its window lies outside of the exponents";
    if (coded[1] != 0) return "a reserved byte is not 0";
    if (count > kShape.max_escapes()) return "it has more escapes than a tile may have";
    EscapeFields escapes;
    if (!Escapes::template read<kShape>(base, count, coded + kShape.fixed_bytes(),
                                        bytes - kShape.fixed_bytes(), escapes))
      return "its list of escapes has another length than its size says";
    alignas(64) std::uint8_t high[kTileElements];
    const std::uint8_t* raw = coded + kTileHeaderBytes;
    unpack_symbols<kShape.symbol_bits()>(raw + kShape.raw_bytes(), high);
    if (restore_high_bytes<kShape>(high, base, escapes) != count)
      return "its planes have another number of escapes than its header says";
    if constexpr (kShape.element_bytes == 1) {
      std::memcpy(tile, high, kTileElements);
    } else {
      join<kShape>(raw, high, tile);
    }
    return nullptr;
  }

  // From values that are known when a program runs to loops that are compiled for them.
  template <typename Visitor>
  static auto visit_shape(ElementType type, Level level, Visitor visitor) {
    const bool dense = level == Level::kDense;
    switch (type) {
      case ElementType::kBytes:
        break;
      case ElementType::kBfloat16:
        return dense ? visitor.template operator()<kShapeBfloat16Dense>()
                     : visitor.template operator()<kShapeBfloat16Fast>();
      case ElementType::kFloat16:
        return dense ? visitor.template operator()<kShapeFloat16Dense>()
                     : visitor.template operator()<kShapeFloat16Fast>();
      case ElementType::kFloat32:
        return dense ? visitor.template operator()<kShapeFloat32Dense>()
                     : visitor.template operator()<kShapeFloat32Fast>();
      case ElementType::kFloat8E4M3:
        return dense ? visitor.template operator()<kShapeE4M3Dense>()
                     : visitor.template operator()<kShapeE4M3Fast>();
      case ElementType::kFloat8E5M2:
        return dense ? visitor.template operator()<kShapeE5M2Dense>()
                     : visitor.template operator()<kShapeE5M2Fast>();
    }
    return decltype(visitor.template operator()<kShapeE5M2Fast>()){};
  }

  static std::size_t encode_any(ElementType type, Level level, const std::uint8_t* tile,
                                std::uint8_t* coded) {
    return visit_shape(type, level, [&]<TileShape kShape>() { return encode<kShape>(tile, coded); });
  }
  static const char* decode_any(ElementType type, Level level, const std::uint8_t* coded, std::size_t bytes,
                                std::uint8_t* tile) {
    return visit_shape(type, level, [&]<TileShape kShape>() { return decode<kShape>(coded, bytes, tile); });
  }
};

}  // namespace weft::compression::cpu
