// FP8 against the formats' definition: every value, every rounding, every pair in every implementation.
#include "compression/float8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "compression/element_arithmetic.h"
#include "tests/compression/float8_reference.h"
#include "tests/compression/implementations.h"

namespace weft::compression {
namespace {

template <typename T>
class Float8Test : public testing::Test {};
using Float8Types = testing::Types<Float8E4M3, Float8E5M2>;
TYPED_TEST_SUITE(Float8Test, Float8Types);

TYPED_TEST(Float8Test, EveryValueIsReadAndWrittenAsTheFormatSays) {
  const Float8Reference reference(kFloat8DataType<TypeParam>);
  for (unsigned i = 0; i < 256; ++i) {
    const TypeParam element{static_cast<std::uint8_t>(i)};
    const double value = reference.value(element.bits);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(to_float(element))) << i;
      EXPECT_EQ(to_float8<TypeParam>(to_float(element)).bits, 0x7f);
      continue;
    }
    EXPECT_EQ(static_cast<double>(to_float(element)), value) << i;
    EXPECT_EQ(std::signbit(to_float(element)), i > 0x7f);
    if (std::isfinite(value)) {
      EXPECT_EQ(to_float8<TypeParam>(to_float(element)).bits, i);
    }
  }
  // As in Micikevicius et al., table 1.
  EXPECT_EQ(to_float(Float8E4M3{0x7e}), 448.0f);
  EXPECT_EQ(to_float(Float8E4M3{0x01}), 0x1p-9f);
  EXPECT_EQ(to_float(Float8E5M2{0x7b}), 57344.0f);
  EXPECT_EQ(to_float(Float8E5M2{0x7c}), std::numeric_limits<float>::infinity());
  EXPECT_EQ(to_float(Float8E5M2{0x01}), 0x1p-16f);
}

// Half-way values between neighbours, those one step of float32 to either side, and what is too large.
TYPED_TEST(Float8Test, RoundsToNearestEvenAndSaturates) {
  const Float8Reference reference(kFloat8DataType<TypeParam>);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> values{0.0f, 0x1p-149f, 0x1p-126f, 1e9f, 3e38f, kInfinity};
  for (std::uint8_t i = 0; i <= TypeParam::kLargest; ++i) {
    const double here = reference.value(i);
    const double above = i == TypeParam::kLargest
                             ? 2 * here - reference.value(static_cast<std::uint8_t>(i - 1))
                             : reference.value(static_cast<std::uint8_t>(i + 1));
    const auto middle = static_cast<float>((here + above) / 2);
    for (const float value : {static_cast<float>(here), middle})
      values.insert(values.end(), {value, std::nextafter(value, 0.0f), std::nextafter(value, kInfinity)});
  }
  for (const float value : values) {
    EXPECT_EQ(to_float8<TypeParam>(value).bits, reference.nearest(static_cast<double>(value))) << value;
    EXPECT_EQ(to_float8<TypeParam>(-value).bits, reference.nearest(static_cast<double>(-value))) << -value;
  }
  EXPECT_EQ(to_float8<TypeParam>(kInfinity).bits, TypeParam::kLargest);
  EXPECT_EQ(to_float8<TypeParam>(-kInfinity).bits, TypeParam::kLargest | 0x80);
  EXPECT_EQ(to_float8<TypeParam>(-std::numeric_limits<float>::quiet_NaN()).bits, 0x7f);
  EXPECT_EQ(to_float8<TypeParam>(std::numeric_limits<float>::signaling_NaN()).bits, 0x7f);
}

// NCCL computes in float16, we in float32: no pair tells them apart.
TYPED_TEST(Float8Test, SumsAndProductsThroughFloat16AreTheSame) {
  for (unsigned i = 0; i < 0x10000; ++i) {
    const TypeParam a{static_cast<std::uint8_t>(i >> 8)}, b{static_cast<std::uint8_t>(i & 0xff)};
    const float x = to_float(a), y = to_float(b);
    ASSERT_EQ(to_float8<TypeParam>(to_float(to_float16(x + y))).bits, (reduced<Sum>(a, b).bits)) << i;
    ASSERT_EQ(to_float8<TypeParam>(to_float(to_float16(x * y))).bits, (reduced<Prod>(a, b).bits)) << i;
  }
}

TYPED_TEST(Float8Test, EveryPairIsReducedTheSameEverywhere) {
  constexpr DataType kType = kFloat8DataType<TypeParam>;
  const Float8Reference reference(kType);
  const auto [left, right] = every_float8_pair();
  for (const ReduceOp op :
       {ReduceOp::kSum, ReduceOp::kProd, ReduceOp::kMax, ReduceOp::kMin, ReduceOp::kAvg}) {
    std::vector<std::uint8_t> wanted(left.size());
    for (std::size_t i = 0; i < left.size(); ++i) wanted[i] = reference.reduced(op, left[i], right[i]);
    for (const cpu::TileKernels* kernels : implementations()) {
      std::vector<std::uint8_t> found(left.size());
      cpu::reduce_loop(*kernels, kType, op)(found.data(), left.data(), right.data(), left.size());
      for (std::size_t i = 0; i < left.size(); ++i)
        ASSERT_EQ(found[i], wanted[i]) << std::hex << unsigned{left[i]} << " " << unsigned{right[i]} << " "
                                       << static_cast<int>(op) << " " << kernels->name;
    }
  }
}

// Lengths that are no multiple of a register, at odd places, in place on either side.
TYPED_TEST(Float8Test, AnyLengthIsReduced) {
  constexpr DataType kType = kFloat8DataType<TypeParam>;
  const Float8Reference reference(kType);
  const auto [left, right] = every_float8_pair();
  for (const cpu::TileKernels* kernels : implementations()) {
    for (std::size_t count = 0; count < 200; ++count) {
      const std::uint8_t* a = left.data() + 7 * count + 1;
      const std::uint8_t* b = right.data() + 7 * count + 1;
      const auto reduce = cpu::reduce_loop(*kernels, kType, ReduceOp::kSum);
      std::vector<std::uint8_t> found(count + 1, 0xa5), first(a, a + count), second(b, b + count);
      reduce(found.data(), a, b, count);
      for (std::size_t i = 0; i < count; ++i)
        ASSERT_EQ(found[i], reference.reduced(ReduceOp::kSum, a[i], b[i])) << kernels->name << " " << count;
      EXPECT_EQ(found.back(), 0xa5) << kernels->name << " " << count;
      found.pop_back();
      reduce(first.data(), first.data(), b, count);
      reduce(second.data(), a, second.data(), count);
      EXPECT_EQ(first, found);
      EXPECT_EQ(second, found);
    }
  }
}

TYPED_TEST(Float8Test, IsDividedInFloat32) {
  constexpr DataType kType = kFloat8DataType<TypeParam>;
  const Float8Reference reference(kType);
  for (const int divisor : {2, 3, 5, 7, 8, 64, 300, 4096}) {
    std::vector<std::uint8_t> elements(256);
    for (std::size_t i = 0; i < 256; ++i) elements[i] = static_cast<std::uint8_t>(i);
    cpu::divide_loop(cpu::tile_kernels(), kType)(elements.data(), elements.size(), divisor);
    for (unsigned i = 0; i < 256; ++i)
      EXPECT_EQ(elements[i], reference.nearest(reference.value(static_cast<std::uint8_t>(i)) / divisor))
          << i << " / " << divisor;
  }
}

}  // namespace
}  // namespace weft::compression
