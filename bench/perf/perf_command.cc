#include "bench/perf/perf_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/exit_status.h"
#include "bench/job/configuration.h"
#include "bench/job/job.h"
#include "bench/job/start_ranks.h"
#include "bench/perf/json_report.h"
#include "bench/perf/net_plugin_workload.h"
#include "bench/perf/perf_run.h"
#include "bench/perf/pingpong.h"
#include "bench/perf/report_file.h"
#include "bench/perf/sizes.h"
#include "bench/perf/workload.h"

namespace weft::bench {
namespace {

// The command line as it came, before it is understood.
struct PerfArguments {
  PerfOptions options;
  std::string min_bytes, max_bytes, step_bytes, type = "float", op = "sum";
  int step_factor = 1;
  int average = 1;
  int ranks = 0;
  int threads = 1, gpus = 1;
};

std::string size_problem(const std::string& text) {
  return parse_size(text) ? ""
                          : "\"" + text + "\" is not a size; write bytes, or 64K, 1M, 2G (powers of 1024)";
}

std::string type_problem(const std::string& text) {
  if (text == "all" || data_type_from(text)) return "";
  std::string known;
  for (int i = 0; i < kDataTypes; ++i) known += std::string(to_string(static_cast<DataType>(i))) + ", ";
  return "\"" + text + "\" is not a type; known are " + known + "all";
}

std::string op_problem(const std::string& text) {
  if (text == "all" || reduce_op_from(text)) return "";
  std::string known;
  for (int i = 0; i < kReduceOps; ++i) known += std::string(to_string(static_cast<ReduceOp>(i))) + ", ";
  return "\"" + text + "\" is not a reduction; known are " + known + "all";
}

// Sizes and lists out of the words. An empty string, or what cannot be.
std::string understand(PerfArguments& arguments) {
  PerfOptions& options = arguments.options;
  if (!arguments.min_bytes.empty()) options.min_bytes = *parse_size(arguments.min_bytes);
  if (!arguments.max_bytes.empty()) options.max_bytes = *parse_size(arguments.max_bytes);
  if (!arguments.step_bytes.empty()) options.step_bytes = *parse_size(arguments.step_bytes);
  options.step_factor = static_cast<std::uint64_t>(arguments.step_factor);
  options.average = static_cast<Average>(arguments.average);
  if (options.min_bytes > options.max_bytes) {
    return "-b " + format_size(options.min_bytes) + " is more than -e " + format_size(options.max_bytes) +
           "; give both (each is 32M unless it is given)";
  }
  const bool several = options.max_bytes > options.min_bytes;
  if (several && options.step_factor > 1 && options.min_bytes == 0) {
    return "-b 0 does not grow by a factor; use -i, or begin at -b 1";
  }
  if (options.step_factor == 1 && options.step_bytes == 0)
    return "-i 0 does not grow; use -f, or a larger -i";
  options.types.clear();
  for (int i = 0; i < kDataTypes; ++i) {
    const auto type = static_cast<DataType>(i);
    if (arguments.type == "all" || data_type_from(arguments.type) == type) options.types.push_back(type);
  }
  options.ops.clear();
  for (int i = 0; i < kReduceOps; ++i) {
    const auto op = static_cast<ReduceOp>(i);
    if (arguments.op == "all" || reduce_op_from(arguments.op) == op) options.ops.push_back(op);
  }
  return "";
}

// Whatever must be the same on all ranks.
std::string task_of(const PerfOptions& options) {
  std::string task = options.command + " -b " + format_size(options.min_bytes) + " -e " +
                     format_size(options.max_bytes) +
                     (options.step_factor > 1 ? " -f " + std::to_string(options.step_factor)
                                              : " -i " + format_size(options.step_bytes)) +
                     " -n " + std::to_string(options.iterations) + " -w " +
                     std::to_string(options.warmup_iterations) + " -c " + std::to_string(options.checks) +
                     " -a " + std::to_string(static_cast<int>(options.average)) + " -d";
  for (const DataType type : options.types) task += " " + std::string(to_string(type));
  task += " -o";
  for (const ReduceOp op : options.ops) task += " " + std::string(to_string(op));
  if (options.data) task += " --data " + options.data_name;
  if (!options.net_plugin.empty()) task += " --net-plugin " + options.net_plugin;
  return options.json_file.empty() ? task : task + " -J FILE";
}

// What rank 0 cannot do is told to all ranks, so that none is left waiting for it.
Status tell_all(Job& job, const Status& status) {
  auto texts = job.gather_text(status.message());
  if (!texts) return texts.status();
  for (const std::string& text : *texts)
    if (!text.empty()) return {StatusCode::kBadConfiguration, text};
  return Status::ok();
}

// The counters of all ranks; collective.
Status gather_context(Job& job, ReportContext& context) {
  auto ranks = gather_rank_infos(job);
  if (!ranks) return ranks.status();
  auto connections = job.gather_text(connections_json(job));
  if (!connections) return connections.status();
  context.ranks = std::move(*ranks);
  context.rank_connections = std::move(*connections);
  return Status::ok();
}

// Collective where the run went well: all ranks give their counters, rank 0 writes. After a failure rank 0
// writes what it has: `make` turns that into JSON.
template <typename Make>
Status write_json(Job& job, ReportFile& file, ReportContext context, const Status& ran, Make make) {
  Status gathered = ran;
  if (ran) gathered = gather_context(job, context);
  if (job.rank() != 0) return ran ? gathered : Status::ok();
  context.error = gathered.message();
  context.launcher = job.place().launcher;
  context.config = job.context().config();
  context.end_time = utc_now();
  const std::string text = make(context);
  if (Status written = file.write(text); !written) {
    // Hours may be in it.
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    return {written.code(), written.message() + "; it stands on stdout instead"};
  }
  return ran ? gathered : Status::ok();
}

std::string pingpong_needs_two(int ranks) {
  return "pingpong is between two ranks, this job has " + std::to_string(ranks) + ": use --ranks 2";
}

using MakeWorkload = std::unique_ptr<Workload> (*)();

// The plugin takes what the variables say; the job's own connections only let ranks wait for each other, and
// must not write their counters over those of a plugin that is Weft's.
Config beside_a_plugin(Config config) {
  config.transport = TransportChoice::kTcp;
  config.stats_file.clear();
  return config;
}

// One rank, from its beginning to its end. `make_workload` is null for pingpong. `file` is where the report
// goes, open if somebody else has opened it.
int run_rank(const RankSetup& setup, const Config& config, const PerfOptions& options,
             const std::vector<std::string>& words, MakeWorkload make_workload, ReportFile& file) {
  ReportContext context;
  context.arguments = words;
  context.start_time = utc_now();
  const bool reports = !options.json_file.empty();
  if (make_workload == nullptr && setup.place.size != 2) return refuse(pingpong_needs_two(setup.place.size));
  Status opened;
  if (reports && setup.place.rank == 0 && !file.is_open()) opened = file.open(options.json_file);
  const bool by_plugin = !options.net_plugin.empty();
  auto created = Job::create(setup, by_plugin ? beside_a_plugin(config) : config, task_of(options));
  if (!created) return refuse(created.status().message());
  Job& job = **created;
  if (reports) {
    if (Status status = tell_all(job, opened); !status) return refuse(status.message());
  }

  std::int64_t wrong = 0;
  Status ran, written;
  if (make_workload == nullptr) {
    std::vector<PingpongRow> rows;
    ran = run_pingpong(job, options, stdout, rows);
    for (const PingpongRow& row : rows) wrong += row.wrong_bytes;
    if (reports) {
      written = write_json(job, file, context, ran,
                           [&](const ReportContext& all) { return pingpong_json(all, options, rows); });
    }
  } else {
    Result<std::unique_ptr<Workload>> made =
        by_plugin ? make_net_plugin_workload(job, options.net_plugin) : make_workload();
    if (!made) return refuse(made.status().message());
    const std::unique_ptr<Workload> workload = std::move(*made);
    PerfReport report;
    ran = run_perf(job, *workload, options, stdout, report);
    wrong = report.wrong_elements;
    if (reports) {
      written = write_json(job, file, context, ran,
                           [&](const ReportContext& all) { return perf_json(all, options, report); });
    }
  }
  if (!written) complain(written.message());
  // No memory for the largest size: nothing was run.
  if (ran.code() == StatusCode::kResourceExhausted) return refuse(ran.message());
  if (!ran) return complain(ran.message());
  if (!written) return kFailed;
  // Nobody leaves while another still talks to it.
  if (Status status = job.bootstrap().barrier(); !status) return complain(status.message());
  return wrong == 0 ? 0 : kFailed;
}

void add_flags(CLI::App& command, PerfArguments& arguments, bool reduces, bool collective) {
  PerfOptions& options = arguments.options;
  // As in nccl-tests: scripts append a flag to overrule an earlier one.
  command.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const auto size = CLI::Validator(size_problem, "SIZE");
  command
      .add_option("-b,--minbytes", arguments.min_bytes,
                  "Smallest size (32M); 64K, 1M, 2G count in powers of 1024")
      ->check(size);
  command.add_option("-e,--maxbytes", arguments.max_bytes, "Largest size (32M)")->check(size);
  auto* factor =
      command.add_option("-f,--stepfactor", arguments.step_factor, "Each size is the one before times this")
          ->check(CLI::Range(1, 1 << 20));
  command.add_option("-i,--stepbytes", arguments.step_bytes, "Each size is the one before plus this (1M)")
      ->check(size)
      ->excludes(factor);
  command.add_option("-n,--iters", options.iterations, "Timed runs of each size")
      ->check(CLI::Range(1, 1'000'000'000))
      ->capture_default_str();
  command.add_option("-w,--warmup_iters", options.warmup_iterations, "Runs of each size before that")
      ->check(CLI::Range(0, 1'000'000'000))
      ->capture_default_str();
  command.add_option("-c,--check", options.checks, "Checked runs of each size; 0: none")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  if (collective) {
    command.add_option("-d,--datatype", arguments.type, "Element type, or all")
        ->check(CLI::Validator(type_problem, "TYPE"))
        ->capture_default_str();
    command
        .add_option("-a,--average", arguments.average,
                    "Time of: 0 rank 0, 1 the mean, 2 the least, 3 the most")
        ->check(CLI::Range(0, 3))
        ->capture_default_str();
  }
  // nccl-tests takes -o for every test; where nothing is reduced it only fills a column.
  if (collective) {
    command
        .add_option("-o,--op", arguments.op,
                    reduces ? "Reduction, or all" : "Only named in the table: nothing is reduced")
        ->check(CLI::Validator(op_problem, "OP"))
        ->capture_default_str();
  }
  if (collective && !reduces) {
    command.add_option("--data", options.data_name,
                       "Send what is in this file, over and over, instead of random bits");
  }
  if (collective && options.command == "weft perf sendrecv") {
    command
        .add_option("--net-plugin", options.net_plugin,
                    "Through this plugin for NCCL's network, in slices as NCCL's, on host memory")
        ->type_name("FILE");
  }
  command.add_option("-J,--output_file", options.json_file,
                     "Write a report in JSON, with the counters of every path");
  command.add_option("--ranks", arguments.ranks, "Run this many ranks as processes on this host")
      ->check(CLI::Range(1, 4096));
  // Command lines of nccl-tests often have these; only their default means anything here.
  command
      .add_option("-t,--nthreads", arguments.threads, "Only 1: more ranks come from --ranks or a launcher")
      ->check(CLI::Range(1, 1))
      ->group("For command lines of nccl-tests");
  command.add_option("-g,--ngpus", arguments.gpus, "Only 1: this measures host memory")
      ->check(CLI::Range(1, 1))
      ->group("For command lines of nccl-tests");
}

int start(PerfArguments& arguments, const std::vector<std::string>& words, MakeWorkload make_workload) {
  if (const std::string problem = understand(arguments); !problem.empty()) return refuse(problem);
  if (make_workload == nullptr && arguments.ranks > 0 && arguments.ranks != 2)
    return refuse(pingpong_needs_two(arguments.ranks));
  const auto config = read_configuration();
  if (!config) return refuse(config.status().message());
  if (!arguments.options.data_name.empty()) {
    auto data = DataFile::read(arguments.options.data_name);
    if (!data) return refuse(data.status().message());
    arguments.options.data = std::make_shared<const DataFile>(std::move(*data));
  }
  ReportFile file;
  if (arguments.ranks > 0 && !arguments.options.json_file.empty()) {
    if (Status opened = file.open(arguments.options.json_file); !opened) return refuse(opened.message());
  }
  return start_ranks(arguments.ranks, [&](const RankSetup& setup) {
    return run_rank(setup, *config, arguments.options, words, make_workload, file);
  });
}

void add_subcommand(CLI::App& perf, const std::string& name, const std::string& help,
                    MakeWorkload make_workload, const std::vector<std::string>& words, int& exit_code) {
  CLI::App* command = perf.add_subcommand(name, help);
  auto arguments = std::make_shared<PerfArguments>();
  arguments->options.command = "weft perf " + name;
  const bool collective = make_workload != nullptr;
  if (!collective) {
    arguments->options.min_bytes = arguments->options.max_bytes = 8;
    arguments->options.iterations = 10000;
    arguments->options.warmup_iterations = 1000;
  }
  add_flags(*command, *arguments, name == "all_reduce", collective);
  command->callback([=, &exit_code] { exit_code = start(*arguments, words, make_workload); });
}

}  // namespace

void add_perf_command(CLI::App& app, const std::vector<std::string>& words, int& exit_code) {
  CLI::App* perf = app.add_subcommand("perf", "Bandwidth and latency of collectives on host memory, checked");
  perf->require_subcommand(1);
  perf->footer(
      "Ranks: --ranks N starts N processes on this host. Started by torchrun, srun or mpirun, or with RANK, "
      "WORLD_SIZE,\n"
      "MASTER_ADDR and MASTER_PORT set, it joins the job. WEFT_* variables: docs/environment.md.");
  add_subcommand(*perf, "all_reduce", "Every rank gets the reduction of all ranks' data",
                 make_all_reduce_workload, words, exit_code);
  add_subcommand(*perf, "all_to_all", "Every rank sends a block to every other", make_all_to_all_workload,
                 words, exit_code);
  add_subcommand(*perf, "sendrecv", "Every rank sends to the next and receives from the previous",
                 make_sendrecv_workload, words, exit_code);
  add_subcommand(*perf, "pingpong", "Round trips between two ranks", nullptr, words, exit_code);
}

}  // namespace weft::bench
