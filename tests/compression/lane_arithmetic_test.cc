// What a lane does with the four FP8 elements of a word, by moving bits, against the formats' definition.
#include "compression/cuda/lane_arithmetic.h"

#include <gtest/gtest.h>

#include "tests/compression/float8_reference.h"

namespace weft::compression {
namespace {

template <typename T, ReduceOp kOp>
void expect_every_pair_reduced() {
  const Float8Reference reference(kFloat8DataType<T>);
  const auto [left, right] = every_float8_pair();
  const auto word_at = [](const std::vector<std::uint8_t>& bytes, std::size_t at) {
    std::uint32_t word = 0;
    for (std::size_t i = 0; i < 4; ++i) word |= std::uint32_t{bytes[(at + i) % bytes.size()]} << (8 * i);
    return word;
  };
  // Each pair in each place of a word, beside others.
  for (std::size_t at = 0; at < left.size(); ++at) {
    const std::uint32_t found = cuda::reduced_numbers<T, kOp>(word_at(left, at), word_at(right, at));
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t pair = (at + i) % left.size();
      const std::uint8_t wanted = reference.reduced(kOp, left[pair], right[pair]);
      ASSERT_EQ(found >> (8 * i) & 0xff, wanted)
          << std::hex << unsigned{left[pair]} << " " << unsigned{right[pair]} << " " << static_cast<int>(kOp);
      ASSERT_EQ((cuda::reduced_exactly<T, kOp>(left[pair], right[pair], 1)), wanted);
    }
  }
}

template <typename T>
class LaneFloat8 : public testing::Test {};
using Float8Types = testing::Types<Float8E4M3, Float8E5M2>;
TYPED_TEST_SUITE(LaneFloat8, Float8Types);

TYPED_TEST(LaneFloat8, EveryPairIsReduced) {
  expect_every_pair_reduced<TypeParam, ReduceOp::kSum>();
  expect_every_pair_reduced<TypeParam, ReduceOp::kProd>();
  expect_every_pair_reduced<TypeParam, ReduceOp::kMax>();
  expect_every_pair_reduced<TypeParam, ReduceOp::kMin>();
}

TYPED_TEST(LaneFloat8, SumsAreDivided) {
  const Float8Reference reference(kFloat8DataType<TypeParam>);
  for (unsigned i = 0; i < 0x10000; ++i) {
    const auto a = static_cast<std::uint8_t>(i >> 8), b = static_cast<std::uint8_t>(i & 0xff);
    ASSERT_EQ((cuda::reduced_exactly<TypeParam, ReduceOp::kAvg>(a, b, 3)),
              reference.nearest(reference.value(reference.reduced(ReduceOp::kSum, a, b)) / 3));
  }
}

}  // namespace
}  // namespace weft::compression
