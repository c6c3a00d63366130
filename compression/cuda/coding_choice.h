// From values that are known when a program runs to kernels that are compiled for them.
#pragma once

#include "compression/cuda/lane_tile.h"

namespace weft::compression::cuda {

// Calls visitor(Coding<type, level>{}); returns false where warps have no such coding (bytes, archive, raw).
template <typename Visitor>
bool visit_coding(ElementType type, Level level, const Visitor& visitor) {
  const auto visit = [&]<ElementType kType>() {
    if (level == Level::kFast) visitor(Coding<kType, Level::kFast>{});
    if (level == Level::kDense) visitor(Coding<kType, Level::kDense>{});
    return level == Level::kFast || level == Level::kDense;
  };
  switch (type) {
    case ElementType::kBytes:
      return false;
    case ElementType::kBfloat16:
      return visit.template operator()<ElementType::kBfloat16>();
    case ElementType::kFloat16:
      return visit.template operator()<ElementType::kFloat16>();
    case ElementType::kFloat32:
      return visit.template operator()<ElementType::kFloat32>();
    case ElementType::kFloat8E4M3:
      return visit.template operator()<ElementType::kFloat8E4M3>();
    case ElementType::kFloat8E5M2:
      return visit.template operator()<ElementType::kFloat8E5M2>();
  }
  return false;
}

}  // namespace weft::compression::cuda
