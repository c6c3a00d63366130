// FP8 as bits: e4m3 (largest number 448, no infinity, NaN 0x7f and 0xff) and e5m2 (the upper half of a
// float16), the formats of "FP8 Formats for Deep Learning" (Micikevicius et al., 2022) and NVIDIA's
// cuda_fp8.h.
//
// To a float: exact. From a float: rounded to nearest even; what is too large, infinity as well, becomes the
// largest number, and NaN becomes 0x7f. That is what NVIDIA's conversions do with __NV_SATFINITE (PTX:
// cvt.rn.satfinite), which NCCL adds and multiplies with. NCCL computes in float16 between (its
// reduce_kernel.h), we in float32: every sum and every product has the same bits, as float8_test shows for
// all pairs.
//
// Values; any thread; no errors. Written without branches, as half_floats.h is; there are no denormals of
// float32 between, which would be slow.
#pragma once

#include <cstdint>

#include "compression/host_device.h"

namespace weft::compression {

template <unsigned kMantissaBits, std::uint8_t kLargestBits>
struct Float8 {
  static constexpr std::uint8_t kNan = 0x7f;
  static constexpr std::uint8_t kLargest = kLargestBits;  // of the numbers
  static constexpr unsigned kMantissa = kMantissaBits;
  static constexpr bool kHasInfinity = kLargestBits + 1u < kNan;
  // What lies above this, without the sign, is NaN.
  static constexpr std::uint8_t kHighest = kHasInfinity ? kLargestBits + 1u : kLargestBits;

  std::uint8_t bits;

  WEFT_HOST_DEVICE constexpr std::uint32_t magnitude() const { return bits & 0x7fu; }
  WEFT_HOST_DEVICE constexpr bool is_nan() const { return magnitude() > kHighest; }
  // As numbers: -0 equals 0, NaN is less than nothing and nothing less than it.
  WEFT_HOST_DEVICE friend constexpr bool operator<(Float8 a, Float8 b) {
    return !a.is_nan() && !b.is_nan() && a.place() < b.place();
  }

 private:
  WEFT_HOST_DEVICE constexpr int place() const {
    const auto above_zero = static_cast<int>(magnitude());
    return bits > 0x7f ? -above_zero : above_zero;
  }
};
using Float8E4M3 = Float8<3, 0x7e>;
using Float8E5M2 = Float8<2, 0x7b>;

template <unsigned kMantissa, std::uint8_t kLargest>
WEFT_HOST_DEVICE float to_float(Float8<kMantissa, kLargest> value) {
  constexpr unsigned kShift = 23 - kMantissa;
  constexpr std::uint32_t kRebias = 127 - ((1u << (6 - kMantissa)) - 1);  // of the exponent
  constexpr std::uint32_t kSmallestNormal = (kRebias + 1) << 23;
  const std::uint32_t magnitude = value.magnitude();
  const std::uint32_t normal = (magnitude << kShift) + (kRebias << 23);
  // As the mantissa of the smallest normal number, which is then taken off.
  const float denormal = __builtin_bit_cast(float, (magnitude << kShift) + kSmallestNormal) -
                         __builtin_bit_cast(float, kSmallestNormal);
  std::uint32_t result = magnitude < (1u << kMantissa) ? __builtin_bit_cast(std::uint32_t, denormal) : normal;
  result = magnitude > kLargest ? 0x7f800000u | (value.is_nan() ? 0x00400000u : 0u) : result;
  return __builtin_bit_cast(float, result | static_cast<std::uint32_t>(value.bits & 0x80u) << 24);
}

template <typename Float8Type>
WEFT_HOST_DEVICE Float8Type to_float8(float value) {
  constexpr unsigned kMantissa = Float8Type::kMantissa, kShift = 23 - kMantissa;
  constexpr std::uint32_t kRebias = 127 - ((1u << (6 - kMantissa)) - 1);
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  // As in to_float16(): the exponent moves down, the lost bits round to even, and a carry walks on; added to
  // the number whose last place is the smallest of this type, the sum itself rounds.
  const std::uint32_t normal =
      (magnitude - (kRebias << 23) + ((1u << (kShift - 1)) - 1) + ((magnitude >> kShift) & 1)) >> kShift;
  constexpr std::uint32_t kLastPlace = (kRebias + 1 + 23 - kMantissa) << 23;
  const std::uint32_t denormal =
      __builtin_bit_cast(std::uint32_t,
                         __builtin_bit_cast(float, magnitude) + __builtin_bit_cast(float, kLastPlace)) -
      kLastPlace;
  std::uint32_t result = magnitude < ((kRebias + 1) << 23) ? denormal : normal;
  result = result > Float8Type::kLargest ? Float8Type::kLargest : result;
  result |= bits >> 24 & 0x80u;
  return {static_cast<std::uint8_t>(magnitude > 0x7f800000u ? Float8Type::kNan : result)};
}

template <typename T>
inline constexpr bool kIsFloat8 = false;
template <unsigned kMantissa, std::uint8_t kLargest>
inline constexpr bool kIsFloat8<Float8<kMantissa, kLargest>> = true;

}  // namespace weft::compression
