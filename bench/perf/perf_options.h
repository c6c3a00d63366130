// What `weft perf` was asked to do.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/perf/data_file.h"
#include "weft/data_type.h"

namespace weft::bench {

// How the time of an operation is put together from the ranks' times (nccl-tests' -a).
enum class Average : int { kRankZero = 0, kMean = 1, kLeast = 2, kMost = 3 };

struct PerfOptions {
  std::string command = "weft perf all_reduce";  // for the table's head
  std::uint64_t min_bytes = 32 << 20;
  std::uint64_t max_bytes = 32 << 20;
  std::uint64_t step_bytes = 1 << 20;
  std::uint64_t step_factor = 1;  // 1: steps are added
  int iterations = 20;
  int warmup_iterations = 1;
  int checks = 1;
  Average average = Average::kMean;
  std::vector<DataType> types{DataType::kFloat32};
  std::vector<ReduceOp> ops{ReduceOp::kSum};
  std::string json_file;
  std::string net_plugin;  // file of the plugin through which data goes; empty: Weft's own connections
  std::string data_name;
  std::shared_ptr<const DataFile> data;  // null: patterns
};

// The sizes of the rows.
inline std::vector<std::uint64_t> sizes_of(const PerfOptions& options) {
  std::vector<std::uint64_t> sizes;
  for (std::uint64_t size = options.min_bytes; size <= options.max_bytes;
       size = options.step_factor > 1 ? size * options.step_factor : size + options.step_bytes) {
    sizes.push_back(size);
  }
  return sizes;
}

}  // namespace weft::bench
