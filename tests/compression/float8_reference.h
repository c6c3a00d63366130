// FP8 by its definition and in double, slowly: what the arithmetic of FP8 is compared with.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "compression/float8.h"
#include "weft/data_type.h"

namespace weft::compression {

template <typename T>
inline constexpr DataType kFloat8DataType = DataType::kFloat8E5M2;
template <>
inline constexpr DataType kFloat8DataType<Float8E4M3> = DataType::kFloat8E4M3;

class Float8Reference {
 public:
  explicit Float8Reference(DataType type) {
    const bool e4m3 = type == DataType::kFloat8E4M3;
    const int mantissa_bits = e4m3 ? 3 : 2, bias = e4m3 ? 7 : 15;
    for (int i = 0; i < 128; ++i) {
      const int exponent = i >> mantissa_bits, mantissa = i & ((1 << mantissa_bits) - 1);
      double value = exponent == 0
                         ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                         : std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
      if (e4m3 ? i == 0x7f : i > 0x7c) value = std::numeric_limits<double>::quiet_NaN();
      if (!e4m3 && i == 0x7c) value = std::numeric_limits<double>::infinity();
      values_[static_cast<std::size_t>(i)] = value;
    }
  }

  double value(std::uint8_t bits) const { return bits > 0x7f ? -values_[bits & 0x7f] : values_[bits]; }

  // The nearest number; of two as near the even one. Every number is one of the type's, so what is too large
  // becomes the largest.
  std::uint8_t nearest(double number) const {
    if (std::isnan(number)) return 0x7f;
    const double magnitude = std::min(std::abs(number), 1e9);
    unsigned best = 0;
    for (unsigned i = 1; i < 128 && std::isfinite(values_[i]); ++i) {
      const double distance = std::abs(values_[i] - magnitude), least = std::abs(values_[best] - magnitude);
      if (distance < least || (distance == least && i % 2 == 0)) best = i;
    }
    return static_cast<std::uint8_t>(best | (std::signbit(number) ? 0x80 : 0));
  }

  // Sums and products of two are exact in double.
  std::uint8_t reduced(ReduceOp op, std::uint8_t a, std::uint8_t b) const {
    const double x = value(a), y = value(b);
    switch (op) {
      case ReduceOp::kProd:
        return nearest(x * y);
      case ReduceOp::kMax:
        return x < y ? b : a;
      case ReduceOp::kMin:
        return y < x ? b : a;
      default:
        return nearest(x + y);
    }
  }

 private:
  std::array<double, 128> values_{};
};

// All 65,536, neighbours unlike each other.
inline std::pair<std::vector<std::uint8_t>, std::vector<std::uint8_t>> every_float8_pair() {
  std::vector<std::uint8_t> left, right;
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const std::uint32_t pair = i * 40503u & 0xffff;
    left.push_back(static_cast<std::uint8_t>(pair >> 8));
    right.push_back(static_cast<std::uint8_t>(pair & 0xff));
  }
  return {left, right};
}

}  // namespace weft::compression
