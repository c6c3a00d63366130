// The list of exponents that no window holds, at the end of a coded tile (FORMAT.md, "Escapes").
//
// As in tile_loops.h everything here belongs to the file that includes it, with a vector type of its own.
// 8-bit elements and FP16 have dozens of escapes in a tile, so nothing goes through them one by one.
//
// Any thread; nothing is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "compression/tile_shape.h"

namespace weft::compression::cpu {

inline constexpr std::size_t kWidestVector = 64;

// One field a byte, in the order of the elements. Room for a whole tile, so that whoever fills or reads it
// need not count first, and for a vector behind the last.
struct EscapeFields {
  std::uint8_t field[kTileElements + kWidestVector];
  std::size_t count = 0;
};

template <typename Vector>
struct EscapeList {
  static constexpr std::size_t kBytes = Vector::kBytes;
  static_assert(kBytes <= kWidestVector && kBytes % 2 == 0);

  // Half a byte for each, and a byte for each that half a byte cannot say.
  static constexpr std::size_t kMostBytes = kMaxEscapesDense / 2 + kMaxEscapesDense;
  static constexpr std::uint8_t kNibbleZero = 14;  // the field is 0: a zero or a denormal number
  static constexpr std::uint8_t kNibbleByte = 15;  // the field stands in a byte behind the nibbles

  static std::uint64_t first_bits(std::size_t count) {
    return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
  }

  // Returns the bytes of the list, before padding. `list` has room for kMostBytes and a vector.
  template <TileShape kShape>
  static std::size_t write(unsigned base, const EscapeFields& escapes, std::uint8_t* list) {
    if constexpr (!kShape.nibbles) {
      std::memcpy(list, escapes.field, escapes.count);
      return escapes.count;
    } else {
      const Vector highest = Vector::splat(static_cast<std::uint8_t>(base - 1));
      const Vector zero = Vector::splat(kNibbleZero), byte = Vector::splat(kNibbleByte);
      std::uint8_t far[kMaxEscapesDense + kWidestVector];
      std::size_t far_count = 0;
      for (std::size_t i = 0; i < escapes.count; i += kBytes) {
        const Vector fields = Vector::load(escapes.field + i);
        const Vector below = highest - fields;  // wraps where the field lies above the window
        const Vector otherwise = where_equal(fields, Vector::splat(0), zero, byte);
        const Vector nibbles = where_equal(larger(below, zero), below, otherwise, below);
        const std::uint64_t is_far = equal_mask(nibbles, byte) & first_bits(escapes.count - i);
        far_count += Vector::append_masked(is_far, fields, far + far_count);
        nibbles.store_nibbles(list + i / 2);
      }
      const std::size_t nibble_bytes = (escapes.count + 1) / 2;
      if (escapes.count % 2 != 0) list[nibble_bytes - 1] &= 0x0f;
      std::memcpy(list + nibble_bytes, far, far_count);
      return nibble_bytes + far_count;
    }
  }

  // Reads `count` escapes, at most max_escapes(), from a list of exactly `bytes` (padding of up to 3 bytes
  // included); false where it has another length. Fields behind the last are zero.
  template <TileShape kShape>
  static bool read(unsigned base, std::size_t count, const std::uint8_t* list, std::size_t bytes,
                   EscapeFields& escapes) {
    const auto is_padded = [](std::size_t used, std::size_t there) {
      return used <= there && there - used < kTileHeaderBytes;
    };
    escapes.count = count;
    if constexpr (!kShape.nibbles) {
      if (!is_padded(count, bytes)) return false;
      std::memcpy(escapes.field, list, count);
    } else {
      std::size_t used = (count + 1) / 2;
      if (used > bytes || bytes >= kMostBytes + kTileHeaderBytes) return false;
      // Vectors are read behind the end, which here is the end of somebody's buffer.
      std::uint8_t copy[kMostBytes + kTileHeaderBytes + kWidestVector];
      std::memcpy(copy, list, bytes);
      std::memset(copy + bytes, 0, kWidestVector);
      const Vector highest = Vector::splat(static_cast<std::uint8_t>(base - 1));
      const Vector zero = Vector::splat(kNibbleZero), byte = Vector::splat(kNibbleByte);
      for (std::size_t i = 0; i < count; i += kBytes) {
        const Vector nibbles = Vector::load_nibbles(copy + i / 2);
        const std::uint64_t is_far = equal_mask(nibbles, byte) & first_bits(count - i);
        const Vector near = where_equal(nibbles, zero, Vector::splat(0), highest - nibbles);
        Vector::template put_masked<0xff, 0>(is_far, near, copy + used, escapes.field + i);
        used += static_cast<std::size_t>(__builtin_popcountll(is_far));
        if (used > bytes) return false;
      }
      if (!is_padded(used, bytes)) return false;
    }
    std::memset(escapes.field + count, 0, sizeof(escapes.field) - count);
    return true;
  }
};

}  // namespace weft::compression::cpu
