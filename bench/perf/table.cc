#include "bench/perf/table.h"

#include <fmt/format.h>

namespace weft::bench {
namespace {

// As many decimals as fit the width, two at most; an exponent if even none do.
std::string fitted(double value, std::size_t width) {
  for (const int decimals : {2, 1, 0}) {
    std::string text = fmt::format("{:{}.{}f}", value, width, decimals);
    if (text.size() <= width) return text;
  }
  std::string text = fmt::format("{:{}.{}e}", value, width, width >= 7 ? 1 : 0);
  text.resize(width);
  return text;
}

}  // namespace

std::string table_head(const PerfOptions& options, std::string_view version,
                       const std::vector<RankInfo>& ranks) {
  const bool factor = options.step_factor > 1;
  std::string text = fmt::format("# weft version {}\n", version);
  text += fmt::format("# Collective test starting: {}\n", options.command);
  text += fmt::format(
      "# nThread 1 nGpus 1 minBytes {} maxBytes {} step: {}({}) warmup iters: {} iters: {} agg iters: 1 "
      "validation: {} "
      "graph: 0 unalign: 0\n#\n",
      options.min_bytes, options.max_bytes, factor ? options.step_factor : options.step_bytes,
      factor ? "factor" : "bytes", options.warmup_iterations, options.iterations, options.checks);
  text += "# Using devices\n";
  for (const RankInfo& rank : ranks) {
    text += fmt::format("#  Rank {:2} Group  0 Pid {:6} on {:>10} device  0 [0000:00:00] host memory, {}\n",
                        rank.rank, rank.pid, rank.host, rank.devices);
  }
  if (!options.net_plugin.empty())
    text += fmt::format("# Net plugin: {}, which may use other devices\n", options.net_plugin);
  text += "#\n";
  const auto five = [&text](auto size, auto count, auto type, auto op, auto root) {
    text += fmt::format("# {:>10}  {:>12}  {:>8}  {:>6}  {:>6}", size, count, type, op, root);
  };
  const auto four = [&text](auto time, auto algorithm, auto bus, auto wrong) {
    text += fmt::format("  {:>7}  {:>6}  {:>6}  {:>6}", time, algorithm, bus, wrong);
  };
  five("", "", "", "", "");
  text += "           out-of-place                       in-place          \n";
  five("size", "count", "type", "redop", "root");
  four("time", "algbw", "busbw", "#wrong");
  four("time", "algbw", "busbw", "#wrong");
  text += " \n";
  five("(B)", "(elements)", "", "", "");
  four("(us)", "(GB/s)", "(GB/s)", "");
  four("(us)", "(GB/s)", "(GB/s)", "");
  text += " \n";
  return text;
}

std::string row_begin(std::uint64_t bytes, std::uint64_t elements, std::string_view type, std::string_view op,
                      int root) {
  return fmt::format("{:12}  {:12}  {:>8}  {:>6}  {:6}", bytes, elements, type, op, root);
}

std::string row_measurement(const Measurement& measurement) {
  // A count has the shortest form of a floating-point number, as there: 0, 17, 1.04858e+06.
  const std::string wrong =
      measurement.wrong ? fmt::format("{:6g}", static_cast<double>(*measurement.wrong)) : "  N/A";
  return fmt::format("  {}  {}  {}  {}", fitted(measurement.time_us, 7),
                     fitted(measurement.algorithm_gb_per_s, 6), fitted(measurement.bus_gb_per_s, 6), wrong);
}

std::string table_foot(std::int64_t out_of_bounds, double average_bus_gb_per_s, std::string_view command) {
  return fmt::format("# {:<20} : {} {}\n# {:<20} : {:g} \n#\n# Collective test concluded: {}\n#\n\n",
                     "Out of bounds values", out_of_bounds, out_of_bounds != 0 ? "FAILED" : "OK",
                     "Avg bus bandwidth", average_bus_gb_per_s, command);
}

}  // namespace weft::bench
