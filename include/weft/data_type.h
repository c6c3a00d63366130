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
};
inline constexpr int kDataTypes = 10;

// Integers wrap; their average is the sum divided by the ranks, rounded towards zero. The 16-bit floats are
// added in float32 and rounded to nearest even at every step. kMin and kMax compare as "<" does.
enum class ReduceOp : std::uint8_t { kSum, kProd, kMax, kMin, kAvg };
inline constexpr int kReduceOps = 5;

std::size_t size_of(DataType type);

// "int8", "uint8", "int32", "uint32", "int64", "uint64", "half", "float", "double", "bfloat16".
std::string_view to_string(DataType type);
// "sum", "prod", "max", "min", "avg".
std::string_view to_string(ReduceOp op);

// The names above, and "float16", "float32", "float64", "bf16", "char", "int".
std::optional<DataType> data_type_from(std::string_view name);
std::optional<ReduceOp> reduce_op_from(std::string_view name);

}  // namespace weft
