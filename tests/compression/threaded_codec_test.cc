// Several threads make the same slot as one, and read it back.
#include "compression/slot/threaded_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "compression/slot/codec.h"
#include "tests/compression/element_samples.h"
#include "tests/compression/packed_slot.h"

namespace weft::compression {
namespace {

using Bytes = std::vector<std::byte>;

// Parts that lie close together, and of different size once they are coded: numbers, a constant, noise.
Bytes payload_of(ElementType type, std::size_t elements) {
  Bytes payload = gaussian(type, elements, 1, 5);
  const Bytes noise = random_bytes(payload.size() / 3, 6);
  std::fill(payload.begin() + static_cast<std::ptrdiff_t>(payload.size() / 3),
            payload.begin() + static_cast<std::ptrdiff_t>(payload.size() / 2), std::byte{7});
  std::copy(noise.begin(), noise.end(), payload.end() - static_cast<std::ptrdiff_t>(noise.size()));
  return payload;
}

Bytes packed_on_threads(const Bytes& payload, ElementType type, Level level, int threads) {
  Bytes slot(max_slot_bytes(type, level, payload.size()), std::byte{0xee});
  slot.shrink_to_fit();
  const auto bytes = pack_on_threads(payload, type, level, slot, threads);
  EXPECT_TRUE(bytes) << bytes.status().message();
  slot.resize(bytes ? *bytes : 0);
  return slot;
}

TEST(ThreadedCodec, MakesTheSameBytesAndReadsThem) {
  struct Case {
    ElementType type;
    std::size_t elements;
  };
  constexpr Case kCases[] = {{ElementType::kBfloat16, 5 * 65536 + 3},
                             {ElementType::kFloat32, 3 * 65536},
                             {ElementType::kFloat8E4M3, 65536 + 1024},
                             {ElementType::kFloat16, 2047},
                             {ElementType::kFloat16, 0}};
  for (const Case& c : kCases) {
    for (const Level level : {Level::kRaw, Level::kFast, Level::kDense, Level::kArchive}) {
      const Bytes payload = payload_of(c.type, c.elements);
      const Bytes wanted = packed(payload, c.type, level);
      for (const int threads : {1, 2, 3, 5}) {
        SCOPED_TRACE(std::string(to_string(c.type)) + " " + std::to_string(c.elements) + " " +
                     std::string(to_string(level)) + " " + std::to_string(threads));
        ASSERT_EQ(packed_on_threads(payload, c.type, level, threads), wanted);
        Bytes again(payload.size(), std::byte{0x55});
        const Status status = unpack_on_threads(wanted, again, threads);
        ASSERT_TRUE(status) << status.message();
        ASSERT_EQ(again, payload);
      }
    }
  }
}

// zstd's bytes too: a block knows nothing of the others.
TEST(ThreadedCodec, BytesOfUnknownType) {
  Bytes payload(5 * kZstdBlockBytes + 17);
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::byte>(i / 3 % 251);
  const Bytes wanted = packed(payload, ElementType::kBytes, Level::kArchive);
  ASSERT_LT(wanted.size(), payload.size() / 2);
  ASSERT_EQ(packed_on_threads(payload, ElementType::kBytes, Level::kArchive, 4), wanted);
  Bytes again(payload.size());
  ASSERT_TRUE(unpack_on_threads(wanted, again, 4));
  EXPECT_EQ(again, payload);
}

TEST(ThreadedCodec, RefusesWhatOneThreadRefuses) {
  const Bytes payload = payload_of(ElementType::kBfloat16, 8 * 1024);
  const Bytes good = packed(payload, ElementType::kBfloat16, Level::kDense);
  Bytes again(payload.size());
  for (std::size_t at = 0; at < good.size(); at += at < 80 ? 1 : 61) {
    Bytes bad = good;
    bad[at] ^= std::byte{0x41};
    // Memory that ends where the slot does, for the sanitizers.
    bad.shrink_to_fit();
    EXPECT_EQ(unpack_on_threads(bad, again, 3).code(), unpack(bad, again).code()) << at;
  }
  Bytes room(good.size() / 2);
  EXPECT_EQ(pack_on_threads(payload, ElementType::kBfloat16, Level::kDense, room, 3).status().code(),
            StatusCode::kInvalidArgument);
  again.pop_back();
  EXPECT_EQ(unpack_on_threads(good, again, 3).code(), StatusCode::kProtocolError);
}

}  // namespace
}  // namespace weft::compression
