#include "bench/demo/demo_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "bench/demo/path_cut.h"
#include "bench/exit_status.h"
#include "bench/job/configuration.h"
#include "bench/job/start_ranks.h"
#include "bench/perf/perf_run.h"
#include "bench/perf/sizes.h"
#include "bench/perf/workload.h"

namespace weft::bench {
namespace {

constexpr int kPaths = 4;

struct DemoArguments {
  int ranks = 0;
  std::string size = "32M";
};

Result<bool> run_table(Job& job, std::unique_ptr<Workload> workload) {
  PerfOptions options;
  options.command = "weft perf " + std::string(workload->name());
  options.min_bytes = 64 << 10;
  options.max_bytes = 16 << 20;
  options.step_factor = 4;
  options.iterations = 5;
  PerfReport report;
  if (Status ran = run_perf(job, *workload, options, stdout, report); !ran) return ran;
  return report.wrong_elements == 0;
}

int run_rank(const RankSetup& setup, const Config& config, std::uint64_t bytes) {
  if (setup.place.size < 2) return refuse("a job of one rank has no path to cut: use --ranks 2 or more");
  auto created = Job::create(setup, config, "weft demo --size " + std::to_string(bytes));
  if (!created) return refuse(created.status().message());
  Job& job = **created;
  const auto summarise = [&job](const char* what, bool good) {
    if (job.rank() != 0) return;
    std::printf("# %-36s : %s\n", what, good ? "OK" : "FAILED");
  };

  auto reduced = run_table(job, make_all_reduce_workload());
  if (!reduced) return complain(reduced.status().message());
  auto exchanged = run_table(job, make_all_to_all_workload());
  if (!exchanged) return complain(exchanged.status().message());
  auto survived = demonstrate_path_cut(job, bytes, stdout);
  if (!survived) return complain(survived.status().message());
  if (job.rank() == 0) std::printf("#\n");
  summarise("all-reduce verified", *reduced);
  summarise("all-to-all verified", *exchanged);
  summarise("path cut survived and revived", *survived);
  std::fflush(stdout);
  if (Status status = job.bootstrap().barrier(); !status) return complain(status.message());
  return *reduced && *exchanged && *survived ? 0 : kFailed;
}

}  // namespace

void add_demo_command(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand(
      "demo",
      "4 processes, 4 paths between each two: an all-reduce, an all-to-all, and a path cut while data flows");
  command->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  auto arguments = std::make_shared<DemoArguments>();
  command
      ->add_option("--ranks", arguments->ranks,
                   "Processes on this host (4, unless a launcher started this one)")
      ->check(CLI::Range(2, 256));
  command->add_option("--size", arguments->size, "Of the all-reduce in which the path is cut")
      ->capture_default_str();
  command->callback([arguments, &exit_code] {
    const auto bytes = parse_size(arguments->size);
    if (!bytes || *bytes < (1 << 20)) {
      exit_code = refuse("--size " + arguments->size +
                         ": write a size of at least 1M, so that there is time to cut a path");
      return;
    }
    auto config = read_configuration();
    if (!config) {
      exit_code = refuse(config.status().message());
      return;
    }
    config->paths_per_plane = kPaths;
    config->max_paths = kPaths;
    const auto place = JobPlace::from_environment();
    const bool alone = place && place->size == 1;
    const int ranks = arguments->ranks == 0 && alone ? 4 : arguments->ranks;
    exit_code = start_ranks(ranks, [&](const RankSetup& setup) { return run_rank(setup, *config, *bytes); });
  });
}

}  // namespace weft::bench
