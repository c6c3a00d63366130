// Every type and operation against arithmetic done another way, and the 16-bit floats against all their
// values. FP8 has tests/compression/float8_test.cc.
#include "algorithms/host/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "compression/half_floats.h"

namespace weft::algorithms::host {
namespace {

using compression::Bfloat16;
using compression::Float16;
using compression::to_bfloat16;
using compression::to_float;
using compression::to_float16;

constexpr std::size_t kCounts[] = {0, 1, 63, 64, 65, 1000};

template <typename T>
struct TypeCase {
  using Value = T;
};
template <typename T>
DataType type_of();
template <>
DataType type_of<std::int8_t>() {
  return DataType::kInt8;
}
template <>
DataType type_of<std::uint8_t>() {
  return DataType::kUint8;
}
template <>
DataType type_of<std::int32_t>() {
  return DataType::kInt32;
}
template <>
DataType type_of<std::uint32_t>() {
  return DataType::kUint32;
}
template <>
DataType type_of<std::int64_t>() {
  return DataType::kInt64;
}
template <>
DataType type_of<std::uint64_t>() {
  return DataType::kUint64;
}
template <>
DataType type_of<float>() {
  return DataType::kFloat32;
}
template <>
DataType type_of<double>() {
  return DataType::kFloat64;
}

template <typename T>
class ReduceNative : public testing::Test {};
using NativeTypes = testing::Types<std::int8_t, std::uint8_t, std::int32_t, std::uint32_t, std::int64_t,
                                   std::uint64_t, float, double>;
TYPED_TEST_SUITE(ReduceNative, NativeTypes);

template <typename T>
std::vector<T> random_values(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<T> values(count);
  for (T& value : values) {
    if constexpr (std::is_floating_point_v<T>) {
      value = static_cast<T>(static_cast<std::int64_t>(random() % 2000001) - 1000000) / T(64);
    } else {
      value = static_cast<T>(random());
    }
  }
  return values;
}

template <typename T>
T expected(ReduceOp op, T a, T b) {
  switch (op) {
    case ReduceOp::kMax:
      return std::max(a, b);
    case ReduceOp::kMin:
      return std::min(a, b);
    default:
      break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    return op == ReduceOp::kProd ? a * b : a + b;
  } else {
    const auto x = static_cast<unsigned __int128>(static_cast<std::uint64_t>(a));
    const auto y = static_cast<unsigned __int128>(static_cast<std::uint64_t>(b));
    return static_cast<T>(static_cast<std::uint64_t>(op == ReduceOp::kProd ? x * y : x + y));
  }
}

TYPED_TEST(ReduceNative, EveryOperationAtEveryAlignment) {
  using T = TypeParam;
  for (ReduceOp op : {ReduceOp::kSum, ReduceOp::kProd, ReduceOp::kMax, ReduceOp::kMin, ReduceOp::kAvg}) {
    for (std::size_t count : kCounts) {
      const auto a = random_values<T>(count, 1);
      const auto b = random_values<T>(count, 2);
      std::vector<char> out(count * sizeof(T) + 3, 'x');
      char* unaligned = out.data() + 1;
      reduce_function(type_of<T>(), op)(unaligned, a.data(), b.data(), count);
      for (std::size_t i = 0; i < count; ++i) {
        T value;
        std::memcpy(&value, unaligned + i * sizeof(T), sizeof(T));
        ASSERT_EQ(value, expected(op, a[i], b[i])) << to_string(op) << " at " << i;
      }
      EXPECT_EQ(out[0], 'x');
      EXPECT_EQ(out[out.size() - 2], 'x');
      // In place, on either side.
      auto left = a;
      reduce_function(type_of<T>(), op)(left.data(), left.data(), b.data(), count);
      auto right = b;
      reduce_function(type_of<T>(), op)(right.data(), a.data(), right.data(), count);
      EXPECT_EQ(0, std::memcmp(left.data(), unaligned, count * sizeof(T)));
      EXPECT_EQ(0, std::memcmp(right.data(), unaligned, count * sizeof(T)));
    }
  }
}

TYPED_TEST(ReduceNative, Divides) {
  using T = TypeParam;
  for (int divisor : {1, 2, 3, 300}) {
    const auto before = random_values<T>(129, 3);
    auto after = before;
    divide_function(type_of<T>())(after.data(), after.size(), divisor);
    for (std::size_t i = 0; i < before.size(); ++i) {
      if constexpr (std::is_floating_point_v<T>) {
        EXPECT_EQ(after[i], before[i] / static_cast<T>(divisor));
      } else if constexpr (std::is_signed_v<T>) {
        EXPECT_EQ(after[i], static_cast<T>(static_cast<std::int64_t>(before[i]) / divisor));
      } else {
        EXPECT_EQ(after[i], static_cast<T>(static_cast<std::uint64_t>(before[i]) /
                                           static_cast<std::uint64_t>(divisor)));
      }
    }
  }
}

// The value of 16 bits by the definition of the format, in double.
double decode(std::uint16_t bits, int mantissa_bits, int exponent_bits) {
  const int exponent_mask = (1 << exponent_bits) - 1;
  const int bias = exponent_mask / 2;
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const int exponent = (bits >> mantissa_bits) & exponent_mask;
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == exponent_mask) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

TEST(HalfFloats, EveryValueIsReadAndWrittenAsTheFormatSays) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const double float16 = decode(half, 10, 5);
    const double bfloat16 = decode(half, 7, 8);
    if (std::isnan(float16)) {
      EXPECT_TRUE(std::isnan(to_float(Float16{half})));
      EXPECT_TRUE(std::isnan(to_float(to_float16(to_float(Float16{half})))));
    } else {
      EXPECT_EQ(static_cast<double>(to_float(Float16{half})), float16) << bits;
      EXPECT_EQ(to_float16(to_float(Float16{half})).bits, half);
    }
    if (std::isnan(bfloat16)) {
      EXPECT_TRUE(std::isnan(to_float(to_bfloat16(to_float(Bfloat16{half})))));
    } else {
      EXPECT_EQ(static_cast<double>(to_float(Bfloat16{half})), bfloat16) << bits;
      EXPECT_EQ(to_bfloat16(to_float(Bfloat16{half})).bits, half);
    }
  }
}

// Half-way values between neighbours, and those one float32 step to either side of them.
TEST(HalfFloats, RoundsToNearestEven) {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const auto low = static_cast<std::uint16_t>(bits);
    const double above = bits == 0x7bff ? 65536.0 : decode(static_cast<std::uint16_t>(bits + 1), 10, 5);
    const auto middle = static_cast<float>((decode(low, 10, 5) + above) / 2);
    const auto high = static_cast<std::uint16_t>(bits + 1);
    EXPECT_EQ(to_float16(middle).bits, (bits & 1) != 0 ? high : low) << bits;
    EXPECT_EQ(to_float16(std::nextafter(middle, 0.0f)).bits, low) << bits;
    EXPECT_EQ(to_float16(std::nextafter(middle, 1e9f)).bits, high) << bits;
    EXPECT_EQ(to_float16(-middle).bits, to_float16(middle).bits | 0x8000);
  }
  for (std::uint32_t bits = 0; bits < 0x7f80; ++bits) {
    const auto middle = std::bit_cast<float>((bits << 16) | 0x8000);
    EXPECT_EQ(to_bfloat16(middle).bits, bits + (bits & 1)) << bits;
    EXPECT_EQ(to_bfloat16(std::bit_cast<float>((bits << 16) | 0x7fff)).bits, bits);
    EXPECT_EQ(to_bfloat16(std::bit_cast<float>((bits << 16) | 0x8001)).bits, bits + 1);
  }
}

TEST(HalfFloats, AreReducedInFloat32) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::uint16_t> a(100);
    std::vector<std::uint16_t> b(100);
    for (auto& bits : a) bits = static_cast<std::uint16_t>(random() & 0xbfff);  // no NaN, no infinity
    for (auto& bits : b) bits = static_cast<std::uint16_t>(random() & 0xbfff);
    std::vector<std::uint16_t> sum(100);
    std::vector<std::uint16_t> product(100);
    std::vector<std::uint16_t> most(100);
    reduce_function(DataType::kFloat16, ReduceOp::kSum)(sum.data(), a.data(), b.data(), 100);
    reduce_function(DataType::kFloat16, ReduceOp::kProd)(product.data(), a.data(), b.data(), 100);
    reduce_function(DataType::kBfloat16, ReduceOp::kMax)(most.data(), a.data(), b.data(), 100);
    for (std::size_t i = 0; i < 100; ++i) {
      const float x = to_float(Float16{a[i]});
      const float y = to_float(Float16{b[i]});
      EXPECT_EQ(sum[i], to_float16(x + y).bits);
      EXPECT_EQ(product[i], to_float16(x * y).bits);
      EXPECT_EQ(to_float(Bfloat16{most[i]}), std::max(to_float(Bfloat16{a[i]}), to_float(Bfloat16{b[i]})));
    }
  }
}

// Known results; float8_test has all pairs.
TEST(Float8, SaturatesAndHasOneNan) {
  struct Case {
    DataType type;
    ReduceOp op;
    std::uint8_t a, b, result;
  };
  constexpr auto kE4M3 = DataType::kFloat8E4M3, kE5M2 = DataType::kFloat8E5M2;
  for (const Case& c : {Case{kE4M3, ReduceOp::kSum, 0x38, 0x38, 0x40},     // 1 + 1
                        Case{kE4M3, ReduceOp::kSum, 0x58, 0x38, 0x58},     // 16 + 1: to even
                        Case{kE4M3, ReduceOp::kSum, 0x59, 0x38, 0x5a},     // 18 + 1: to even
                        Case{kE4M3, ReduceOp::kSum, 0x7e, 0x7e, 0x7e},     // 448 + 448
                        Case{kE4M3, ReduceOp::kProd, 0xfe, 0x40, 0xfe},    // -448 * 2
                        Case{kE4M3, ReduceOp::kProd, 0x01, 0x30, 0x00},    // 2^-9 * 0.5: to even
                        Case{kE4M3, ReduceOp::kSum, 0xff, 0x38, 0x7f},     // NaN + 1
                        Case{kE4M3, ReduceOp::kMax, 0xff, 0x38, 0xff},     // NaN is not less than 1
                        Case{kE5M2, ReduceOp::kSum, 0x3c, 0x3c, 0x40},     // 1 + 1
                        Case{kE5M2, ReduceOp::kSum, 0x7b, 0x70, 0x7b},     // 57344 + 8192
                        Case{kE5M2, ReduceOp::kSum, 0x7c, 0x3c, 0x7b},     // infinity + 1
                        Case{kE5M2, ReduceOp::kSum, 0x7c, 0xfc, 0x7f},     // infinity - infinity
                        Case{kE5M2, ReduceOp::kMax, 0x3c, 0x7c, 0x7c},     // infinity as it is
                        Case{kE5M2, ReduceOp::kMin, 0x00, 0x80, 0x00}}) {  // zeros are equal
    std::uint8_t result = 0;
    reduce_function(c.type, c.op)(&result, &c.a, &c.b, 1);
    EXPECT_EQ(result, c.result) << to_string(c.type) << " " << to_string(c.op) << " " << unsigned{c.a} << " "
                                << unsigned{c.b};
  }
}

TEST(Names, AreReadBackAndUnknownOnesRefused) {
  for (int i = 0; i < kDataTypes; ++i) {
    const auto type = static_cast<DataType>(i);
    EXPECT_EQ(data_type_from(to_string(type)), type);
  }
  for (int i = 0; i < kReduceOps; ++i) {
    const auto op = static_cast<ReduceOp>(i);
    EXPECT_EQ(reduce_op_from(to_string(op)), op);
  }
  EXPECT_EQ(data_type_from("float32"), DataType::kFloat32);
  EXPECT_EQ(data_type_from("float8_e4m3fn"), DataType::kFloat8E4M3);
  EXPECT_EQ(data_type_from("e5m2"), DataType::kFloat8E5M2);
  EXPECT_EQ(size_of(DataType::kFloat8E5M2), 1u);
  EXPECT_EQ(data_type_from("flaot"), std::nullopt);
  EXPECT_EQ(reduce_op_from("mulsum"), std::nullopt);
}

}  // namespace
}  // namespace weft::algorithms::host
