#include "algorithms/host/reduce.h"

#include <cstring>

#include "algorithms/host/visit_type.h"
#include "compression/cpu/tile_kernels.h"
#include "compression/element_arithmetic.h"

namespace weft::algorithms::host {
namespace {

template <typename T>
void divide(void* data, std::size_t count, int divisor) {
  for (std::size_t i = 0; i < count; ++i) {
    char* at = static_cast<char*>(data) + i * sizeof(T);
    T element;
    std::memcpy(&element, at, sizeof(T));
    element = compression::divided(element, divisor);
    std::memcpy(at, &element, sizeof(T));
  }
}

}  // namespace

// The codecs' loops: what they reduce while they decode must have the same bits.
ReduceFunction reduce_function(DataType type, ReduceOp op) {
  return compression::cpu::reduce_loop(compression::cpu::tile_kernels(), type, op);
}

DivideFunction divide_function(DataType type) {
  return visit_type(type, [](auto sample) -> DivideFunction { return divide<decltype(sample)>; });
}

}  // namespace weft::algorithms::host
