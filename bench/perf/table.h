// The table that users of nccl-tests know, byte for byte: 13 columns, its comment lines, its units. Text in,
// text out.
//
// Written after the output of nccl-tests 2.19 (2026).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/perf/perf_options.h"

namespace weft::bench {

// One half of a row. `wrong` is nothing where the table says N/A.
struct Measurement {
  double time_us = 0;
  double algorithm_gb_per_s = 0;
  double bus_gb_per_s = 0;
  std::optional<std::int64_t> wrong;
};

struct RankInfo {
  int rank = 0;
  int pid = 0;
  std::string host;
  std::string devices;  // the interfaces in use
};

std::string table_head(const PerfOptions& options, std::string_view version,
                       const std::vector<RankInfo>& ranks);

// The first five columns, for the moment before the measurement.
std::string row_begin(std::uint64_t bytes, std::uint64_t elements, std::string_view type, std::string_view op,
                      int root);
// Four columns: to be appended twice, out of place and in place.
std::string row_measurement(const Measurement& measurement);

std::string table_foot(std::int64_t out_of_bounds, double average_bus_gb_per_s, std::string_view command);

}  // namespace weft::bench
