#include "compression/cpu/escape_list.h"

#include <cstring>

namespace weft::compression::cpu {
namespace {

constexpr unsigned kNibbleZero = 14;  // the field is 0: a zero or a denormal number
constexpr unsigned kNibbleByte = 15;  // the field stands in a byte behind the nibbles

}  // namespace

std::size_t write_escapes(TileShape shape, unsigned base, const EscapeFields& escapes, std::uint8_t* list) {
  if (!shape.nibbles) {
    std::memcpy(list, escapes.field, escapes.count);
    return escapes.count;
  }
  const std::size_t nibble_bytes = (escapes.count + 1) / 2;
  std::memset(list, 0, nibble_bytes);
  std::uint8_t* next_byte = list + nibble_bytes;
  for (std::size_t i = 0; i < escapes.count; ++i) {
    const unsigned field = escapes.field[i];
    const unsigned below = base - 1u - field;  // wraps where the field lies above the window
    unsigned nibble = below;
    if (below >= kNibbleZero) {
      nibble = field == 0 ? kNibbleZero : kNibbleByte;
      *next_byte = static_cast<std::uint8_t>(field);
      next_byte += nibble == kNibbleByte;
    }
    list[i / 2] = static_cast<std::uint8_t>(list[i / 2] | nibble << (4 * (i % 2)));
  }
  return static_cast<std::size_t>(next_byte - list);
}

bool read_escapes(TileShape shape, unsigned base, std::size_t count, const std::uint8_t* list,
                  std::size_t bytes, EscapeFields& escapes) {
  const auto is_padded = [](std::size_t used, std::size_t there) {
    return used <= there && there - used < kTileHeaderBytes;
  };
  escapes.count = count;
  std::memset(escapes.field + count, 0, sizeof(escapes.field) - count);
  if (!shape.nibbles) {
    if (!is_padded(count, bytes)) return false;
    std::memcpy(escapes.field, list, count);
    return true;
  }
  const std::size_t nibble_bytes = (count + 1) / 2;
  if (nibble_bytes > bytes) return false;
  std::size_t used = nibble_bytes;
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned nibble = list[i / 2] >> (4 * (i % 2)) & 15u;
    if (nibble == kNibbleByte) {
      if (used == bytes) return false;
      escapes.field[i] = list[used++];
    } else {
      escapes.field[i] = static_cast<std::uint8_t>(nibble == kNibbleZero ? 0 : base - 1u - nibble);
    }
  }
  return is_padded(used, bytes);
}

}  // namespace weft::compression::cpu
