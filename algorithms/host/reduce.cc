#include "algorithms/host/reduce.h"

#include "compression/cpu/tile_kernels.h"

namespace weft::algorithms::host {

// The codecs' loops: what they reduce while they decode must have the same bits.
ReduceFunction reduce_function(DataType type, ReduceOp op) {
  return compression::cpu::reduce_loop(compression::cpu::tile_kernels(), type, op);
}

DivideFunction divide_function(DataType type) {
  return compression::cpu::divide_loop(compression::cpu::tile_kernels(), type);
}

}  // namespace weft::algorithms::host
