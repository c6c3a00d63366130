// What the codec takes a buffer for, and how hard it tries: the two bytes of a slot's header (FORMAT.md).
//
// Plain values; any thread; no errors other than std::nullopt for a name that is unknown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "weft/data_type.h"

namespace weft::compression {

enum class ElementType : std::uint8_t { kBytes, kBfloat16, kFloat16, kFloat32, kFloat8E4M3, kFloat8E5M2 };
inline constexpr int kElementTypes = 6;

enum class Level : std::uint8_t { kRaw, kFast, kDense, kArchive };
inline constexpr int kLevels = 4;

constexpr std::size_t element_bytes(ElementType type) {
  return type == ElementType::kFloat32                                     ? 4
         : type == ElementType::kBfloat16 || type == ElementType::kFloat16 ? 2
                                                                           : 1;
}

// "bytes", "bf16", "fp16", "fp32", "e4m3", "e5m2".
std::string_view to_string(ElementType type);
// "raw", "fast", "dense", "archive".
std::string_view to_string(Level level);
std::optional<ElementType> element_type_from(std::string_view name);
std::optional<Level> level_from(std::string_view name);

// How a collective's elements are coded: kBytes for all but the floats of up to 32 bits.
ElementType element_type_of(DataType type);
// The other way; std::nullopt for kBytes, which may be anything.
std::optional<DataType> data_type_of(ElementType type);

}  // namespace weft::compression
