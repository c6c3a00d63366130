#include "compression/element_type.h"

#include <array>
#include <utility>

namespace weft::compression {
namespace {

constexpr std::array<std::string_view, kElementTypes> kElementTypeNames{"bytes", "bf16", "fp16",
                                                                        "fp32",  "e4m3", "e5m2"};
constexpr std::array<std::string_view, kLevels> kLevelNames{"raw", "fast", "dense", "archive"};

constexpr std::pair<DataType, ElementType> kFloats[] = {{DataType::kBfloat16, ElementType::kBfloat16},
                                                        {DataType::kFloat16, ElementType::kFloat16},
                                                        {DataType::kFloat32, ElementType::kFloat32},
                                                        {DataType::kFloat8E4M3, ElementType::kFloat8E4M3},
                                                        {DataType::kFloat8E5M2, ElementType::kFloat8E5M2}};

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
  for (const auto& [data, element] : kFloats)
    if (data == type) return element;
  return ElementType::kBytes;
}

std::optional<DataType> data_type_of(ElementType type) {
  for (const auto& [data, element] : kFloats)
    if (element == type) return data;
  return std::nullopt;
}

}  // namespace weft::compression
