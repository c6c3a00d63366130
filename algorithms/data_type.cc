#include "weft/data_type.h"

#include <array>
#include <cassert>
#include <utility>

namespace weft {
namespace {

struct TypeRow {
  std::string_view name;
  std::size_t bytes;
};

// In the order of DataType.
constexpr std::array<TypeRow, kDataTypes> kTypeRows{{{"int8", 1},
                                                     {"uint8", 1},
                                                     {"int32", 4},
                                                     {"uint32", 4},
                                                     {"int64", 8},
                                                     {"uint64", 8},
                                                     {"half", 2},
                                                     {"float", 4},
                                                     {"double", 8},
                                                     {"bfloat16", 2},
                                                     {"f8e4m3", 1},
                                                     {"f8e5m2", 1}}};
constexpr std::array<std::string_view, kReduceOps> kOpNames{"sum", "prod", "max", "min", "avg"};

constexpr std::array<std::pair<std::string_view, DataType>, 10> kOtherTypeNames{
    {{"float16", DataType::kFloat16},
     {"float32", DataType::kFloat32},
     {"float64", DataType::kFloat64},
     {"bf16", DataType::kBfloat16},
     {"char", DataType::kInt8},
     {"int", DataType::kInt32},
     {"e4m3", DataType::kFloat8E4M3},
     {"e5m2", DataType::kFloat8E5M2},
     {"float8_e4m3fn", DataType::kFloat8E4M3},
     {"float8_e5m2", DataType::kFloat8E5M2}}};

}  // namespace

std::size_t size_of(DataType type) {
  return kTypeRows.at(static_cast<std::size_t>(type)).bytes;
}

std::string_view to_string(DataType type) {
  return kTypeRows.at(static_cast<std::size_t>(type)).name;
}

std::string_view to_string(ReduceOp op) {
  return kOpNames.at(static_cast<std::size_t>(op));
}

std::optional<DataType> data_type_from(std::string_view name) {
  for (std::size_t i = 0; i < kTypeRows.size(); ++i) {
    if (kTypeRows[i].name == name) return static_cast<DataType>(i);
  }
  for (const auto& [other, type] : kOtherTypeNames) {
    if (other == name) return type;
  }
  return std::nullopt;
}

std::optional<ReduceOp> reduce_op_from(std::string_view name) {
  for (std::size_t i = 0; i < kOpNames.size(); ++i) {
    if (kOpNames[i] == name) return static_cast<ReduceOp>(i);
  }
  return std::nullopt;
}

}  // namespace weft
