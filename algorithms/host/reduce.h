// Reduction of arrays in host memory, for every element type and operation of weft/data_type.h.
//
// Any thread; nothing is allocated; no errors. Arrays need only the alignment of one byte.
#pragma once

#include <cstddef>

#include "weft/data_type.h"

namespace weft::algorithms::host {

// out[i] = a[i] (op) b[i] for `count` elements. `out` may be `a` or `b`, otherwise they must not overlap.
// kAvg adds, as kSum does: the sum is divided once, at the end.
using ReduceFunction = void (*)(void* out, const void* a, const void* b, std::size_t count);
ReduceFunction reduce_function(DataType type, ReduceOp op);

// data[i] /= divisor: the end of an average.
using DivideFunction = void (*)(void* data, std::size_t count, int divisor);
DivideFunction divide_function(DataType type);

}  // namespace weft::algorithms::host
