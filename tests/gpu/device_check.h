// The same data and the same comparison as collective.h, made by the GPU: fills inputs and checks outputs in
// every round without copying them to the host.
//
// Calls enqueue on `stream` and return the CUDA error code (0: none). Pointers are device memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/gpu/collective.h"

struct CUstream_st;

namespace weft::gputest {

int fill_input_on_device(const Collective& c, std::uint64_t seed, int rank, void* input, CUstream_st* stream);

// Adds the number of wrong bytes in `output` to *wrong_bytes. Also checks the `guard_bytes` before and behind
// it, which must all be `guard`: nothing may be written outside a posted buffer.
int check_output_on_device(const Collective& c, std::uint64_t seed, int rank, const void* output,
                           std::size_t guard_bytes, unsigned char guard, unsigned long long* wrong_bytes,
                           CUstream_st* stream);

}  // namespace weft::gputest
