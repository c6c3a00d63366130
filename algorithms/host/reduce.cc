#include "algorithms/host/reduce.h"

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "algorithms/host/half_floats.h"
#include "algorithms/host/visit_type.h"

namespace weft::algorithms::host {
namespace {

// Loads and stores go through memcpy because a caller's block may begin at any byte; compilers make plain
// vector loads of it.
template <typename T>
T load(const void* base, std::size_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(base) + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void store(void* base, std::size_t index, T value) {
  std::memcpy(static_cast<char*>(base) + index * sizeof(T), &value, sizeof(T));
}

// What a type is computed in: 16-bit floats in float32; integers as unsigned, so that overflow wraps; 8-bit
// ones too, since promotion to int and back gives the same bits.
template <typename T>
auto widen(T value) {
  if constexpr (std::is_same_v<T, Float16> || std::is_same_v<T, Bfloat16>) {
    return to_float(value);
  } else {
    return value;
  }
}

template <typename T, typename Wide>
T narrow(Wide value) {
  if constexpr (std::is_same_v<T, Float16>) {
    return to_float16(value);
  } else if constexpr (std::is_same_v<T, Bfloat16>) {
    return to_bfloat16(value);
  } else {
    return static_cast<T>(value);
  }
}

struct Sum {
  template <typename T>
  static T apply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      using Unsigned = std::make_unsigned_t<T>;
      return static_cast<T>(static_cast<Unsigned>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b)));
    } else {
      return a + b;
    }
  }
};
struct Prod {
  template <typename T>
  static T apply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      using Unsigned = std::make_unsigned_t<T>;
      return static_cast<T>(static_cast<Unsigned>(static_cast<Unsigned>(a) * static_cast<Unsigned>(b)));
    } else {
      return a * b;
    }
  }
};
struct Max {
  template <typename T>
  static T apply(T a, T b) {
    return a < b ? b : a;
  }
};
struct Min {
  template <typename T>
  static T apply(T a, T b) {
    return b < a ? b : a;
  }
};

// `out` is read and written through pointers that may be equal but never overlap otherwise. Cutting the loop
// into tiles with local arrays lets the compiler use vectors without a check for overlap at every call.
template <typename T, typename Op>
void reduce(void* out, const void* a, const void* b, std::size_t count) {
  constexpr std::size_t kTile = 64;
  std::size_t done = 0;
  for (; done + kTile <= count; done += kTile) {
    T left[kTile];
    T right[kTile];
    std::memcpy(left, static_cast<const char*>(a) + done * sizeof(T), sizeof(left));
    std::memcpy(right, static_cast<const char*>(b) + done * sizeof(T), sizeof(right));
    for (std::size_t i = 0; i < kTile; ++i) left[i] = narrow<T>(Op::apply(widen(left[i]), widen(right[i])));
    std::memcpy(static_cast<char*>(out) + done * sizeof(T), left, sizeof(left));
  }
  for (; done < count; ++done) {
    store<T>(out, done, narrow<T>(Op::apply(widen(load<T>(a, done)), widen(load<T>(b, done)))));
  }
}

template <typename T>
void divide(void* data, std::size_t count, int divisor) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = widen(load<T>(data, i));
    using Wide = std::remove_const_t<decltype(value)>;
    if constexpr (std::is_integral_v<Wide> && sizeof(Wide) < sizeof(int)) {
      store<T>(data, i, narrow<T>(static_cast<int>(value) / divisor));
    } else {
      store<T>(data, i, narrow<T>(value / static_cast<Wide>(divisor)));
    }
  }
}

template <typename T>
ReduceFunction reduce_for(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
    case ReduceOp::kAvg:
      return reduce<T, Sum>;
    case ReduceOp::kProd:
      return reduce<T, Prod>;
    case ReduceOp::kMax:
      return reduce<T, Max>;
    case ReduceOp::kMin:
      return reduce<T, Min>;
  }
  return nullptr;
}

}  // namespace

ReduceFunction reduce_function(DataType type, ReduceOp op) {
  return visit_type(type, [op](auto sample) { return reduce_for<decltype(sample)>(op); });
}

DivideFunction divide_function(DataType type) {
  return visit_type(type, [](auto sample) -> DivideFunction { return divide<decltype(sample)>; });
}

}  // namespace weft::algorithms::host
