#include "tests/gpu/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <sstream>

namespace weft::gputest {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> words;
  std::istringstream stream(list);
  for (std::string word; std::getline(stream, word, ',');) words.push_back(word);
  return words;
}

template <typename Value>
std::vector<Value> parse_names(const std::string& list, const char* what) {
  std::vector<Value> values;
  for (const std::string& word : split(list)) {
    Value value{};
    if (!parse(word, value)) throw CLI::ValidationError(what, "there is no \"" + word + "\"; see --help");
    values.push_back(value);
  }
  if (values.empty()) throw CLI::ValidationError(what, "the list is empty");
  return values;
}

std::vector<Transport> parse_transports(const std::string& list) {
  std::vector<Transport> transports;
  for (const std::string& word : split(list)) {
    if (word != "weft" && word != "socket") {
      throw CLI::ValidationError("--transports", "there is no \"" + word + "\"; use weft, socket or both");
    }
    transports.push_back(word == "weft" ? Transport::kWeft : Transport::kSocket);
  }
  if (transports.empty()) throw CLI::ValidationError("--transports", "the list is empty");
  return transports;
}

std::vector<int> parse_ranks(const std::string& list) {
  std::vector<int> ranks;
  for (const std::string& word : split(list)) {
    int count = 0;
    if (!CLI::detail::lexical_cast(word, count) || count < 2 || count > kMaxRanks) {
      throw CLI::ValidationError(
          "--ranks", "\"" + word + "\" is not a number of ranks from 2 to " + std::to_string(kMaxRanks));
    }
    ranks.push_back(count);
  }
  if (ranks.empty()) throw CLI::ValidationError("--ranks", "the list is empty");
  return ranks;
}

// Beside the program (a bundle), or where the build tree has it.
std::string find_plugin() {
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& candidate :
       {here / "libnccl-net-weft.so", here / "../../plugins/nccl_net/libnccl-net-weft.so"}) {
    if (fs::exists(candidate, error)) return fs::canonical(candidate, error).string();
  }
  return {};
}

void check(const Options& options) {
  if (options.plan.min_bytes < 1 || options.plan.min_bytes > options.plan.max_bytes) {
    throw CLI::ValidationError("--min-bytes", "must be at least 1 and at most --max-bytes");
  }
  if (options.plan.max_bytes > (std::size_t{8} << 30))
    throw CLI::ValidationError("--max-bytes", "must be at most 8 GiB");
  if (options.plan.factor < 2) throw CLI::ValidationError("--factor", "must be at least 2");
  if (options.iterations < 1) throw CLI::ValidationError("--iterations", "must be at least 1");
  if (options.communicators < 1) throw CLI::ValidationError("--communicators", "must be at least 1");
}

}  // namespace

std::vector<std::string> Options::rank_arguments() const {
  std::string operations, types;
  for (const Operation operation : plan.operations) operations += std::string(name_of(operation)) + ",";
  for (const ElementType type : plan.types) types += std::string(name_of(type)) + ",";
  std::vector<std::string> arguments = {"--min-bytes",     std::to_string(plan.min_bytes),
                                        "--max-bytes",     std::to_string(plan.max_bytes),
                                        "--factor",        std::to_string(plan.factor),
                                        "--operations",    operations,
                                        "--types",         types,
                                        "--iterations",    std::to_string(iterations),
                                        "--communicators", std::to_string(communicators),
                                        "--device",        std::to_string(device)};
  if (!nccl.empty()) arguments.insert(arguments.end(), {"--nccl", nccl});
  return arguments;
}

ParsedOptions parse_options(int argc, char** argv) {
  ParsedOptions parsed;
  Options& o = parsed.options;
  CLI::App app(
      "Runs NCCL's all-reduce, all-gather and all-to-all between processes on one GPU, over Weft's net "
      "plugin and over "
      "NCCL's own sockets, and compares every byte with the right result. Exit status: 0 all right, 1 wrong "
      "bytes, "
      "hang, failure or traffic that took another way, 2 bad arguments, 77 skipped (no GPU or no NCCL).");
  std::string ranks = "2,4", transports = "weft,socket",
              operations = "all_reduce,all_gather,all_to_all,all_to_allv";
  std::string types =
      "int8,uint8,int32,uint32,int64,uint64,float16,float32,float64,bfloat16,float8e4m3,float8e5m2";
  bool no_kill = false;
  app.add_option("--plugin", o.plugin, "libnccl-net-weft.so; default: beside this program, or the build's");
  app.add_option("--nccl", o.nccl, "libnccl.so.2; default: the loader's, or python3's nvidia.nccl");
  app.add_option("--ranks", ranks, "numbers of ranks, one run each")->capture_default_str();
  app.add_option("--transports", transports, "weft, socket")->capture_default_str();
  app.add_option("--operations", operations)->capture_default_str();
  app.add_option("--types", types, "float8 is left out where NCCL or the GPU lacks it")
      ->capture_default_str();
  app.add_option("--min-bytes", o.plan.min_bytes)->transform(CLI::AsSizeValue(false))->default_str("8");
  app.add_option("--max-bytes", o.plan.max_bytes)->transform(CLI::AsSizeValue(false))->default_str("64M");
  app.add_option("--factor", o.plan.factor, "between sizes")->capture_default_str();
  app.add_option("--iterations", o.iterations, "timed and checked, after one that is only checked")
      ->capture_default_str();
  app.add_option("--communicators", o.communicators, "made one after another; all cases run in the last")
      ->capture_default_str();
  app.add_option("--device", o.device, "CUDA device for all ranks")->capture_default_str();
  app.add_flag("--no-kill", no_kill, "leave out the runs in which a rank is killed in mid-transfer");
  app.add_option("--silence", o.silence_s, "seconds without progress after which a run is given up")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--deadline", o.total_s, "seconds for everything")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--out", o.output_directory,
                 "folder for logs and counters; default: a temporary one, kept on failure");
  app.add_option("--json", o.json_file, "also write the results here");
  app.add_flag("--list", o.list, "print the cases and stop");
  app.add_option("--rank", o.rank)->group("");
  app.add_flag("--kill-rank", o.kill_rank)->group("");
  try {
    app.parse(argc, argv);
    o.ranks = parse_ranks(ranks);
    o.transports = parse_transports(transports);
    o.plan.operations = parse_names<Operation>(operations, "--operations");
    o.plan.types = parse_names<ElementType>(types, "--types");
    o.kill_peer = !no_kill;
    check(o);
    const bool uses_weft =
        std::find(o.transports.begin(), o.transports.end(), Transport::kWeft) != o.transports.end();
    if (o.rank < 0 && uses_weft && !o.list) {
      std::error_code error;
      if (o.plugin.empty()) o.plugin = find_plugin();
      if (o.plugin.empty())
        throw CLI::ValidationError("--plugin", "libnccl-net-weft.so was not found; name it");
      if (!fs::is_regular_file(o.plugin, error)) {
        throw CLI::ValidationError("--plugin", "there is no file " + o.plugin);
      }
      o.plugin = fs::canonical(o.plugin).string();  // NCCL takes a relative path for a name
    }
  } catch (const CLI::ParseError& problem) {
    const int status = app.exit(problem);
    parsed.exit_status = status == 0 ? 0 : 2;
  }
  return parsed;
}

}  // namespace weft::gputest
