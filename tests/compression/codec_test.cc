// Whatever is packed comes back bit for bit, and has the same bytes whichever instructions coded it.
#include "compression/slot/codec.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "compression/bytes4.h"
#include "compression/tile_transform.h"
#include "tests/compression/element_samples.h"
#include "tests/compression/implementations.h"
#include "tests/compression/packed_slot.h"

namespace weft::compression {
namespace {

constexpr Level kAllLevels[] = {Level::kRaw, Level::kFast, Level::kDense, Level::kArchive};

TEST(Codec, EveryBitComesBackAndEveryMachineSendsTheSame) {
  for (const Sample& sample : samples()) {
    for (const Level level : kAllLevels) {
      SCOPED_TRACE(sample.name + " " + std::string(to_string(level)));
      const auto first = packed(sample.bytes, sample.type, level, *implementations().front());
      for (const cpu::TileKernels* kernels : implementations()) {
        SCOPED_TRACE(kernels->name);
        ASSERT_EQ(packed(sample.bytes, sample.type, level, *kernels), first);
        std::vector<std::byte> again(sample.bytes.size(), std::byte{0x55});
        const Status status = unpack(first, again, *kernels);
        ASSERT_TRUE(status) << status.message();
        ASSERT_EQ(again, sample.bytes);
      }
      const auto header = read_header(first);
      ASSERT_TRUE(header);
      EXPECT_EQ(header->payload_bytes, sample.bytes.size());
      EXPECT_EQ(header->slot_bytes, first.size());
    }
  }
}

// The bytes themselves, so that a change of the format cannot pass unnoticed: it needs another version.
TEST(Codec, TheFormatIsStillVersion1) {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const Sample& sample : samples()) {
    if (sample.type == ElementType::kBytes) continue;  // zstd's bytes are its own
    for (const Level level : kAllLevels)
      for (const std::byte byte : packed(sample.bytes, sample.type, level))
        hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3u;
  }
  EXPECT_EQ(hash, 0xbf95e4fa218748a3u) << std::hex << hash;
}

TEST(Codec, NormalNumbersHaveTheRatiosOfTheDesign) {
  const auto ratio = [](ElementType type, Level level, float scale) {
    return packed_ratio(gaussian(type, 1 << 18, scale, 11), type, level);
  };
  for (const float scale : {0.02f, 1.0f, 37.0f}) {
    EXPECT_GT(ratio(ElementType::kBfloat16, Level::kFast, scale), 1.325);
    EXPECT_GT(ratio(ElementType::kBfloat16, Level::kDense, scale), 1.43);
    EXPECT_GT(ratio(ElementType::kBfloat16, Level::kArchive, scale), 1.51);
    EXPECT_GT(ratio(ElementType::kFloat32, Level::kFast, scale), 1.138);
    EXPECT_GT(ratio(ElementType::kFloat32, Level::kDense, scale), 1.175);
    EXPECT_GT(ratio(ElementType::kFloat32, Level::kArchive, scale), 1.2);
  }
  EXPECT_GT(ratio(ElementType::kFloat16, Level::kDense, 1.0f), 1.125);
  EXPECT_GT(ratio(ElementType::kFloat8E5M2, Level::kDense, 1.0f), 1.29);
  EXPECT_GT(ratio(ElementType::kFloat8E4M3, Level::kDense, 1.0f), 1.09);
}

TEST(Codec, WhatCannotBeCodedGrowsByThreeThousandthsAtMost) {
  for (const ElementType type : {ElementType::kBytes, ElementType::kBfloat16, ElementType::kFloat16,
                                 ElementType::kFloat32, ElementType::kFloat8E4M3, ElementType::kFloat8E5M2}) {
    for (const Level level : kAllLevels) {
      const Sample sample{"", type, random_bytes(65536, 12)};
      EXPECT_LE(packed(sample.bytes, sample.type, level).size(), 65536 * 1.003) << to_string(type);
      EXPECT_LE(max_slot_bytes(type, level, 65536), 65536 * 1.003) << to_string(type);
    }
  }
}

TEST(Codec, BuffersThatDoNotFitAreRefused) {
  std::vector<std::byte> source(4096), slot(max_slot_bytes(ElementType::kBfloat16, Level::kFast, 4096));
  EXPECT_EQ(pack(source, ElementType::kBfloat16, Level::kFast, std::span(slot).first(slot.size() - 1))
                .status()
                .code(),
            StatusCode::kInvalidArgument);
  const auto bytes = pack(source, ElementType::kBfloat16, Level::kFast, slot);
  ASSERT_TRUE(bytes);
  std::vector<std::byte> small(4094);
  const Status status = unpack(std::span(slot).first(*bytes), small);
  EXPECT_EQ(status.code(), StatusCode::kProtocolError);
  EXPECT_EQ(status.message(), "A coded slot holds 4096 bytes where 4094 are expected.");
}

template <TileShape kShape>
void expect_symbols_undone() {
  for (unsigned base = 0; base <= kShape.max_base(); ++base) {
    const Bytes4 placed = Bytes4::splat(static_cast<std::uint8_t>(base << kShape.field_shift));
    for (unsigned byte = 0; byte < 256; ++byte) {
      const Bytes4 high{byte | (byte ^ 0xffu) << 8 | (byte ^ 0x55u) << 16 | (byte ^ 0xaau) << 24};
      const Bytes4 symbols = to_symbols<kShape>(high, placed), again = from_symbols<kShape>(symbols, placed);
      for (unsigned i = 0; i < 32; i += 8) {
        const unsigned before = high.word >> i & 0xff, after = again.word >> i & 0xff;
        const unsigned field = (before & kShape.field_mask()) >> kShape.field_shift;
        const bool escapes = (symbols.word >> i & kShape.code_mask()) == kShape.code_mask();
        ASSERT_EQ(escapes, field < base || field > base + 6);
        ASSERT_EQ((before ^ after) & (escapes ? ~kShape.field_mask() & 0xffu : 0xffu), 0u);
      }
    }
  }
}

TEST(Transform, EverySymbolIsUndoneInEveryWindow) {
  expect_symbols_undone<kShapeBfloat16Fast>();
  expect_symbols_undone<kShapeBfloat16Dense>();
  expect_symbols_undone<kShapeFloat16Fast>();
  expect_symbols_undone<kShapeE4M3Fast>();
  expect_symbols_undone<kShapeE5M2Fast>();
}

}  // namespace
}  // namespace weft::compression
