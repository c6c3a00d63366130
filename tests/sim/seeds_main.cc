// Runs seeds of the simulator, or one with a trace.
//
//   sim_seeds [--first N] [--count N] [--jobs N]   seeds N, N+1, ...
//   sim_seeds --seed N [--trace]                   one seed again
//
// Exit status: 0 every promise was kept, 3 one was broken (the seed and how to replay it are printed), 2
// usage.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "transport/sim/core_scope.h"
#include "transport/sim/simulation.h"

namespace {

std::uint64_t allocations_in_core = 0;
unsigned long long current_seed = 0;
const char* program = "sim_seeds";

constexpr int kBroken = 3;
constexpr int kUsage = 2;

}  // namespace

#if !WEFT_SANITIZED  // a sanitizer's own operator new must stand
// I7: the core allocates nothing once it is made.
void* operator new(std::size_t bytes) {
  if (weft::sim::core_depth != 0) ++allocations_in_core;
  void* at = std::malloc(bytes == 0 ? 1 : bytes);
  if (at == nullptr) std::abort();
  return at;
}
void operator delete(void* at) noexcept {
  std::free(at);
}
void operator delete(void* at, std::size_t) noexcept {
  std::free(at);
}
#endif

namespace {

// A failed assertion of the core is a finding like any other.
void on_abort(int) {
  std::fprintf(stderr, "seed %llu: an assertion failed\n  replay: %s --seed %llu --trace\n", current_seed,
               program, current_seed);
  _exit(kBroken);
}

bool run_seed(std::uint64_t seed, std::FILE* trace, weft::sim::RunResult& total, bool verbose) {
  current_seed = seed;
  allocations_in_core = 0;
  weft::sim::Scenario scenario = weft::sim::draw_scenario(seed);
  weft::sim::RunResult result = weft::sim::run_scenario(scenario, trace);
  if (result.violation.empty() && allocations_in_core != 0)
    result.violation = "I7: the core allocated " + std::to_string(allocations_in_core) + " times";
  total.events += result.events;
  total.messages_completed += result.messages_completed;
  total.requests_failed += result.requests_failed;
  total.bytes_received += result.bytes_received;
  total.bytes_landed_again += result.bytes_landed_again;
  total.path_failures += result.path_failures;
  total.path_revivals += result.path_revivals;
  total.virtual_time += result.virtual_time;
  total.longest_stall = std::max(total.longest_stall, result.longest_stall);
  if (verbose)
    std::printf(
        "seed %llu: %llu requests completed, %llu failed, %.3f s virtual, %llu events, %llu path failures\n",
        current_seed, static_cast<unsigned long long>(result.messages_completed),
        static_cast<unsigned long long>(result.requests_failed),
        static_cast<double>(result.virtual_time.count()) / 1e9,
        static_cast<unsigned long long>(result.events),
        static_cast<unsigned long long>(result.path_failures));
  if (result.violation.empty()) return true;
  std::fprintf(stderr, "seed %llu at %.6f ms: %s\n  replay: %s --seed %llu --trace\n", current_seed,
               static_cast<double>(result.ended.time_since_epoch().count()) / 1e6, result.violation.c_str(),
               program, current_seed);
  return false;
}

int run_range(std::uint64_t first, std::uint64_t count, std::uint64_t step) {
  weft::sim::RunResult total;
  for (std::uint64_t seed = first; seed < first + count; seed += step)
    if (!run_seed(seed, nullptr, total, false)) return kBroken;
  std::printf(
      "%llu requests completed, %llu failed where no path worked, %.1f MB, %llu path failures, %llu "
      "revivals, "
      "%.1f s virtual, %llu events, longest stall %.3f ms\n",
      static_cast<unsigned long long>(total.messages_completed),
      static_cast<unsigned long long>(total.requests_failed), static_cast<double>(total.bytes_received) / 1e6,
      static_cast<unsigned long long>(total.path_failures),
      static_cast<unsigned long long>(total.path_revivals),
      static_cast<double>(total.virtual_time.count()) / 1e9, static_cast<unsigned long long>(total.events),
      static_cast<double>(total.longest_stall.count()) / 1e6);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  program = argv[0];
  std::uint64_t first = 1, count = 2000, jobs = 2, seed = 0;
  bool one = false, trace = false;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    auto value = [&] { return i + 1 < argc ? std::strtoull(argv[++i], nullptr, 0) : 0; };
    if (word == "--first") {
      first = value();
    } else if (word == "--count") {
      count = value();
    } else if (word == "--jobs") {
      jobs = value();
    } else if (word == "--seed") {
      seed = value();
      one = true;
    } else if (word == "--trace") {
      trace = true;
    } else {
      std::fprintf(stderr, "usage: %s [--first N] [--count N] [--jobs N] | --seed N [--trace]\n", program);
      return kUsage;
    }
  }
  std::signal(SIGABRT, on_abort);
  if (one) {
    weft::sim::RunResult total;
    return run_seed(seed, trace ? stdout : nullptr, total, true) ? 0 : kBroken;
  }
  std::vector<pid_t> children;
  for (std::uint64_t job = 0; job + 1 < jobs; ++job) {
    pid_t child = fork();
    if (child == 0) {
      int status = run_range(first + job + 1, count - job - 1, jobs);
      std::fflush(nullptr);
      _exit(status);
    }
    children.push_back(child);
  }
  int status = run_range(first, count, jobs);
  for (pid_t child : children) {
    int child_status = 0;
    waitpid(child, &child_status, 0);
    if (!WIFEXITED(child_status) || WEXITSTATUS(child_status) != 0) status = kBroken;
  }
  return status;
}
