// Element types and reductions of collectives, with the names that nccl-tests users type.
//
// Plain values; any thread; no errors other than std::nullopt for a name that is unknown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace weft {

enum class DataType : std::uint8_t {
  kInt8,
  kUint8,
  kInt32,
  kUint32,
  kInt64,
  kUint64,
  kFloat16,
  kFloat32,
  kFloat64,
  kBfloat16,
  kFloat8E4M3,
  kFloat8E5M2,
};
inline constexpr int kDataTypes = 12;

// Integers wrap; their average is the sum divided by the ranks, rounded towards zero. Floats of 16 and 8 bits
// are computed in float32 and rounded to nearest even at every step. What is too large for FP8, infinity as
// well, becomes its largest number (448, 57344), and a NaN result is 0x7f: kSum and kProd have NCCL's bits.
// kMin and kMax compare as "<" does and return one of the two as it is, which for FP8 is not NCCL's: there
// infinity becomes a number, and of a number and NaN the number is taken.
enum class ReduceOp : std::uint8_t { kSum, kProd, kMax, kMin, kAvg };
inline constexpr int kReduceOps = 5;

std::size_t size_of(DataType type);

// "int8", "uint8", "int32", "uint32", "int64", "uint64", "half", "float", "double", "bfloat16",
// "f8e4m3", "f8e5m2".
std::string_view to_string(DataType type);
// "sum", "prod", "max", "min", "avg".
std::string_view to_string(ReduceOp op);

// The names above, and "float16", "float32", "float64", "bf16", "char", "int", "e4m3", "e5m2",
// "float8_e4m3fn", "float8_e5m2".
std::optional<DataType> data_type_from(std::string_view name);
std::optional<ReduceOp> reduce_op_from(std::string_view name);

}  // namespace weft
