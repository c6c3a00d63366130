// What a run of `weft perf` found, for the JSON report and for whoever else wants to know.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/perf/table.h"

namespace weft::bench {

struct PerfRow {
  std::uint64_t bytes = 0;
  std::uint64_t elements = 0;
  std::string type;
  std::string op;
  Measurement out_of_place, in_place;
};

struct PerfReport {
  std::vector<PerfRow> rows;
  // Wrong elements of all checks, those included that the table shows as N/A.
  std::int64_t wrong_elements = 0;
  double average_bus_gb_per_s = 0;
};

// Half a round trip between two ranks, as a ping-pong measures it.
struct PingpongRow {
  std::uint64_t bytes = 0;
  int iterations = 0;
  double least_us = 0, median_us = 0, mean_us = 0, p99_us = 0;  // full round trips
  std::int64_t wrong_bytes = 0;
};

}  // namespace weft::bench
