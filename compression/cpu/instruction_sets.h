// The kernels of each file here. Ask tile_kernels(), which knows what this computer can run.
#pragma once

#include "compression/cpu/tile_kernels.h"

namespace weft::compression::cpu {

ReduceLoop portable_reduce(DataType type, ReduceOp op);
DivideLoop portable_divide(DataType type);
extern const TileKernels kPortableKernels;
extern const TileKernels kAvx2Kernels;    // only in builds for x86-64
extern const TileKernels kAvx512Kernels;  // only in builds for x86-64

}  // namespace weft::compression::cpu
