// A reduction of the elements in a word: four of 8 bits, two of 16, or one of 32.
//
// Bit for bit what element_arithmetic.h does on the CPU. Numbers, infinities and zeros take a GPU's shortest
// way; NaN does not, as a GPU forgets its payload: reduced_exactly() keeps it.
// FP8 has one NaN for all results, and no other way (lane_float8.h). Values; any thread; no errors.
#pragma once

#include <cstdint>
#include <type_traits>

#include "compression/cuda/lane_float8.h"
#include "compression/element_arithmetic.h"
#include "compression/host_device.h"
#include "weft/data_type.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace weft::compression::cuda {

template <ReduceOp kOp>
using OperationOf = std::conditional_t<
    kOp == ReduceOp::kProd, Prod,
    std::conditional_t<kOp == ReduceOp::kMax, Max, std::conditional_t<kOp == ReduceOp::kMin, Min, Sum>>>;

template <typename T>
WEFT_HOST_DEVICE T element_of(std::uint32_t bits) {
  if constexpr (sizeof(T) == 4) {
    return __builtin_bit_cast(T, bits);
  } else if constexpr (sizeof(T) == 2) {
    return T{static_cast<std::uint16_t>(bits & 0xffffu)};
  } else {
    return T{static_cast<std::uint8_t>(bits & 0xffu)};
  }
}
template <typename T>
WEFT_HOST_DEVICE std::uint32_t bits_of(T element) {
  if constexpr (sizeof(T) == 4) {
    return __builtin_bit_cast(std::uint32_t, element);
  } else {
    return element.bits;
  }
}

// One element, NaN as element_arithmetic.h says.
template <typename T, ReduceOp kOp>
WEFT_HOST_DEVICE std::uint32_t reduced_exactly(std::uint32_t left, std::uint32_t right, int divisor) {
  const T element = reduced<OperationOf<kOp>>(element_of<T>(left), element_of<T>(right));
  return bits_of(divisor == 1 ? element : divided(element, divisor));
}

// All elements of a word, where none of the results is NaN; of FP8 all.
template <typename T, ReduceOp kOp>
WEFT_HOST_DEVICE std::uint32_t reduced_numbers(std::uint32_t left, std::uint32_t right) {
#if defined(__CUDA_ARCH__)
  if constexpr (kIsFloat8<T>) {
    return reduced_float8<T, OperationOf<kOp>>(left, right);
  } else if constexpr (std::is_same_v<T, Float16> && (kOp == ReduceOp::kSum || kOp == ReduceOp::kAvg)) {
    // One rounding instead of two, to float32 and then to 16 bits: the same, as float32 has more than twice
    // the bits of the mantissa and two more, and sums of denormals are exact.
    std::uint32_t sum;
    asm("add.rn.f16x2 %0, %1, %2;" : "=r"(sum) : "r"(left), "r"(right));
    return sum;
  } else if constexpr (std::is_same_v<T, Float16> && kOp == ReduceOp::kProd) {
    std::uint32_t product;  // exact in float32
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(product) : "r"(left), "r"(right));
    return product;
  } else if constexpr (std::is_same_v<T, Bfloat16> && (kOp == ReduceOp::kSum || kOp == ReduceOp::kAvg)) {
    std::uint32_t sum;  // left * 1 + right, as there was no sum before sm_90
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(left), "r"(0x3f803f80u), "r"(right));
    return sum;
  } else if constexpr (std::is_same_v<T, Bfloat16> && kOp == ReduceOp::kProd) {
    // Through float32, whose denormals round twice.
    const float low = __fmul_rn(__uint_as_float(left << 16), __uint_as_float(right << 16));
    const float high = __fmul_rn(__uint_as_float(left & 0xffff0000u), __uint_as_float(right & 0xffff0000u));
    std::uint32_t product;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(product) : "f"(high), "f"(low));
    return product;
  } else if constexpr (std::is_same_v<T, float>) {
    const float a = __uint_as_float(left), b = __uint_as_float(right);
    if constexpr (kOp == ReduceOp::kSum || kOp == ReduceOp::kAvg) return __float_as_uint(__fadd_rn(a, b));
    if constexpr (kOp == ReduceOp::kProd) return __float_as_uint(__fmul_rn(a, b));
    return __float_as_uint(OperationOf<kOp>::apply(a, b));
  } else {
    // kMax: left < right ? right : left, which keeps the left one of two zeros; the GPU's own maximum does
    // not.
    const std::uint32_t first = kOp == ReduceOp::kMax ? left : right;
    const std::uint32_t second = kOp == ReduceOp::kMax ? right : left;
    std::uint32_t right_wins;
    if constexpr (std::is_same_v<T, Float16>) {
      right_wins =
          __hlt2_mask(*reinterpret_cast<const __half2*>(&first), *reinterpret_cast<const __half2*>(&second));
    } else {
      right_wins = __hlt2_mask(*reinterpret_cast<const __nv_bfloat162*>(&first),
                               *reinterpret_cast<const __nv_bfloat162*>(&second));
    }
    return (right & right_wins) | (left & ~right_wins);
  }
#else
  if constexpr (kIsFloat8<T>) return reduced_float8<T, OperationOf<kOp>>(left, right);
  if constexpr (sizeof(T) == 4) return reduced_exactly<T, kOp>(left, right, 1);
  return reduced_exactly<T, kOp>(left & 0xffffu, right & 0xffffu, 1) |
         reduced_exactly<T, kOp>(left >> 16, right >> 16, 1) << 16;
#endif
}

}  // namespace weft::compression::cuda
