// NCCL's own collectives between several processes on one GPU, over Weft and over NCCL's sockets, every byte
// checked. See --help, and README.md in this folder.
#include <cuda_runtime_api.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/gpu/nccl_api.h"
#include "tests/gpu/options.h"
#include "tests/gpu/rank_process.h"
#include "tests/gpu/report.h"
#include "tests/gpu/transport_run.h"

namespace weft::gputest {
namespace {

constexpr int kPass = 0, kFail = 1, kBadArguments = 2, kSkipped = 77;

PlanOptions plan_for(const Options& options, int ranks) {
  PlanOptions plan = options.plan;
  plan.ranks = ranks;
  return plan;
}

// The run in which a rank dies needs one operation that takes long enough to die in.
std::vector<Case> kill_plan(const Options& options, int ranks) {
  const std::size_t count = std::size_t{16} << 20;
  return {Case{{Operation::kAllReduce, ElementType::kFloat32, ranks, count}, Layout::kOutOfPlace}};
}

int be_rank(const Options& options) {
  RankOptions rank;
  rank.rank = options.rank;
  rank.ranks = options.ranks.front();
  rank.device = options.device;
  rank.nccl_path = options.nccl;
  rank.iterations = options.iterations;
  rank.communicators = options.communicators;
  rank.kill_last_rank = options.kill_rank;
  rank.plan = options.kill_rank ? kill_plan(options, rank.ranks) : make_plan(plan_for(options, rank.ranks));
  return run_rank(rank, kControlFd);
}

struct Machine {
  std::string device, driver;
  std::string why_not;  // empty: the test can run here
  bool bad_arguments = false;
  bool has_float8 = false;
};

Machine look_at_machine(const Options& options) {
  Machine machine;
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    // CUDA's words for a missing driver speak of versions only.
    machine.why_not =
        std::string("no usable GPU: ") +
        (error == cudaErrorInsufficientDriver
             ? "no NVIDIA driver, or one too old for CUDA " + std::to_string(CUDART_VERSION / 1000) + "." +
                   std::to_string(CUDART_VERSION % 1000 / 10)
         : error != cudaSuccess ? std::string(cudaGetErrorString(error))
                                : std::string("the driver shows no device"));
    return machine;
  }
  if (options.device < 0 || options.device >= devices) {
    machine.bad_arguments = true;
    machine.why_not = "--device " + std::to_string(options.device) + ": this machine has devices 0 to " +
                      std::to_string(devices - 1);
    return machine;
  }
  cudaDeviceProp properties{};
  int driver = 0;
  cudaGetDeviceProperties(&properties, options.device);
  cudaDriverGetVersion(&driver);
  machine.device = properties.name;
  machine.driver =
      "supports CUDA " + std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10);
  const Result<NcclApi> nccl = NcclApi::open(options.nccl);
  if (!nccl) {
    // A library that was named must be there; one that was not may be missing.
    machine.bad_arguments = !options.nccl.empty();
    machine.why_not = nccl.status().message();
    return machine;
  }
  std::printf("# device %d: %s; driver %s; NCCL %s (%s)\n", options.device, machine.device.c_str(),
              machine.driver.c_str(), nccl->version.c_str(), nccl->path.c_str());
  machine.has_float8 = nccl->version_code >= 22400 && properties.major >= 9;
  return machine;
}

// Logs and counters. Temporary unless the user named a folder; kept when something went wrong.
class OutputDirectory {
 public:
  explicit OutputDirectory(const std::string& wanted) : temporary_(wanted.empty()) {
    if (temporary_) {
      std::string name = (std::filesystem::temp_directory_path() / "weft-gpu-XXXXXX").string();
      if (::mkdtemp(name.data())) path_ = name;
    } else {
      std::error_code error;
      std::filesystem::create_directories(wanted, error);
      path_ = std::filesystem::canonical(wanted, error).string();
    }
  }
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;
  ~OutputDirectory() {
    std::error_code error;
    if (temporary_ && !keep_ && !path_.empty()) std::filesystem::remove_all(path_, error);
  }
  const std::string& path() const { return path_; }
  void keep() { keep_ = true; }

 private:
  bool temporary_;
  bool keep_ = false;
  std::string path_;
};

class Session {
 public:
  Session(const Options& options, const std::string& directory) : options_(options), directory_(directory) {}

  void run_all() {
    for (const int ranks : options_.ranks) {
      std::vector<FinishedRun> side_by_side;
      for (const Transport transport : options_.transports)
        side_by_side.push_back(run(transport, ranks, false));
      print_table(stdout, side_by_side);
    }
    if (!options_.kill_peer) return;
    // With two ranks each is the other's neighbour, so every survivor must be told.
    for (const Transport transport : options_.transports) run(transport, 2, true);
  }
  const std::vector<FinishedRun>& runs() const { return runs_; }

 private:
  FinishedRun run(Transport transport, int ranks, bool kill) {
    FinishedRun finished;
    RunOptions& o = finished.options;
    o.transport = transport;
    o.ranks = ranks;
    o.kill_last_rank = kill;
    o.iterations = options_.iterations;
    o.communicators = options_.communicators;
    o.program = std::filesystem::read_symlink("/proc/self/exe").string();
    o.rank_arguments = options_.rank_arguments();
    o.plugin = options_.plugin;
    o.output_directory = directory_;
    o.plan = kill ? kill_plan(options_, ranks) : make_plan(plan_for(options_, ranks));
    o.limits.silence = std::chrono::milliseconds(static_cast<std::int64_t>(options_.silence_s * 1000));
    o.limits.total = time_left();
    std::printf("# %s, %d ranks%s: %zu cases\n", std::string(name_of(transport)).c_str(), ranks,
                kill ? ", the last is killed in mid-transfer" : "", o.plan.size());
    std::fflush(stdout);
    finished.result = run_transport(o);
    if (!finished.result.banner.empty()) std::printf("# %s\n", finished.result.banner.c_str());
    if (!finished.result.peer_lost.empty()) std::printf("# %s\n", finished.result.peer_lost.c_str());
    if (!finished.result.problem.empty()) std::printf("# PROBLEM: %s\n", finished.result.problem.c_str());
    std::fflush(stdout);
    runs_.push_back(finished);
    return finished;
  }

  std::chrono::milliseconds time_left() const {
    const auto total = std::chrono::milliseconds(static_cast<std::int64_t>(options_.total_s * 1000));
    const auto used =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start_);
    return std::max(total - used, std::chrono::milliseconds(1));
  }

  const Options& options_;
  const std::string& directory_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::vector<FinishedRun> runs_;
};

int list_cases(const Options& options) {
  for (const int ranks : options.ranks) {
    for (const Case& c : make_plan(plan_for(options, ranks))) {
      std::printf("%-11s %-9s %-12s %10zu bytes %d ranks\n",
                  std::string(name_of(c.collective.operation)).c_str(),
                  std::string(name_of(c.collective.type)).c_str(), std::string(name_of(c.layout)).c_str(),
                  c.bytes(), ranks);
    }
  }
  return kPass;
}

// NCCL moves and reduces FP8 from 2.24 on, and on GPUs of compute capability 9.0 or later.
void leave_float8_out(Options& options) {
  std::vector<ElementType>& types = options.plan.types;
  const auto last = std::remove_if(types.begin(), types.end(), [](ElementType type) {
    return type == ElementType::kFloat8E4M3 || type == ElementType::kFloat8E5M2;
  });
  if (last != types.end())
    std::printf("# without float8: that takes NCCL 2.24 and a GPU of compute capability 9.0\n");
  types.erase(last, types.end());
}

int run_session(const Options& options, const Machine& machine) {
  OutputDirectory directory(options.output_directory);
  if (directory.path().empty()) {
    std::fprintf(stderr, "nccl_collectives: no folder for logs could be made; name one with --out.\n");
    return kBadArguments;
  }
  Session session(options, directory.path());
  session.run_all();
  if (!options.json_file.empty()) {
    std::ofstream file(options.json_file);
    file << to_json(session.runs(), machine.device, machine.driver) << "\n";
    if (!file.flush()) {
      std::fprintf(stderr, "nccl_collectives: %s could not be written.\n", options.json_file.c_str());
      return kBadArguments;
    }
  }
  std::printf(
      "# A GPU that ranks share is given to them in turns, so times here compare transports and mean little "
      "else.\n");
  if (!passed(session.runs())) {
    directory.keep();
    std::printf("# logs: %s\n", directory.path().c_str());
  }
  std::printf("%s\n", summary(session.runs()).c_str());
  return passed(session.runs()) ? kPass : kFail;
}

}  // namespace
}  // namespace weft::gputest

int main(int argc, char** argv) {
  using namespace weft::gputest;
  ParsedOptions parsed = parse_options(argc, argv);
  if (parsed.exit_status >= 0) return parsed.exit_status;
  Options& options = parsed.options;
  if (options.rank >= 0) return be_rank(options);
  if (options.list) return list_cases(options);
  const Machine machine = look_at_machine(options);
  if (machine.bad_arguments) {
    std::fprintf(stderr, "nccl_collectives: %s\n", machine.why_not.c_str());
    return kBadArguments;
  }
  if (!machine.why_not.empty()) {
    std::printf("SKIPPED: %s\n", machine.why_not.c_str());
    return kSkipped;
  }
  if (!machine.has_float8) leave_float8_out(options);
  if (options.plan.types.empty()) {
    std::printf("SKIPPED: no other type was asked for\n");
    return kSkipped;
  }
  return run_session(options, machine);
}
