// How a coded tile of a type and level is laid out (FORMAT.md, "The coded tile"), for CPU and GPU.
//
// Constants only: any thread, no errors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/element_type.h"
#include "compression/host_device.h"

namespace weft::compression {

inline constexpr std::size_t kTileElements = 1024;
inline constexpr std::size_t kTileRows = 8;  // of a tile, when symbols are packed
inline constexpr std::size_t kTileColumns = kTileElements / kTileRows;
inline constexpr std::size_t kMaxTileBytes = kTileElements * 4;
inline constexpr std::size_t kTileHeaderBytes = 4;
inline constexpr unsigned kEscapeCode = 7;  // codes 0..6 are the window
inline constexpr unsigned kWindow = 7;
// More escapes than this and the tile is stored raw: they are handled one by one, which must not become what
// a transfer waits for.
inline constexpr unsigned kMaxEscapesFast = 128;
inline constexpr unsigned kMaxEscapesDense = 448;

// The byte in which the exponent lies, the *high* byte of an element, and where the exponent lies in it.
// Other bits of that byte stay in the symbol.
struct TileShape {
  std::uint8_t element_bytes;
  bool rotated;  // the element is rotated left by one first, so that its sign lies lowest
  std::uint8_t field_bits, field_shift;
  bool nibbles;  // level dense: escapes as half bytes, and the better one of two windows

  WEFT_HOST_DEVICE constexpr unsigned symbol_bits() const { return 8u - field_bits + 3u; }
  WEFT_HOST_DEVICE constexpr std::size_t tile_bytes() const { return kTileElements * element_bytes; }
  WEFT_HOST_DEVICE constexpr std::size_t raw_bytes() const { return kTileElements * (element_bytes - 1u); }
  WEFT_HOST_DEVICE constexpr std::size_t plane_bytes() const { return kTileColumns * symbol_bits(); }
  // Header, bytes as they are, planes: all but the escapes.
  WEFT_HOST_DEVICE constexpr std::size_t fixed_bytes() const {
    return kTileHeaderBytes + raw_bytes() + plane_bytes();
  }
  WEFT_HOST_DEVICE constexpr std::uint8_t field_mask() const {
    return static_cast<std::uint8_t>(((1u << field_bits) - 1u) << field_shift);
  }
  WEFT_HOST_DEVICE constexpr std::uint8_t code_mask() const {
    return static_cast<std::uint8_t>(7u << field_shift);
  }
  WEFT_HOST_DEVICE constexpr unsigned max_base() const { return (1u << field_bits) - kWindow; }
  WEFT_HOST_DEVICE constexpr unsigned max_escapes() const {
    return nibbles ? kMaxEscapesDense : kMaxEscapesFast;
  }
  // Less than one in a tile of weights or gradients, as the window holds 14 exponents: whether there is one
  // is then worth a branch. Elsewhere no processor foresees it.
  WEFT_HOST_DEVICE constexpr bool escapes_are_rare() const { return field_bits == 7; }
};

inline constexpr TileShape kShapeBfloat16Fast{2, false, 7, 0, false};
inline constexpr TileShape kShapeBfloat16Dense{2, true, 8, 0, true};
inline constexpr TileShape kShapeFloat16Fast{2, false, 5, 2, false};
inline constexpr TileShape kShapeFloat16Dense{2, false, 5, 2, true};
inline constexpr TileShape kShapeFloat32Fast{4, false, 7, 0, false};
inline constexpr TileShape kShapeFloat32Dense{4, true, 8, 0, true};
inline constexpr TileShape kShapeE4M3Fast{1, false, 4, 3, false};
inline constexpr TileShape kShapeE4M3Dense{1, false, 4, 3, true};
inline constexpr TileShape kShapeE5M2Fast{1, false, 5, 2, false};
inline constexpr TileShape kShapeE5M2Dense{1, false, 5, 2, true};

}  // namespace weft::compression
