// Round trips between rank 0 and rank 1: the latency that the table of collectives cannot show.
#pragma once

#include <cstdio>
#include <vector>

#include "bench/job/job.h"
#include "bench/perf/perf_options.h"
#include "bench/perf/perf_report.h"

namespace weft::bench {

// For exactly two ranks. Rank 0 prints a table on `out` (null: none) and gets the rows, after a failure those
// that were finished; rank 1 gets none.
Status run_pingpong(Job& job, const PerfOptions& options, std::FILE* out, std::vector<PingpongRow>& rows);

}  // namespace weft::bench
