// Every implementation of the tile kernels that this machine can run: tests and codec_equality hold them
// against each other. A new one (another instruction set, a GPU's lanes run on the host) is one line in
// implementations.cc.
#pragma once

#include <vector>

#include "compression/cpu/tile_kernels.h"

namespace weft::compression {

// The portable one first: it is what the others must equal.
std::vector<const cpu::TileKernels*> implementations();

}  // namespace weft::compression
