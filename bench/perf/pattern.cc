#include "bench/perf/pattern.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "compression/element_arithmetic.h"
#include "compression/visit_type.h"

namespace weft::bench {
namespace {

// The finaliser of splitmix64 (Steele, Lea and Flood, 2014).
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

std::uint64_t stream_of(std::uint64_t repetition, int rank) {
  return mix(repetition * 1000003 + static_cast<std::uint64_t>(rank));
}

template <typename Visitor>
auto with_unsigned_of_size(std::size_t bytes, Visitor visitor) {
  switch (bytes) {
    case 1:
      return visitor(std::uint8_t{});
    case 2:
      return visitor(std::uint16_t{});
    case 4:
      return visitor(std::uint32_t{});
    default:
      return visitor(std::uint64_t{});
  }
}

template <typename T>
T from_integer(std::int64_t value) {
  if constexpr (std::is_class_v<T>) {  // floats of 16 and 8 bits
    return compression::narrow<T>(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

// sum / ranks in T's own arithmetic.
template <typename T>
T average_of(std::int64_t sum, int ranks) {
  if constexpr (std::is_class_v<T>) {
    return compression::narrow<T>(static_cast<float>(sum) / static_cast<float>(ranks));
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(sum) / static_cast<T>(ranks);
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<T>(static_cast<std::int64_t>(static_cast<T>(sum)) / ranks);
  } else {
    return static_cast<T>(static_cast<std::uint64_t>(static_cast<T>(sum)) /
                          static_cast<std::uint64_t>(ranks));
  }
}

// Integers up to this are exact in the type.
std::int64_t exact_limit(DataType type) {
  switch (type) {
    case DataType::kBfloat16:
      return 256;
    case DataType::kFloat16:
      return 2048;
    case DataType::kFloat8E4M3:
      return 16;
    case DataType::kFloat8E5M2:
      return 8;
    default:
      return 1 << 20;
  }
}

// One rank's element, as an integer.
class Operands {
 public:
  Operands(DataType type, ReduceOp op, std::uint64_t repetition, int ranks)
      : op_(op), repetition_(repetition), ranks_(ranks), exact_(exact_limit(type)) {}

  std::int64_t at(std::uint64_t index, int rank) const {
    const std::uint64_t noise = mix(mix(repetition_) + index);
    switch (op_) {
      case ReduceOp::kProd: {
        // `twos` ranks, another set for each index, give a factor of 2; 2^6 fits every type.
        const std::uint64_t n = static_cast<std::uint64_t>(ranks_);
        const std::uint64_t twos = noise % (std::min<std::uint64_t>(n, 6) + 1);
        return (noise / 8 + static_cast<std::uint64_t>(rank)) % n < twos ? 2 : 1;
      }
      case ReduceOp::kMax:
      case ReduceOp::kMin:
        return static_cast<std::int64_t>(mix(noise + static_cast<std::uint64_t>(rank)) % 101);
      default: {
        if (rank >= exact_) return 0;
        const std::int64_t each = std::max<std::int64_t>(exact_ / ranks_, 1);
        return static_cast<std::int64_t>(mix(noise + static_cast<std::uint64_t>(rank)) %
                                         static_cast<std::uint64_t>(each + 1));
      }
    }
  }

  std::int64_t reduced(std::uint64_t index) const {
    std::int64_t result = at(index, 0);
    for (int rank = 1; rank < ranks_; ++rank) {
      const std::int64_t value = at(index, rank);
      switch (op_) {
        case ReduceOp::kProd:
          result *= value;
          break;
        case ReduceOp::kMax:
          result = std::max(result, value);
          break;
        case ReduceOp::kMin:
          result = std::min(result, value);
          break;
        default:
          result += value;
      }
    }
    return result;
  }

 private:
  ReduceOp op_;
  std::uint64_t repetition_;
  int ranks_;
  std::int64_t exact_;
};

}  // namespace

void fill_bits(void* data, std::size_t elements, DataType type, std::uint64_t repetition, int rank,
               std::uint64_t first_index) {
  const std::uint64_t stream = stream_of(repetition, rank);
  with_unsigned_of_size(size_of(type), [&](auto sample) {
    using Bits = decltype(sample);
    for (std::size_t i = 0; i < elements; ++i) {
      const auto bits = static_cast<Bits>(mix(stream + first_index + i));
      std::memcpy(static_cast<char*>(data) + i * sizeof(Bits), &bits, sizeof(Bits));
    }
  });
}

std::size_t count_wrong_bits(const void* data, std::size_t elements, DataType type, std::uint64_t repetition,
                             int rank, std::uint64_t first_index) {
  const std::uint64_t stream = stream_of(repetition, rank);
  return with_unsigned_of_size(size_of(type), [&](auto sample) {
    using Bits = decltype(sample);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < elements; ++i) {
      Bits bits;
      std::memcpy(&bits, static_cast<const char*>(data) + i * sizeof(Bits), sizeof(Bits));
      wrong += bits != static_cast<Bits>(mix(stream + first_index + i)) ? 1 : 0;
    }
    return wrong;
  });
}

void fill_operand(void* data, std::size_t elements, DataType type, ReduceOp op, std::uint64_t repetition,
                  int rank, int ranks) {
  const Operands operands(type, op, repetition, ranks);
  compression::visit_type(type, [&](auto sample) {
    using T = decltype(sample);
    for (std::size_t i = 0; i < elements; ++i) {
      const T value = from_integer<T>(operands.at(i, rank));
      std::memcpy(static_cast<char*>(data) + i * sizeof(T), &value, sizeof(T));
    }
  });
}

std::size_t count_wrong_reduced(const void* data, std::size_t elements, DataType type, ReduceOp op,
                                std::uint64_t repetition, int ranks) {
  const Operands operands(type, op, repetition, ranks);
  return compression::visit_type(type, [&](auto sample) {
    using T = decltype(sample);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < elements; ++i) {
      const std::int64_t reduced = operands.reduced(i);
      const T expected = op == ReduceOp::kAvg ? average_of<T>(reduced, ranks) : from_integer<T>(reduced);
      wrong += std::memcmp(static_cast<const char*>(data) + i * sizeof(T), &expected, sizeof(T)) != 0 ? 1 : 0;
    }
    return wrong;
  });
}

}  // namespace weft::bench
