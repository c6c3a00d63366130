// Ratios on real weights: what the levels are there for.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "compression/slot/level_choice.h"
#include "tests/compression/packed_slot.h"

namespace weft::compression {
namespace {

std::vector<std::byte> weights(const std::string& name) {
  std::ifstream file(std::filesystem::path(WEFT_REAL_DATA_FOLDER) / name, std::ios::binary);
  const std::vector<char> chars((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto* first = reinterpret_cast<const std::byte*>(chars.data());
  return {first, first + chars.size()};
}

// Bits of an exponent, one distribution for all elements.
double exponent_entropy(const std::vector<std::byte>& payload, std::size_t size) {
  std::vector<double> counts(256);
  for (std::size_t at = size - 2; at < payload.size(); at += size)
    counts[(std::to_integer<unsigned>(payload[at + 1]) << 1 | std::to_integer<unsigned>(payload[at]) >> 7) &
           255] += 1;
  const double total = static_cast<double>(payload.size() / size);
  double bits = 0;
  for (const double count : counts)
    if (count > 0) bits -= count / total * std::log2(count / total);
  return bits;
}

TEST(Weights, Bfloat16) {
  const auto payload = weights("minilm.bf16");
  ASSERT_EQ(payload.size(), 524288u);
  EXPECT_GE(packed_ratio(payload, ElementType::kBfloat16, Level::kFast), 1.32);
  EXPECT_GE(packed_ratio(payload, ElementType::kBfloat16, Level::kDense), 1.42);
  const double bound = 16 / (8 + exponent_entropy(payload, 2));
  EXPECT_GE(packed_ratio(payload, ElementType::kBfloat16, Level::kArchive), 0.99 * bound);
}

TEST(Weights, Float32) {
  const auto payload = weights("minilm.fp32");
  ASSERT_EQ(payload.size(), 524288u);
  EXPECT_GE(packed_ratio(payload, ElementType::kFloat32, Level::kFast), 1.138);
  EXPECT_GE(packed_ratio(payload, ElementType::kFloat32, Level::kDense), 1.17);
  const double bound = 32 / (24 + exponent_entropy(payload, 4));
  EXPECT_GE(packed_ratio(payload, ElementType::kFloat32, Level::kArchive), 0.99 * bound);
}

TEST(Weights, TheirTypeIsFound) {
  EXPECT_EQ(find_type(weights("minilm.bf16")).type, ElementType::kBfloat16);
  EXPECT_EQ(find_type(weights("minilm.fp32")).type, ElementType::kFloat32);
}

}  // namespace
}  // namespace weft::compression
