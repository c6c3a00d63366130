// Reductions and divisions of every type, for every machine.
#include <cstring>

#include "compression/cpu/instruction_sets.h"
#include "compression/element_arithmetic.h"
#include "compression/visit_type.h"

namespace weft::compression::cpu {
namespace {

using compression::is_nan;
template <typename T>
bool is_nan(T value) {
  return value != value;
}

// NaN by its rule only where there is one: the rule costs as much as all the rest.
template <typename T, typename Op>
void reduce_piece(T* result, const T* left, const T* right, std::size_t count) {
  if constexpr (kKeepsNan<Op, T>) {
    unsigned any_nan = 0;
    for (std::size_t i = 0; i < count; ++i) {
      result[i] = reduced_number<Op>(left[i], right[i]);
      any_nan |= is_nan(result[i]);
    }
    if (any_nan == 0) return;
  }
  for (std::size_t i = 0; i < count; ++i) result[i] = reduced<Op>(left[i], right[i]);
}

// In pieces with arrays of their own: a compiler then makes vector code without asking at every call whether
// the pointers overlap. Through memcpy because a caller's block may begin at any byte.
template <typename T, typename Op>
void reduce_elements(void* out, const void* a, const void* b, std::size_t count) {
  constexpr std::size_t kPiece = 64;
  T left[kPiece], right[kPiece], result[kPiece];
  for (std::size_t done = 0; done < count; done += kPiece) {
    const std::size_t at = done * sizeof(T);
    if (count - done >= kPiece) {
      std::memcpy(left, static_cast<const char*>(a) + at, sizeof(left));
      std::memcpy(right, static_cast<const char*>(b) + at, sizeof(right));
      reduce_piece<T, Op>(result, left, right, kPiece);
      std::memcpy(static_cast<char*>(out) + at, result, sizeof(result));
    } else {
      const std::size_t n = count - done;
      std::memcpy(left, static_cast<const char*>(a) + at, n * sizeof(T));
      std::memcpy(right, static_cast<const char*>(b) + at, n * sizeof(T));
      reduce_piece<T, Op>(result, left, right, n);
      std::memcpy(static_cast<char*>(out) + at, result, n * sizeof(T));
    }
  }
}

template <typename T>
void divide_elements(void* data, std::size_t count, int divisor) {
  constexpr std::size_t kPiece = 64;
  T elements[kPiece];
  char* at = static_cast<char*>(data);
  while (count > 0) {
    const std::size_t n = count < kPiece ? count : kPiece;
    std::memcpy(elements, at, n * sizeof(T));
    if (n == kPiece) {
      for (std::size_t i = 0; i < kPiece; ++i) elements[i] = divided(elements[i], divisor);
    } else {
      for (std::size_t i = 0; i < n; ++i) elements[i] = divided(elements[i], divisor);
    }
    std::memcpy(at, elements, n * sizeof(T));
    at += n * sizeof(T);
    count -= n;
  }
}

// The quotient of every element, for one divisor at a time: an average has the same for all its tiles.
template <typename Float8Type>
void divide_float8(void* data, std::size_t count, int divisor) {
  struct Quotients {
    int divisor = 0;
    std::uint8_t of[256];
  };
  thread_local Quotients quotients;
  if (quotients.divisor != divisor) {
    for (unsigned bits = 0; bits < 256; ++bits)
      quotients.of[bits] = divided(Float8Type{static_cast<std::uint8_t>(bits)}, divisor).bits;
    quotients.divisor = divisor;
  }
  auto* element = static_cast<std::uint8_t*>(data);
  for (std::size_t i = 0; i < count; ++i) element[i] = quotients.of[element[i]];
}

template <typename T>
ReduceLoop reduce_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
    case ReduceOp::kAvg:
      return reduce_elements<T, Sum>;
    case ReduceOp::kProd:
      return reduce_elements<T, Prod>;
    case ReduceOp::kMax:
      return reduce_elements<T, Max>;
    case ReduceOp::kMin:
      return reduce_elements<T, Min>;
  }
  return nullptr;
}

}  // namespace

ReduceLoop portable_reduce(DataType type, ReduceOp op) {
  return visit_type(type, [op](auto sample) { return reduce_of<decltype(sample)>(op); });
}

DivideLoop portable_divide(DataType type) {
  return visit_type(type, [](auto sample) -> DivideLoop {
    using T = decltype(sample);
    if constexpr (kIsFloat8<T>) {
      return divide_float8<T>;
    } else {
      return divide_elements<T>;
    }
  });
}

}  // namespace weft::compression::cpu
