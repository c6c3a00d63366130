// Cuts one path in the middle of an all-reduce and reports what happened.
#pragma once

#include <cstdint>
#include <cstdio>

#include "bench/job/job.h"

namespace weft::bench {

// Collective. Rank 0 prints on `out`. True on all ranks if no element was wrong, the path failed where it was
// cut, and it came back.
Result<bool> demonstrate_path_cut(Job& job, std::uint64_t bytes, std::FILE* out);

}  // namespace weft::bench
