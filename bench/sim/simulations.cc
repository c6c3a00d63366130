#include "bench/sim/simulations.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>

#include "bench/exit_status.h"

namespace weft::bench {
namespace {

constexpr char kHead[] = "# {:>12}  {:>10}  {:>7}  {:>10}  {:>9}  {:>8}  {:>7}  {:>10}  {:>11}  {:>10}  {}\n";
constexpr char kRow[] =
    "  {:>12}  {:>10}  {:>7}  {:>10.2f}  {:>9}  {:>8}  {:>7}  {:>10.3f}  {:>11.3f}  {:>10}  {}\n";

volatile std::uint64_t seed_at_work = 0;

// A failed assertion of the core is a broken promise too.
void on_abort(int) {
  std::fprintf(stderr, "weft: seed %llu: an assertion failed\n",
               static_cast<unsigned long long>(seed_at_work));
  _exit(kFailed);
}

double in_ms(sim::Duration duration) {
  return static_cast<double>(duration.count()) / 1e6;
}

std::string row(const std::string& what, const sim::RunResult& result) {
  return fmt::format(kRow, what, result.messages_completed, result.requests_failed,
                     static_cast<double>(result.bytes_received) / 1e6, result.path_failures,
                     result.path_revivals, result.stalls, in_ms(result.longest_stall),
                     in_ms(result.virtual_time) / 1000, result.events,
                     result.violation.empty() ? "kept" : "BROKEN");
}

void add(sim::RunResult& sum, const sim::RunResult& one) {
  sum.messages_completed += one.messages_completed;
  sum.requests_failed += one.requests_failed;
  sum.bytes_received += one.bytes_received;
  sum.path_failures += one.path_failures;
  sum.path_revivals += one.path_revivals;
  sum.stalls += one.stalls;
  sum.longest_stall = std::max(sum.longest_stall, one.longest_stall);
  sum.virtual_time += one.virtual_time;
  sum.events += one.events;
  if (sum.violation.empty()) sum.violation = one.violation;
}

std::string again(const SimulationOptions& options, std::uint64_t seed) {
  const std::string scenario = options.scenario.empty() ? "" : " --scenario " + options.scenario;
  return fmt::format("weft sim{} --seed {} --trace", scenario, seed);
}

}  // namespace

int run_simulations(const SimulationOptions& options, std::FILE* out, const RunScenario& run) {
  const auto print = [out](const std::string& text) { std::fputs(text.c_str(), out); };
  const auto scenario_of = [&](std::uint64_t seed) {
    return options.scenario.empty() ? std::optional(sim::draw_scenario(seed))
                                    : sim::named_scenario(options.scenario, seed);
  };
  std::signal(SIGABRT, on_abort);
  sim::RunResult sum;
  for (std::uint64_t i = 0; i < options.seeds; ++i) {
    const std::uint64_t seed = options.first_seed + i;
    const auto scenario = scenario_of(seed);
    if (!scenario) return refuse("there is no scenario " + options.scenario + ": see weft sim --list");
    if (options.seeds == 1) print("# " + describe(*scenario) + "\n#\n");
    if (i == 0) {
      print(fmt::format(kHead, "seed", "requests", "failed", "received", "path", "paths", "stalls", "longest",
                        "virtual", "events", "promises"));
      print(fmt::format(kHead, "", "completed", "", "(MB)", "failures", "revived", "", "(ms)", "time (s)", "",
                        ""));
    }
    std::fflush(out);
    seed_at_work = seed;
    const sim::RunResult result = run(*scenario, options.trace ? out : nullptr);
    print(row(std::to_string(seed), result));
    add(sum, result);
    if (result.violation.empty()) continue;
    std::fflush(out);
    complain(fmt::format("seed {} at {:.6f} ms: {}; again with: {}", seed,
                         in_ms(result.ended.time_since_epoch()), result.violation, again(options, seed)));
  }
  if (options.seeds > 1) print("#\n" + row("all", sum));
  std::fflush(out);
  std::signal(SIGABRT, SIG_DFL);
  return sum.violation.empty() ? 0 : kFailed;
}

}  // namespace weft::bench
