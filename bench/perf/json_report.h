// The report that -J writes: one JSON object, numbers as numbers, null where there is no value. docs/perf.md
// describes it.
#pragma once

#include <string>
#include <vector>

#include "bench/job/job.h"
#include "bench/perf/perf_options.h"
#include "bench/perf/perf_report.h"

namespace weft::bench {

// This rank's connections and the counters of their paths, as JSON text.
std::string connections_json(Job& job);

// What all reports have in common, from all ranks; collective. `rank_connections` is what gather_text() gave
// for connections_json().
struct ReportContext {
  std::vector<std::string> arguments;
  std::vector<RankInfo> ranks;
  std::vector<std::string> rank_connections;
  std::string launcher;
  Config config;
  std::string start_time, end_time;  // ISO 8601, UTC
  std::string error;                 // why the run, or the gathering of the above, ended early; else empty
};

std::string perf_json(const ReportContext& context, const PerfOptions& options, const PerfReport& report);
std::string pingpong_json(const ReportContext& context, const PerfOptions& options,
                          const std::vector<PingpongRow>& rows);

// "2026-11-21T11:20:33Z"
std::string utc_now();

}  // namespace weft::bench
