#include "tests/gpu/report.h"

#include <nlohmann/json.hpp>

namespace weft::gputest {
namespace {

using nlohmann::json;

std::string nccl_version(const std::vector<FinishedRun>& runs) {
  for (const FinishedRun& run : runs) {
    if (const auto found = run.result.info.find("nccl"); found != run.result.info.end()) return found->second;
  }
  return "unknown";
}

json row_to_json(const Case& c, const Row& row, const RunOptions& options) {
  return {{"operation", std::string(name_of(c.collective.operation))},
          {"type", std::string(name_of(c.collective.type))},
          {"layout", std::string(name_of(c.layout))},
          {"bytes", c.bytes()},
          {"ranks", options.ranks},
          {"transport", std::string(name_of(options.transport))},
          {"median_us", row.reports == options.ranks ? json(row.median_us) : json()},
          {"wrong_bytes", row.wrong_bytes},
          {"complete", row.reports == options.ranks}};
}

}  // namespace

void print_table(std::FILE* out, const std::vector<FinishedRun>& runs) {
  if (runs.empty()) return;
  std::fprintf(out, "# %-11s %-9s %-12s %10s %5s", "operation", "type", "layout", "bytes", "ranks");
  for (const FinishedRun& run : runs) {
    std::fprintf(out, "  %10s us %6s", std::string(name_of(run.options.transport)).c_str(), "#wrong");
  }
  std::fputc('\n', out);
  for (std::size_t i = 0; i < runs.front().options.plan.size(); ++i) {
    const Case& c = runs.front().options.plan[i];
    std::fprintf(out, "  %-11s %-9s %-12s %10zu %5d", std::string(name_of(c.collective.operation)).c_str(),
                 std::string(name_of(c.collective.type)).c_str(), std::string(name_of(c.layout)).c_str(),
                 c.bytes(), c.collective.ranks);
    for (const FinishedRun& run : runs) {
      const Row& row = run.result.rows[i];
      if (row.reports == run.options.ranks) {
        std::fprintf(out, "  %13.1f %6zu", row.median_us, row.wrong_bytes);
      } else {
        std::fprintf(out, "  %13s %6s", "-", "-");
      }
    }
    std::fputc('\n', out);
  }
}

bool passed(const std::vector<FinishedRun>& runs) {
  for (const FinishedRun& run : runs) {
    if (!run.result.problem.empty()) return false;
  }
  return !runs.empty();
}

std::string summary(const std::vector<FinishedRun>& runs) {
  std::uint64_t operations = 0, sent = 0, needed = 0;
  std::size_t wrong = 0;
  int failed = 0;
  for (const FinishedRun& run : runs) {
    operations += run.result.operations;
    for (const Row& row : run.result.rows) wrong += row.wrong_bytes;
    if (run.options.transport == Transport::kWeft && !run.options.kill_last_rank) {
      sent += run.result.bytes_sent;
      needed += run.result.bytes_needed;
    }
    failed += !run.result.problem.empty();
  }
  return std::string(passed(runs) ? "PASS: " : "FAIL: ") + std::to_string(runs.size()) + " runs, " +
         std::to_string(failed) + " failed; " + std::to_string(operations) + " collectives checked, " +
         std::to_string(wrong) + " wrong bytes; Weft's counters show " + std::to_string(sent) +
         " bytes sent where at least " + std::to_string(needed) + " were needed; NCCL " + nccl_version(runs);
}

std::string to_json(const std::vector<FinishedRun>& runs, const std::string& device,
                    const std::string& driver) {
  json rows = json::array(), run_list = json::array();
  for (const FinishedRun& run : runs) {
    for (std::size_t i = 0; i < run.result.rows.size(); ++i) {
      rows.push_back(row_to_json(run.options.plan[i], run.result.rows[i], run.options));
    }
    run_list.push_back({{"transport", std::string(name_of(run.options.transport))},
                        {"ranks", run.options.ranks},
                        {"kill_last_rank", run.options.kill_last_rank},
                        {"problem", run.result.problem},
                        {"peer_lost", run.result.peer_lost},
                        {"banner", run.result.banner},
                        {"collectives_checked", run.result.operations},
                        {"bytes_sent", run.result.bytes_sent},
                        {"bytes_needed", run.result.bytes_needed}});
  }
  const json all = {{"passed", passed(runs)},     {"device", device}, {"driver", driver},
                    {"nccl", nccl_version(runs)}, {"runs", run_list}, {"rows", rows}};
  return all.dump(1);
}

}  // namespace weft::gputest
