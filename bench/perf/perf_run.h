// Runs a workload over all its sizes, as nccl-tests does: warm-up, then for each size a timed run and checked
// runs, out of place and in place. Collective; rank 0 prints the table as it goes.
#pragma once

#include <cstdio>

#include "bench/job/job.h"
#include "bench/perf/perf_options.h"
#include "bench/perf/perf_report.h"
#include "bench/perf/workload.h"

namespace weft::bench {

// `out` may be null: nothing is printed. The report is the same on all ranks; after a failure it has the rows
// that were finished.
Status run_perf(Job& job, Workload& workload, const PerfOptions& options, std::FILE* out, PerfReport& report);

// Who takes part, for the table's head.
Result<std::vector<RankInfo>> gather_rank_infos(Job& job);

}  // namespace weft::bench
