// What a reduction does with two elements, bit for bit the same wherever it runs: in algorithms/host, in the
// codecs' fused primitives, on a GPU.
//
// Plain functions; any thread; no errors. A sum or product that is NaN is the left element, if that is NaN,
// else the right one, else (opposite infinities, zero times infinity) 0xffc00000; quiet. So x86-64 has it, if
// nobody swaps the operands. NaN results of FP8 are all 0x7f (float8.h), of float16 the sign stays.
#pragma once

#include <cstdint>
#include <type_traits>

#include "compression/float8.h"
#include "compression/half_floats.h"
#include "compression/host_device.h"

namespace weft::compression {

// What a type is computed in: floats of 16 and 8 bits in float32; integers as unsigned, so that overflow
// wraps; 8-bit ones too, since promotion to int and back gives the same bits.
template <typename T>
WEFT_HOST_DEVICE auto widen(T value) {
  if constexpr (std::is_same_v<T, Float16> || std::is_same_v<T, Bfloat16> || kIsFloat8<T>) {
    return to_float(value);
  } else {
    return value;
  }
}

template <typename T, typename Wide>
WEFT_HOST_DEVICE T narrow(Wide value) {
  if constexpr (std::is_same_v<T, Float16>) {
    return to_float16(value);
  } else if constexpr (std::is_same_v<T, Bfloat16>) {
    return to_bfloat16(value);
  } else if constexpr (kIsFloat8<T>) {
    return to_float8<T>(value);
  } else {
    return static_cast<T>(value);
  }
}

struct Sum {
  static constexpr bool kComputes = true;  // the result is a new number, not one of the two
  template <typename T>
  WEFT_HOST_DEVICE static T apply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      using Unsigned = std::make_unsigned_t<T>;
      return static_cast<T>(static_cast<Unsigned>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b)));
    } else {
      return a + b;
    }
  }
};
struct Prod {
  static constexpr bool kComputes = true;
  template <typename T>
  WEFT_HOST_DEVICE static T apply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      using Unsigned = std::make_unsigned_t<T>;
      return static_cast<T>(static_cast<Unsigned>(static_cast<Unsigned>(a) * static_cast<Unsigned>(b)));
    } else {
      return a * b;
    }
  }
};
struct Max {
  static constexpr bool kComputes = false;
  template <typename T>
  WEFT_HOST_DEVICE static T apply(T a, T b) {
    return a < b ? b : a;
  }
};
struct Min {
  static constexpr bool kComputes = false;
  template <typename T>
  WEFT_HOST_DEVICE static T apply(T a, T b) {
    return b < a ? b : a;
  }
};

// Compilers, GPUs and other processors choose otherwise: NaN by the rule above.
template <typename T>
WEFT_HOST_DEVICE T with_rule_for_nan(T result, T left, T right) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr unsigned kMantissa = sizeof(T) == 4 ? 23 : 52;
  constexpr Bits kQuiet = Bits{1} << (kMantissa - 1);
  constexpr Bits kOwn = ~(kQuiet - 1);  // sign, exponent and the quiet bit
  const Bits left_bits = __builtin_bit_cast(Bits, left) | kQuiet;
  const Bits right_bits = __builtin_bit_cast(Bits, right) | kQuiet;
  const Bits nan = left != left ? left_bits : right != right ? right_bits : kOwn;
  return __builtin_bit_cast(T, result != result ? nan : __builtin_bit_cast(Bits, result));
}

// The result, or some NaN where it is NaN. FP8 keeps the bits of the element that is chosen: float32 and back
// would make infinity a number.
template <typename Op, typename T>
WEFT_HOST_DEVICE T reduced_number(T a, T b) {
  if constexpr (kIsFloat8<T> && !Op::kComputes) {
    return Op::apply(a, b);
  } else {
    return narrow<T>(Op::apply(widen(a), widen(b)));
  }
}

// Whether the NaN that is a result has more than one form.
template <typename Op, typename T>
inline constexpr bool kKeepsNan = Op::kComputes && !std::is_integral_v<T> && !kIsFloat8<T>;

template <typename Op, typename T>
WEFT_HOST_DEVICE T reduced(T a, T b) {
  if constexpr (kKeepsNan<Op, T>) {
    const auto left = widen(a), right = widen(b);
    return narrow<T>(with_rule_for_nan(Op::apply(left, right), left, right));
  } else {
    return reduced_number<Op>(a, b);
  }
}

template <typename T>
WEFT_HOST_DEVICE T divided(T element, int divisor) {
  const auto value = widen(element);
  using Wide = std::remove_const_t<decltype(value)>;
  if constexpr (std::is_integral_v<Wide> && sizeof(Wide) < sizeof(int)) {
    return narrow<T>(static_cast<int>(value) / divisor);
  } else {
    const auto by = static_cast<Wide>(divisor);
    if constexpr (std::is_integral_v<Wide>) {
      return narrow<T>(static_cast<Wide>(value / by));
    } else {
      return narrow<T>(with_rule_for_nan(value / by, value, by));
    }
  }
}

}  // namespace weft::compression
