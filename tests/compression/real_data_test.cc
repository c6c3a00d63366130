// Real weights, gradients and activations: every bit comes back at every level, and the ratios are those that
// the levels are there for. They are printed, and kept among the test's properties.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "compression/slot/level_choice.h"
#include "tests/compression/implementations.h"
#include "tests/compression/packed_slot.h"

namespace weft::compression {
namespace {

// Below these ratios a change has lost something.
struct RealData {
  const char* file;
  ElementType type;
  std::size_t bytes;
  double fast, dense;
};
constexpr RealData kRealData[] = {
    {"minilm.bf16", ElementType::kBfloat16, 524288, 1.32, 1.42},
    {"minilm.fp32", ElementType::kFloat32, 524288, 1.138, 1.17},
    {"gradients.bf16", ElementType::kBfloat16, 196608, 1.32, 1.415},
    {"gradients.fp32", ElementType::kFloat32, 262144, 1.138, 1.165},
    {"activations.bf16", ElementType::kBfloat16, 196608, 1.32, 1.42},
    {"activations.fp32", ElementType::kFloat32, 262144, 1.138, 1.17},
};

std::vector<std::byte> bytes_of(const RealData& data) {
  std::ifstream file(std::filesystem::path(WEFT_REAL_DATA_FOLDER) / data.file, std::ios::binary);
  const std::vector<char> chars((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto* first = reinterpret_cast<const std::byte*>(chars.data());
  return {first, first + chars.size()};
}

// The ratio of an ideal order-0 coder of the exponents: one distribution for all elements, everything else as
// it is.
double order_0_bound(const std::vector<std::byte>& payload, std::size_t size) {
  std::vector<double> counts(256);
  for (std::size_t at = size - 2; at < payload.size(); at += size)
    counts[(std::to_integer<unsigned>(payload[at + 1]) << 1 | std::to_integer<unsigned>(payload[at]) >> 7) &
           255] += 1;
  const double total = static_cast<double>(payload.size() / size);
  double bits = 0;
  for (const double count : counts)
    if (count > 0) bits -= count / total * std::log2(count / total);
  const double whole = 8.0 * static_cast<double>(size);
  return whole / (whole - 8 + bits);
}

class RealDataTest : public testing::TestWithParam<RealData> {};

TEST_P(RealDataTest, ComesBackAndGetsSmaller) {
  const RealData& data = GetParam();
  const auto payload = bytes_of(data);
  ASSERT_EQ(payload.size(), data.bytes);
  const double bound = order_0_bound(payload, element_bytes(data.type));
  double ratio[kLevels] = {};
  for (const Level level : {Level::kRaw, Level::kFast, Level::kDense, Level::kArchive}) {
    const auto slot = packed(payload, data.type, level);
    for (const cpu::TileKernels* kernels : implementations()) {
      ASSERT_EQ(packed(payload, data.type, level, *kernels), slot) << kernels->name;
      std::vector<std::byte> again(payload.size(), std::byte{0x55});
      const Status status = unpack(slot, again, *kernels);
      ASSERT_TRUE(status) << status.message();
      ASSERT_EQ(again, payload) << kernels->name << ", level " << to_string(level);
    }
    ratio[static_cast<std::size_t>(level)] =
        static_cast<double>(payload.size()) / static_cast<double>(slot.size());
  }
  char line[120];
  std::snprintf(line, sizeof(line), "fast %.4f, dense %.4f, archive %.4f, order-0 bound %.4f", ratio[1],
                ratio[2], ratio[3], bound);
  std::printf("%s: %s\n", data.file, line);
  RecordProperty("ratios", line);
  EXPECT_GE(ratio[1], data.fast);
  EXPECT_GE(ratio[2], data.dense);
  EXPECT_GE(ratio[3], 0.99 * bound);
}

TEST_P(RealDataTest, ItsTypeIsFound) {
  EXPECT_EQ(find_type(bytes_of(GetParam())).type, GetParam().type);
}

INSTANTIATE_TEST_SUITE_P(Files, RealDataTest, testing::ValuesIn(kRealData), [](const auto& data) {
  std::string name = data.param.file;
  name[name.find('.')] = '_';
  return name;
});

}  // namespace
}  // namespace weft::compression
