// Sums, products, minima and maxima of the four FP8 elements in a word, NaN and infinity as well: float8.h's
// bits.
//
// Two elements at a time as float16s. From sm_89 on the GPU converts (PTX: cvt.rn.f16x2.e4m3x2 and
// cvt.rn.satfinite.e4m3x2.f16x2, or e5m2x2); before, and on the host, bits are moved: e5m2 is the upper half
// of a float16, and e4m3 lies in it 2^8 too small. float16 between loses nothing: float8_test tries all
// pairs, lane_arithmetic_test all pairs of this. Values; any thread; no errors.
#pragma once

#include <cstdint>
#include <type_traits>

#include "compression/cuda/lane_words.h"
#include "compression/element_arithmetic.h"
#include "compression/host_device.h"

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#endif

namespace weft::compression::cuda {

#if defined(__CUDA_ARCH__)
inline constexpr bool kConvertsFloat8 = __CUDA_ARCH__ >= 890;
#else
inline constexpr bool kConvertsFloat8 = false;
#endif

#if !defined(__CUDA_ARCH__)
// The host's two float16s in a word.
template <typename F>
inline std::uint32_t each_half(std::uint32_t a, std::uint32_t b, const F& f) {
  const auto half = [](std::uint32_t bits) { return Float16{static_cast<std::uint16_t>(bits & 0xffffu)}; };
  return std::uint32_t{f(half(a), half(b))} | std::uint32_t{f(half(a >> 16), half(b >> 16))} << 16;
}
#endif

WEFT_HOST_DEVICE std::uint32_t sum_of_halves(std::uint32_t a, std::uint32_t b) {
#if defined(__CUDA_ARCH__)
  std::uint32_t sum;
  asm("add.rn.f16x2 %0, %1, %2;" : "=r"(sum) : "r"(a), "r"(b));
  return sum;
#else
  return each_half(a, b, [](Float16 x, Float16 y) { return to_float16(to_float(x) + to_float(y)).bits; });
#endif
}
WEFT_HOST_DEVICE std::uint32_t product_of_halves(std::uint32_t a, std::uint32_t b) {
#if defined(__CUDA_ARCH__)
  std::uint32_t product;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(product) : "r"(a), "r"(b));
  return product;
#else
  return each_half(a, b, [](Float16 x, Float16 y) { return to_float16(to_float(x) * to_float(y)).bits; });
#endif
}
// 0xffff in each half where a < b, as numbers.
WEFT_HOST_DEVICE std::uint32_t less_halves(std::uint32_t a, std::uint32_t b) {
#if defined(__CUDA_ARCH__)
  return __hlt2_mask(*reinterpret_cast<const __half2*>(&a), *reinterpret_cast<const __half2*>(&b));
#else
  return each_half(a, b, [](Float16 x, Float16 y) {
    return static_cast<std::uint16_t>(to_float(x) < to_float(y) ? 0xffff : 0);
  });
#endif
}

// The elements of a word as float16s: `low` the first two. Without conversion e4m3 stays 2^8 too small; NaN
// is NaN.
struct Float8Halves {
  std::uint32_t low, high;
};
template <typename T>
WEFT_HOST_DEVICE Float8Halves halves_of(std::uint32_t word) {
  constexpr bool kE4M3 = !T::kHasInfinity;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  if constexpr (kE4M3) {
    Float8Halves halves;
    asm("{\n\t.reg .b16 first, last;\n\tmov.b32 {first, last}, %2;\n\t"
        "cvt.rn.f16x2.e4m3x2 %0, first;\n\tcvt.rn.f16x2.e4m3x2 %1, last;\n\t}"
        : "=r"(halves.low), "=r"(halves.high)
        : "r"(word));
    return halves;
  }
#endif
  const auto widened = [](std::uint32_t halves) {
    if constexpr (!kE4M3) {
      return halves;
    } else {
      const std::uint32_t magnitude = halves >> 1 & 0x3f803f80u;
      const std::uint32_t nan = (magnitude + 0x00800080u) & 0x40004000u;  // makes the exponent that of NaN
      return (halves & 0x80008000u) | magnitude | nan;
    }
  };
  return {widened(permuted(word, 0, 0x1404)), widened(permuted(word, 0, 0x3424))};
}

// Rounded to nearest even, the largest number instead of what is larger, NaN 0x7f.
template <typename T>
WEFT_HOST_DEVICE std::uint32_t word_of(Float8Halves halves) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  std::uint32_t word;
  if constexpr (T::kHasInfinity) {
    asm("{\n\t.reg .b16 first, last;\n\tcvt.rn.satfinite.e5m2x2.f16x2 first, %1;\n\t"
        "cvt.rn.satfinite.e5m2x2.f16x2 last, %2;\n\tmov.b32 %0, {first, last};\n\t}"
        : "=r"(word)
        : "r"(halves.low), "r"(halves.high));
  } else {
    asm("{\n\t.reg .b16 first, last;\n\tcvt.rn.satfinite.e4m3x2.f16x2 first, %1;\n\t"
        "cvt.rn.satfinite.e4m3x2.f16x2 last, %2;\n\tmov.b32 %0, {first, last};\n\t}"
        : "=r"(word)
        : "r"(halves.low), "r"(halves.high));
  }
  return word;
#else
  constexpr std::uint32_t kOnes = 0x01010101u;
  constexpr unsigned kLost = 10 - T::kMantissa;  // bits of a float16's mantissa
  const auto nearest = [](std::uint32_t magnitudes) {
    constexpr std::uint32_t kAlmostHalf = ((1u << (kLost - 1)) - 1) * 0x00010001u;
    return (magnitudes + kAlmostHalf + (magnitudes >> kLost & 0x00010001u)) >> kLost;
  };
  const std::uint32_t low = halves.low & 0x7fff7fffu, high = halves.high & 0x7fff7fffu;
  // Of each byte the top bit first, then all of it.
  const std::uint32_t nan =
      spread_top_bits(permuted(low + 0x03ff03ffu, high + 0x03ff03ffu, 0x7531) & 0x80808080u);
  const std::uint32_t signs = permuted(halves.low, halves.high, 0x7531) & 0x80808080u;
  const std::uint32_t rounded = permuted(nearest(low), nearest(high), 0x6420) & ~nan;
  const std::uint32_t too_large = spread_top_bits((rounded + (0x7fu - T::kLargest) * kOnes) & 0x80808080u);
  const std::uint32_t finite = (rounded & ~too_large) | (T::kLargest * kOnes & too_large);
  return ((finite | signs) & ~nan) | (T::kNan * kOnes & nan);
#endif
}

// All elements of a word, any bits.
template <typename T, typename Op>
WEFT_HOST_DEVICE std::uint32_t reduced_float8(std::uint32_t left, std::uint32_t right) {
  Float8Halves a = halves_of<T>(left);
  const Float8Halves b = halves_of<T>(right);
  if constexpr (!Op::kComputes) {
    constexpr bool kMax = std::is_same_v<Op, Max>;
    const std::uint32_t right_wins =
        permuted(kMax ? less_halves(a.low, b.low) : less_halves(b.low, a.low),
                 kMax ? less_halves(a.high, b.high) : less_halves(b.high, a.high), 0x6420);
    return (right & right_wins) | (left & ~right_wins);
  } else if constexpr (std::is_same_v<Op, Sum>) {
    return word_of<T>({sum_of_halves(a.low, b.low), sum_of_halves(a.high, b.high)});
  } else {
    if constexpr (!T::kHasInfinity && !kConvertsFloat8) {
      constexpr std::uint32_t k256 = 0x5c005c00u;  // one of the two is a number's own size again
      a = {product_of_halves(a.low, k256), product_of_halves(a.high, k256)};
    }
    return word_of<T>({product_of_halves(a.low, b.low), product_of_halves(a.high, b.high)});
  }
}

}  // namespace weft::compression::cuda
