// A payload's slot, for tests that go on from there.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "compression/slot/codec.h"

namespace weft::compression {

// While it is packed, the slot is exactly as large as it may have to be, so that a sanitizer sees a byte too
// many.
inline std::vector<std::byte> packed(const std::vector<std::byte>& payload, ElementType type, Level level,
                                     const cpu::TileKernels& kernels = cpu::tile_kernels()) {
  std::vector<std::byte> slot(max_slot_bytes(type, level, payload.size()), std::byte{0xee});
  slot.shrink_to_fit();
  const auto bytes = pack(payload, type, level, slot, kernels);
  EXPECT_TRUE(bytes) << bytes.status().message();
  slot.resize(bytes ? *bytes : 0);
  return slot;
}

inline double packed_ratio(const std::vector<std::byte>& payload, ElementType type, Level level) {
  return static_cast<double>(payload.size()) / static_cast<double>(packed(payload, type, level).size());
}

}  // namespace weft::compression
