#include "compression/element_type.h"

#include <array>

namespace weft::compression {
namespace {

constexpr std::array<std::string_view, kElementTypes> kElementTypeNames{"bytes", "bf16", "fp16",
                                                                        "fp32",  "e4m3", "e5m2"};
constexpr std::array<std::string_view, kLevels> kLevelNames{"raw", "fast", "dense", "archive"};

}  // namespace

std::string_view to_string(ElementType type) {
  return kElementTypeNames.at(static_cast<std::size_t>(type));
}

std::string_view to_string(Level level) {
  return kLevelNames.at(static_cast<std::size_t>(level));
}

std::optional<ElementType> element_type_from(std::string_view name) {
  for (std::size_t i = 0; i < kElementTypeNames.size(); ++i)
    if (kElementTypeNames[i] == name) return static_cast<ElementType>(i);
  return std::nullopt;
}

std::optional<Level> level_from(std::string_view name) {
  for (std::size_t i = 0; i < kLevelNames.size(); ++i)
    if (kLevelNames[i] == name) return static_cast<Level>(i);
  return std::nullopt;
}

ElementType element_type_of(DataType type) {
  switch (type) {
    case DataType::kBfloat16:
      return ElementType::kBfloat16;
    case DataType::kFloat16:
      return ElementType::kFloat16;
    case DataType::kFloat32:
      return ElementType::kFloat32;
    case DataType::kFloat8E4M3:
      return ElementType::kFloat8E4M3;
    case DataType::kFloat8E5M2:
      return ElementType::kFloat8E5M2;
    default:
      return ElementType::kBytes;
  }
}

std::optional<DataType> data_type_of(ElementType type) {
  switch (type) {
    case ElementType::kBytes:
      break;
    case ElementType::kBfloat16:
      return DataType::kBfloat16;
    case ElementType::kFloat16:
      return DataType::kFloat16;
    case ElementType::kFloat32:
      return DataType::kFloat32;
    case ElementType::kFloat8E4M3:
      return DataType::kFloat8E4M3;
    case ElementType::kFloat8E5M2:
      return DataType::kFloat8E5M2;
  }
  return std::nullopt;
}

}  // namespace weft::compression
