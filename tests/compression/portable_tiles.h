// What the GPU's kernels, run lane by lane, are compared with: the levels that code tiles, and the CPU's
// kernels that every computer has.
#pragma once

#include "compression/cpu/tile_kernels.h"

namespace weft::compression {

inline constexpr Level kTileLevels[] = {Level::kFast, Level::kDense};

inline const cpu::TileKernels& portable() {
  return *cpu::tile_kernels(cpu::Instructions::kPortable);
}

}  // namespace weft::compression
