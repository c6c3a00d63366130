// The checks of `weft perf` themselves: right data passes, every kind of wrong data is counted.
#include "bench/perf/pattern.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <vector>

#include "algorithms/host/reduce.h"
#include "bench/perf/data_file.h"

namespace weft::bench {
namespace {

constexpr std::size_t kElements = 300;

std::vector<std::byte> operand(DataType type, ReduceOp op, std::uint64_t repetition, int rank, int ranks) {
  std::vector<std::byte> data(kElements * size_of(type));
  fill_operand(data.data(), kElements, type, op, repetition, rank, ranks);
  return data;
}

// Reduces as an algorithm would, from the rank `first` on around the ring.
std::vector<std::byte> reduced(DataType type, ReduceOp op, std::uint64_t repetition, int ranks, int first) {
  auto result = operand(type, op, repetition, first % ranks, ranks);
  for (int i = 1; i < ranks; ++i) {
    const auto next = operand(type, op, repetition, (first + i) % ranks, ranks);
    algorithms::host::reduce_function(type, op)(result.data(), result.data(), next.data(), kElements);
  }
  if (op == ReduceOp::kAvg) algorithms::host::divide_function(type)(result.data(), kElements, ranks);
  return result;
}

TEST(Pattern, EveryTypeAndOperationIsExactInAnyOrder) {
  for (int t = 0; t < kDataTypes; ++t) {
    for (int o = 0; o < kReduceOps; ++o) {
      const auto type = static_cast<DataType>(t);
      const auto op = static_cast<ReduceOp>(o);
      for (const int ranks : {1, 2, 3, 4, 8, 64}) {
        for (const int first : {0, ranks / 2}) {
          const auto right = reduced(type, op, 7, ranks, first);
          EXPECT_EQ(count_wrong_reduced(right.data(), kElements, type, op, 7, ranks), 0u)
              << to_string(type) << " " << to_string(op) << " " << ranks << " ranks, from " << first;
        }
      }
    }
  }
}

TEST(Pattern, CountsAFlippedBitAMissingRankAndStaleData) {
  const auto type = DataType::kFloat32;
  const auto op = ReduceOp::kSum;
  auto data = reduced(type, op, 1, 4, 0);
  data[40] ^= std::byte{1};
  data[41] ^= std::byte{1};   // the same element
  data[400] ^= std::byte{1};  // another one
  EXPECT_EQ(count_wrong_reduced(data.data(), kElements, type, op, 1, 4), 2u);
  auto one_missing = operand(type, op, 1, 0, 4);
  for (int rank = 1; rank < 3; ++rank) {
    const auto next = operand(type, op, 1, rank, 4);
    algorithms::host::reduce_function(type, op)(one_missing.data(), one_missing.data(), next.data(),
                                                kElements);
  }
  EXPECT_GT(count_wrong_reduced(one_missing.data(), kElements, type, op, 1, 4), kElements * 9 / 10);
  const auto stale = reduced(type, op, 1, 4, 0);
  EXPECT_GT(count_wrong_reduced(stale.data(), kElements, type, op, 2, 4), kElements * 9 / 10);
}

TEST(Pattern, BitsTellRanksRepetitionsAndPlacesApart) {
  for (const DataType type : {DataType::kUint8, DataType::kFloat16, DataType::kFloat32, DataType::kInt64}) {
    std::vector<std::byte> data(kElements * size_of(type));
    fill_bits(data.data(), kElements, type, 3, 1, 1000);
    EXPECT_EQ(count_wrong_bits(data.data(), kElements, type, 3, 1, 1000), 0u);
    EXPECT_GT(count_wrong_bits(data.data(), kElements, type, 3, 2, 1000), kElements * 9 / 10);
    EXPECT_GT(count_wrong_bits(data.data(), kElements, type, 4, 1, 1000), kElements * 9 / 10);
    EXPECT_GT(count_wrong_bits(data.data(), kElements, type, 3, 1, 1001), kElements * 9 / 10);
    data[5 * size_of(type)] ^= std::byte{0x80};
    EXPECT_EQ(count_wrong_bits(data.data(), kElements, type, 3, 1, 1000), 1u);
  }
}

// A file that is shorter than the buffer and no multiple of anything.
TEST(Pattern, FilesTellRanksRepetitionsAndPlacesApart) {
  const std::string name = testing::TempDir() + "/pattern_test_data";
  {
    std::ofstream file(name, std::ios::binary);
    std::vector<std::byte> noise(1003);
    fill_bits(noise.data(), noise.size(), DataType::kUint8, 1, 0, 0);
    file.write(reinterpret_cast<const char*>(noise.data()), static_cast<std::streamsize>(noise.size()));
  }
  const auto file = DataFile::read(name);
  ASSERT_TRUE(file.is_ok()) << file.status().message();
  for (const std::size_t size : {1u, 2u, 4u, 8u}) {
    std::vector<std::byte> data(kElements * size);
    file->fill(data.data(), kElements, size, 3, 1, 70);
    EXPECT_EQ(file->count_wrong(data.data(), kElements, size, 3, 1, 70), 0u);
    EXPECT_GT(file->count_wrong(data.data(), kElements, size, 3, 2, 70), kElements * 9 / 10);
    EXPECT_GT(file->count_wrong(data.data(), kElements, size, 4, 1, 70), kElements * 9 / 10);
    EXPECT_GT(file->count_wrong(data.data(), kElements, size, 3, 1, 71), kElements * 9 / 10);
    // What begins later in a stream is the same as the later part of the stream.
    std::vector<std::byte> later(100 * size);
    file->fill(later.data(), 100, size, 3, 1, 90);
    EXPECT_EQ(std::memcmp(later.data(), data.data() + 20 * size, later.size()), 0);
    data[5 * size] ^= std::byte{0x80};
    EXPECT_EQ(file->count_wrong(data.data(), kElements, size, 3, 1, 70), 1u);
  }
  EXPECT_NE(DataFile::read(name + "-missing").status().message().find("--data"), std::string::npos);
}

}  // namespace
}  // namespace weft::bench
