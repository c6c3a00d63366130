// From a DataType, which is known when a program runs, to the C++ type that stands for it.
#pragma once

#include <cstdint>

#include "compression/float8.h"
#include "compression/half_floats.h"
#include "weft/data_type.h"

namespace weft::compression {

// Calls `visitor` with a value of the C++ type that stands for `type`.
template <typename Visitor>
auto visit_type(DataType type, Visitor visitor) {
  switch (type) {
    case DataType::kInt8:
      return visitor(std::int8_t{});
    case DataType::kUint8:
      return visitor(std::uint8_t{});
    case DataType::kInt32:
      return visitor(std::int32_t{});
    case DataType::kUint32:
      return visitor(std::uint32_t{});
    case DataType::kInt64:
      return visitor(std::int64_t{});
    case DataType::kUint64:
      return visitor(std::uint64_t{});
    case DataType::kFloat16:
      return visitor(Float16{});
    case DataType::kFloat32:
      return visitor(float{});
    case DataType::kFloat64:
      return visitor(double{});
    case DataType::kBfloat16:
      return visitor(Bfloat16{});
    case DataType::kFloat8E4M3:
      return visitor(Float8E4M3{});
    case DataType::kFloat8E5M2:
      return visitor(Float8E5M2{});
  }
  return visitor(std::uint8_t{});
}

}  // namespace weft::compression
