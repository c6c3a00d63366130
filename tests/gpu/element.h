// The numbers that travel in the GPU tests: which types, what every element holds, and its bits. Every sum of
// up to kMaxRanks elements is exact in its type and in any order, so a result is right only if every byte is.
//
// Pure functions, shared by host and device code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define WEFT_HOST_DEVICE __host__ __device__
#else
#define WEFT_HOST_DEVICE
#endif

namespace weft::gputest {

inline constexpr int kMaxRanks = 8;

// The values are NCCL's (ncclDataType_t).
enum class ElementType : int {
  kInt8 = 0,
  kUint8 = 1,
  kInt32 = 2,
  kUint32 = 3,
  kInt64 = 4,
  kUint64 = 5,
  kFloat16 = 6,
  kFloat32 = 7,
  kFloat64 = 8,
  kBfloat16 = 9,
  kFloat8E4M3 = 10,  // this and the next from NCCL 2.24 on, on GPUs from sm_90 on
  kFloat8E5M2 = 11,
};
inline constexpr int kElementTypes = 12;

WEFT_HOST_DEVICE constexpr std::size_t size_of(ElementType type) {
  switch (type) {
    case ElementType::kInt8:
    case ElementType::kUint8:
    case ElementType::kFloat8E4M3:
    case ElementType::kFloat8E5M2:
      return 1;
    case ElementType::kFloat16:
    case ElementType::kBfloat16:
      return 2;
    case ElementType::kInt32:
    case ElementType::kUint32:
    case ElementType::kFloat32:
      return 4;
    case ElementType::kInt64:
    case ElementType::kUint64:
    case ElementType::kFloat64:
      return 8;
  }
  return 0;
}

// Elements of a floating type are integers below this in absolute value: kMaxRanks of them stay within the
// significand (11, 8, 24 and 53 bits; of e5m2's 3 bits 8 is the first power of two behind them). 0: an
// integer type, whose sums wrap and need no limit.
WEFT_HOST_DEVICE constexpr std::int64_t exact_limit(ElementType type) {
  switch (type) {
    case ElementType::kFloat16:
      return (std::int64_t{1} << 11) / kMaxRanks;
    case ElementType::kBfloat16:
      return (std::int64_t{1} << 8) / kMaxRanks;
    case ElementType::kFloat32:
      return (std::int64_t{1} << 24) / kMaxRanks;
    case ElementType::kFloat64:
      return (std::int64_t{1} << 53) / kMaxRanks;
    case ElementType::kFloat8E4M3:
    case ElementType::kFloat8E5M2:
      return 2;
    default:
      return 0;
  }
}

// SplitMix64's finaliser over all three: neighbours, ranks and rounds must differ, or a displaced, swapped or
// stale buffer would pass.
WEFT_HOST_DEVICE constexpr std::uint64_t scramble(std::uint64_t seed, int rank, std::size_t index) {
  std::uint64_t x =
      seed * 0x9E3779B97F4A7C15u + static_cast<std::uint64_t>(rank + 1) * 0xD1B54A32D192ED03u + index;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// What element `index` of `rank`'s input is, as an integer (modulo the type's range for integer types).
WEFT_HOST_DEVICE constexpr std::int64_t element_number(ElementType type, std::uint64_t seed, int rank,
                                                       std::size_t index) {
  const std::uint64_t random = scramble(seed, rank, index);
  const std::int64_t limit = exact_limit(type);
  if (limit == 0) return static_cast<std::int64_t>(random);
  return static_cast<std::int64_t>(random % static_cast<std::uint64_t>(2 * limit - 1)) - (limit - 1);
}

// The bits of `number` in `type`, in the low bytes. Floating types: |number| within the significand; zero is
// +0.
WEFT_HOST_DEVICE inline std::uint64_t element_bits(ElementType type, std::int64_t number) {
  const std::uint64_t raw = static_cast<std::uint64_t>(number);
  if (type == ElementType::kFloat64) {
    const double value = static_cast<double>(number);
    std::uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    return bits;
  }
  if (exact_limit(type) == 0)
    return size_of(type) == 8 ? raw : raw & ((std::uint64_t{1} << (8 * size_of(type))) - 1);

  const float value = static_cast<float>(number);
  std::uint32_t bits = 0;
  memcpy(&bits, &value, sizeof bits);
  if (type == ElementType::kFloat32) return bits;
  if (type == ElementType::kBfloat16) return bits >> 16;
  // binary16 and FP8: rebias the exponent (from 127), keep the upper bits of the fraction; the rest are zero
  // here.
  if (number == 0) return 0;
  const std::uint32_t bias = type == ElementType::kFloat8E4M3 ? 7 : 15;
  const unsigned fraction_bits = type == ElementType::kFloat16      ? 10
                                 : type == ElementType::kFloat8E4M3 ? 3
                                                                    : 2;
  const std::uint32_t sign = bits >> 31 << (8 * size_of(type) - 1);
  const std::uint32_t exponent = ((bits >> 23) & 0xFFu) - 127 + bias;
  return sign | (exponent << fraction_bits) | ((bits & 0x7FFFFFu) >> (23 - fraction_bits));
}

WEFT_HOST_DEVICE inline void store_element(ElementType type, void* array, std::size_t index,
                                           std::uint64_t bits) {
  // Little-endian machines only, as CUDA's are.
  memcpy(static_cast<unsigned char*>(array) + index * size_of(type), &bits, size_of(type));
}

WEFT_HOST_DEVICE inline std::uint64_t load_element(ElementType type, const void* array, std::size_t index) {
  std::uint64_t bits = 0;
  memcpy(&bits, static_cast<const unsigned char*>(array) + index * size_of(type), size_of(type));
  return bits;
}

// Bytes in which two elements differ.
WEFT_HOST_DEVICE constexpr int differing_bytes(std::uint64_t a, std::uint64_t b) {
  int count = 0;
  for (std::uint64_t difference = a ^ b; difference != 0; difference >>= 8) count += (difference & 0xFF) != 0;
  return count;
}

}  // namespace weft::gputest
