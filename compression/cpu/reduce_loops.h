// The loops of a reduction. As in tile_loops.h they belong to the file that includes this.
//
// `Lanes` is a register of floats: load, store; load_pair and store_pair of twice as many 16-bit floats, in
// whatever order suits the two; add, multiply, smaller_or_left and larger_or_left ("b < a ? b : a" and "a < b
// ? b : a", which decides what NaN and -0 do); divide and splat. `Float8Lanes<T>` is a register of as many
// bytes with the same names but the last two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "compression/cpu/tile_kernels.h"
#include "compression/float8.h"
#include "compression/half_floats.h"

namespace weft::compression::cpu {

template <typename Lanes, template <typename> typename Float8Lanes>
struct ReduceLoops {
  template <ReduceOp kOp, typename AnyLanes>
  static AnyLanes applied(AnyLanes a, AnyLanes b) {
    if constexpr (kOp == ReduceOp::kSum) return add(a, b);
    if constexpr (kOp == ReduceOp::kProd) return multiply(a, b);
    if constexpr (kOp == ReduceOp::kMax) return larger_or_left(a, b);
    if constexpr (kOp == ReduceOp::kMin) return smaller_or_left(a, b);
  }

  static constexpr std::size_t kStepBytes = Lanes::kFloats * 4;  // of any type

  template <typename T, ReduceOp kOp>
  static void step(char* out, const char* a, const char* b) {
    if constexpr (sizeof(T) == 4) {
      applied<kOp>(Lanes::load(a), Lanes::load(b)).store(out);
    } else if constexpr (sizeof(T) == 1) {
      applied<kOp>(Float8Lanes<T>::load(a), Float8Lanes<T>::load(b)).store(out);
    } else {
      Lanes a_first, a_second, b_first, b_second;
      Lanes::template load_pair<T>(a, a_first, a_second);
      Lanes::template load_pair<T>(b, b_first, b_second);
      Lanes::template store_pair<T>(applied<kOp>(a_first, b_first), applied<kOp>(a_second, b_second), out);
    }
  }

  template <typename T, ReduceOp kOp>
  static void loop(void* out, const void* a, const void* b, std::size_t count) {
    char* to = static_cast<char*>(out);
    const char* left = static_cast<const char*>(a);
    const char* right = static_cast<const char*>(b);
    std::size_t bytes = count * sizeof(T);
    for (; bytes >= kStepBytes; bytes -= kStepBytes) {
      step<T, kOp>(to, left, right);
      to += kStepBytes;
      left += kStepBytes;
      right += kStepBytes;
    }
    if (bytes == 0) return;
    char last[3][kStepBytes] = {};
    std::memcpy(last[0], left, bytes);
    std::memcpy(last[1], right, bytes);
    step<T, kOp>(last[2], last[0], last[1]);
    std::memcpy(to, last[2], bytes);
  }

  template <typename T>
  static void divide_step(char* data, Lanes divisor) {
    if constexpr (sizeof(T) == 4) {
      divide(Lanes::load(data), divisor).store(data);
    } else {
      Lanes first, second;
      Lanes::template load_pair<T>(data, first, second);
      Lanes::template store_pair<T>(divide(first, divisor), divide(second, divisor), data);
    }
  }
  template <typename T>
  static void divide_all(void* data, std::size_t count, int divisor) {
    const Lanes by = Lanes::splat(static_cast<float>(divisor));
    char* at = static_cast<char*>(data);
    std::size_t bytes = count * sizeof(T);
    for (; bytes >= kStepBytes; bytes -= kStepBytes, at += kStepBytes) divide_step<T>(at, by);
    if (bytes == 0) return;
    char last[kStepBytes] = {};
    std::memcpy(last, at, bytes);
    divide_step<T>(last, by);
    std::memcpy(at, last, bytes);
  }

  template <typename T>
  static ReduceLoop of(ReduceOp op) {
    switch (op) {
      case ReduceOp::kSum:
      case ReduceOp::kAvg:
        return loop<T, ReduceOp::kSum>;
      case ReduceOp::kProd:
        return loop<T, ReduceOp::kProd>;
      case ReduceOp::kMax:
        return loop<T, ReduceOp::kMax>;
      case ReduceOp::kMin:
        return loop<T, ReduceOp::kMin>;
    }
    return nullptr;
  }

  // The types that gradients, weights and activations have.
  static ReduceLoop of_floats(DataType type, ReduceOp op) {
    switch (type) {
      case DataType::kBfloat16:
        return of<Bfloat16>(op);
      case DataType::kFloat16:
        return of<Float16>(op);
      case DataType::kFloat32:
        return of<float>(op);
      case DataType::kFloat8E4M3:
        return of<Float8E4M3>(op);
      case DataType::kFloat8E5M2:
        return of<Float8E5M2>(op);
      default:
        return nullptr;
    }
  }
  // Not of FP8, which has a table (portable_reduce.cc).
  static DivideLoop divide_floats(DataType type) {
    switch (type) {
      case DataType::kBfloat16:
        return divide_all<Bfloat16>;
      case DataType::kFloat16:
        return divide_all<Float16>;
      case DataType::kFloat32:
        return divide_all<float>;
      default:
        return nullptr;
    }
  }
};

}  // namespace weft::compression::cpu
