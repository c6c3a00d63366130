// The variants of the codecs' kernels (compression/cuda/slot_variants.h) side by side.
//
// Errors of CUDA are thrown as std::runtime_error. One thread.
#pragma once

#include <vector>

#include "bench/compression/slot_run.h"

namespace weft::bench {

// Whether this GPU has them.
bool has_slot_variants();
// `run` has the payload, of which `wanted` are the CPU's slots; prints what is different.
bool check_slot_variants(const SlotRun& run, const Bytes& payload, const std::vector<Bytes>& wanted);
// `run` has a payload and its slots.
void measure_slot_variants(const SlotRun& run, int repetitions, int processors, double copy);

}  // namespace weft::bench
