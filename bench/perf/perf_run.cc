#include "bench/perf/perf_run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "bench/perf/progress.h"
#include "bench/perf/sizes.h"
#include "bench/version.h"

namespace weft::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Memory with a guard behind its end, to see that nobody writes there.
class GuardedBuffer {
 public:
  static constexpr std::size_t kGuardBytes = 64;

  Status allocate(std::size_t bytes) {
    constexpr std::align_val_t kPage{4096};
    memory_.reset(static_cast<std::byte*>(::operator new(bytes + kGuardBytes, kPage, std::nothrow)));
    if (!memory_) {
      return {StatusCode::kResourceExhausted,
              "no memory for a buffer of " + format_size(bytes) + "; use a smaller -e"};
    }
    std::memset(memory_.get(), 0, bytes);
    return Status::ok();
  }
  std::byte* data() { return memory_.get(); }
  // The guard stands behind the `bytes` that a row uses, not only behind the largest.
  void arm(std::size_t bytes) { std::memset(memory_.get() + bytes, kGuard, kGuardBytes); }
  bool is_intact(std::size_t bytes) const {
    const auto* guard = reinterpret_cast<const unsigned char*>(memory_.get()) + bytes;
    return std::all_of(guard, guard + kGuardBytes, [](unsigned char c) { return c == kGuard; });
  }

 private:
  static constexpr unsigned char kGuard = 0xa7;
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete (memory, std::align_val_t{4096}); }
  };
  std::unique_ptr<std::byte, Free> memory_;
};

class PerfRun {
 public:
  PerfRun(Job& job, Workload& workload, const PerfOptions& options, std::FILE* out, PerfReport& report)
      : job_(job),
        workload_(workload),
        options_(options),
        out_(job.rank() == 0 ? out : nullptr),
        progress_(job.terminal()),
        report_(report) {}

  Status run() {
    if (Status status = allocate(); !status) return status;
    if (Status status = print_head(); !status) return status;
    for (const DataType type : options_.types) {
      for (const ReduceOp op : ops()) {
        if (Status status = run_sizes(type, op); !status) return status;
      }
    }
    if (Status status = workload_.finish(); !status) return status;
    print(table_foot(report_.wrong_elements, report_.average_bus_gb_per_s, options_.command));
    return Status::ok();
  }

 private:
  std::vector<ReduceOp> ops() const {
    return workload_.has_rows_for_each_op() ? options_.ops : std::vector<ReduceOp>{options_.ops.front()};
  }

  void print(const std::string& text) {
    if (out_ == nullptr) return;
    progress_.clear();
    std::fputs(text.c_str(), out_);
    std::fflush(out_);
  }

  // All ranks learn of it if one has too little memory; none is left waiting in a collective.
  Status allocate() {
    const auto bytes = static_cast<std::size_t>(options_.max_bytes);
    Status status = input_.allocate(bytes);
    if (status) status = output_.allocate(bytes);
    if (status) {
      promises_ = {job_.context().promise_memory(input_.data(), bytes),
                   job_.context().promise_memory(output_.data(), bytes)};
    }
    auto texts = job_.gather_text(status.message());
    if (!texts) return texts.status();
    for (std::size_t rank = 0; rank < texts->size(); ++rank) {
      const std::string& text = (*texts)[rank];
      if (!text.empty())
        return {StatusCode::kResourceExhausted, "rank " + std::to_string(rank) + ": " + text};
    }
    return Status::ok();
  }

  Status print_head() {
    auto ranks = gather_rank_infos(job_);
    if (!ranks) return ranks.status();
    print(table_head(options_, version_text(), *ranks));
    return Status::ok();
  }

  Operation operation(std::uint64_t bytes, DataType type, ReduceOp op, bool in_place) {
    Operation operation;
    operation.shape = workload_.shape(static_cast<std::size_t>(bytes), size_of(type), job_.size());
    operation.type = type;
    operation.op = op;
    operation.data = options_.data.get();
    operation.output = output_.data();
    operation.input = in_place ? output_.data() : input_.data();
    return operation;
  }

  Status run_sizes(DataType type, ReduceOp op) {
    Communicator& communicator = job_.communicator();
    if (Status status = communicator.barrier(); !status) return status;
    for (std::uint64_t bytes = options_.min_bytes; bytes <= options_.max_bytes; bytes *= 2) {
      // What was never written is zeros, which compress like nothing else.
      if (options_.data) fill(operation(bytes, type, op, false), 98);
      for (int i = 0; i < options_.warmup_iterations; ++i) {
        progress_.show("warm-up, " + format_size(bytes), i, options_.warmup_iterations);
        if (Status status = workload_.run(communicator, operation(bytes, type, op, false)); !status)
          return status;
      }
      if (bytes == 0) break;
    }
    for (const std::uint64_t bytes : sizes_of(options_)) {
      const Operation example = operation(bytes, type, op, false);
      PerfRow row;
      row.bytes = example.shape.buffer_elements * size_of(type);
      row.elements = example.shape.count;
      row.type = to_string(type);
      row.op = workload_.op_name(op);
      print(row_begin(row.bytes, row.elements, row.type, row.op, -1));
      for (const bool in_place : {false, true}) {
        auto measurement = measure(operation(bytes, type, op, in_place), in_place);
        if (!measurement) return measurement.status();
        (in_place ? row.in_place : row.out_of_place) = *measurement;
        print(row_measurement(*measurement));
      }
      print("\n");
      report_.rows.push_back(std::move(row));
    }
    return Status::ok();
  }

  Result<Measurement> measure(const Operation& operation, bool in_place) {
    Communicator& communicator = job_.communicator();
    // Defined data even if nothing is checked: denormal garbage would be slow to add.
    fill(operation, 99);
    if (Status status = workload_.run(communicator, operation); !status) return status;
    if (Status status = communicator.barrier(); !status) return status;

    const std::string what = std::string(workload_.name()) + ", " + format_size(bytes_of(operation));
    const auto start = Clock::now();
    for (int i = 0; i < options_.iterations; ++i) {
      progress_.show(what, i, options_.iterations);
      if (Status status = workload_.run(communicator, operation); !status) return status;
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count() / options_.iterations;
    auto agreed = average_time(seconds);
    if (!agreed) return agreed.status();

    Measurement measurement;
    measurement.time_us = *agreed * 1e6;
    measurement.algorithm_gb_per_s = static_cast<double>(bytes_of(operation)) / 1e9 / *agreed;
    measurement.bus_gb_per_s = measurement.algorithm_gb_per_s * workload_.bus_factor(job_.size());
    bus_total_ += measurement.bus_gb_per_s;
    ++measurements_;
    report_.average_bus_gb_per_s = bus_total_ / measurements_;

    auto wrong = check(operation);
    if (!wrong) return wrong.status();
    report_.wrong_elements += *wrong;
    const bool shown = options_.checks > 0 && (!in_place || workload_.table_shows_in_place_errors());
    if (shown) measurement.wrong = *wrong;
    return measurement;
  }

  // Runs with fresh data, until one was wrong. All ranks' wrong elements together.
  Result<std::int64_t> check(const Operation& operation) {
    for (int i = 0; i < options_.checks; ++i) {
      const std::uint64_t repetition = ++repetition_;
      fill(operation, repetition);
      if (Status status = workload_.run(job_.communicator(), operation); !status) return status;
      std::int64_t wrong =
          static_cast<std::int64_t>(workload_.count_wrong(operation, repetition, job_.rank(), job_.size()));
      if (!output_.is_intact(bytes_of(operation))) ++wrong;
      auto all = job_.gather(wrong);
      if (!all) return all.status();
      std::int64_t total = 0;
      for (const std::int64_t one : *all) total += one;
      if (total != 0) return total;
    }
    return std::int64_t{0};
  }

  static std::size_t bytes_of(const Operation& operation) {
    return operation.shape.buffer_elements * size_of(operation.type);
  }

  void fill(const Operation& operation, std::uint64_t repetition) {
    std::memset(operation.output, 0, bytes_of(operation));
    output_.arm(bytes_of(operation));
    workload_.fill(operation.input == operation.output ? operation.output : input_.data(), operation,
                   repetition, job_.rank(), job_.size());
  }

  Result<double> average_time(double seconds) {
    auto all = job_.gather(seconds);
    if (!all) return all.status();
    switch (options_.average) {
      case Average::kRankZero:
        return all->front();
      case Average::kLeast:
        return *std::min_element(all->begin(), all->end());
      case Average::kMost:
        return *std::max_element(all->begin(), all->end());
      case Average::kMean:
        break;
    }
    double total = 0;
    for (const double one : *all) total += one;
    return total / static_cast<double>(all->size());
  }

  Job& job_;
  Workload& workload_;
  const PerfOptions& options_;
  std::FILE* out_;
  Progress progress_;
  GuardedBuffer input_, output_;
  std::array<std::unique_ptr<LastingMemory>, 2> promises_;
  PerfReport& report_;
  double bus_total_ = 0;
  int measurements_ = 0;
  std::uint64_t repetition_ = 0;
};

}  // namespace

Status run_perf(Job& job, Workload& workload, const PerfOptions& options, std::FILE* out,
                PerfReport& report) {
  return PerfRun(job, workload, options, out, report).run();
}

Result<std::vector<RankInfo>> gather_rank_infos(Job& job) {
  char host[256] = "?";
  ::gethostname(host, sizeof host - 1);
  std::string devices;
  for (const Device& device : job.context().devices()) {
    if (!devices.empty()) devices += ' ';
    devices += device.name;
  }
  auto texts = job.gather_text(fmt::format("{}\n{}\n{}", ::getpid(), host, devices));
  if (!texts) return texts.status();
  std::vector<RankInfo> ranks;
  for (const std::string& text : *texts) {
    const std::size_t first = text.find('\n');
    const std::size_t second = text.find('\n', first + 1);
    RankInfo info;
    info.rank = static_cast<int>(ranks.size());
    info.pid = std::atoi(text.c_str());
    info.host = text.substr(first + 1, second - first - 1);
    info.devices = text.substr(second + 1);
    ranks.push_back(std::move(info));
  }
  return ranks;
}

}  // namespace weft::bench
