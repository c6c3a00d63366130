// The data that collectives are checked with: every element follows from the repetition, the rank and its
// index, so that any rank can say what it must receive without having been told.
//
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "weft/data_type.h"

namespace weft::bench {

// Elements with arbitrary bits, for collectives that only move them. `first_index` is the index of data[0] in
// the stream of `rank`.
void fill_bits(void* data, std::size_t elements, DataType type, std::uint64_t repetition, int rank,
               std::uint64_t first_index);
std::size_t count_wrong_bits(const void* data, std::size_t elements, DataType type, std::uint64_t repetition,
                             int rank, std::uint64_t first_index);

// Elements for a reduction over `ranks` ranks. Floats are small integers (and few factors of 2 for kProd), so
// that every order of summation gives exactly the same; integers wrap, which is as exact.
void fill_operand(void* data, std::size_t elements, DataType type, ReduceOp op, std::uint64_t repetition,
                  int rank, int ranks);
// How many elements differ from the reduction of all ranks' operands.
std::size_t count_wrong_reduced(const void* data, std::size_t elements, DataType type, ReduceOp op,
                                std::uint64_t repetition, int ranks);

}  // namespace weft::bench
