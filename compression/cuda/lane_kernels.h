// The warp's tile kernels run by the host, as one more set of tile kernels: for tests, which compare them
// with the CPU's. Slow.
#pragma once

#include "compression/cpu/tile_kernels.h"

namespace weft::compression::cuda {

// encode and decode; reductions and archive states are left to others.
extern const cpu::TileKernels kLaneKernels;

}  // namespace weft::compression::cuda
