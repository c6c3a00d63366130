#include "bench/perf/pingpong.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <utility>

#include "algorithms/host/patience.h"
#include "bench/perf/pattern.h"
#include "bench/perf/perf_run.h"
#include "bench/perf/progress.h"
#include "bench/perf/sizes.h"
#include "bench/version.h"

namespace weft::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint32_t kTag = 1;

class Pingpong {
 public:
  Pingpong(Job& job, const PerfOptions& options, std::FILE* out)
      : job_(job),
        options_(options),
        out_(job.rank() == 0 ? out : nullptr),
        progress_(job.terminal()),
        ping_(options.max_bytes) {
    for (auto& buffer : pong_) buffer.resize(options.max_bytes);
  }

  Status run(std::vector<PingpongRow>& rows) {
    connection_ = job_.communicator().connection(1 - job_.rank());
    print(fmt::format("# weft version {}\n# Ping-pong starting: {}\n#\n", version_text(), options_.command));
    print(fmt::format("# {:>10}  {:>10}  {:>41}  {:>9}  {:>6}\n", "", "", "half round trip", "full", ""));
    print(fmt::format("# {:>10}  {:>10}  {:>8}  {:>8}  {:>8}  {:>8}   {:>9}  {:>6}\n", "size", "iters", "min",
                      "median", "mean", "p99", "median", "#wrong"));
    print(fmt::format("# {:>10}  {:>10}  {:>8}  {:>8}  {:>8}  {:>8}   {:>9}\n", "(B)", "", "(us)", "(us)",
                      "(us)", "(us)", "(us)"));
    for (const std::uint64_t bytes : sizes_of(options_)) {
      auto row = measure(static_cast<std::size_t>(bytes));
      if (!row) return row.status();
      if (job_.rank() != 0) continue;
      print(fmt::format("{:12}  {:10}  {:8.2f}  {:8.2f}  {:8.2f}  {:8.2f}   {:9.2f}  {:6}\n", row->bytes,
                        row->iterations, row->least_us / 2, row->median_us / 2, row->mean_us / 2,
                        row->p99_us / 2, row->median_us, row->wrong_bytes));
      rows.push_back(*row);
    }
    return Status::ok();
  }

 private:
  void print(const std::string& text) {
    if (out_ == nullptr) return;
    progress_.clear();
    std::fputs(text.c_str(), out_);
    std::fflush(out_);
  }

  Status wait_for(RequestId request) {
    if (request == RequestId::kNone) return Status::ok();
    Completion completion;
    algorithms::host::Patience patience;
    while (!(completion = connection_->test(request)).done) patience.wait();
    return completion.status == StatusCode::kOk ? Status::ok() : connection_->error();
  }

  // `turns` round trips, with the time of each as rank 0 sees it. As programs that care for latency do, the
  // next receive is posted before the answer goes out, and a send is waited for only when its buffer is
  // needed again: its acknowledgement comes with the answer.
  Status turns(int count, std::size_t bytes, double* times_us) {
    RequestId receive = connection_->post_receive(pong_[0].data(), bytes, kTag);
    RequestId send = RequestId::kNone;
    auto start = Clock::now();
    for (int turn = 0; turn < count; ++turn) {
      std::vector<std::byte>& arriving = pong_[turn % 2];
      if (job_.rank() == 0) {
        if (Status status = wait_for(std::exchange(send, RequestId::kNone)); !status) return status;
        send = connection_->post_send(ping_.data(), bytes, kTag);
      }
      if (Status status = wait_for(receive); !status) return status;
      if (turn + 1 < count) receive = connection_->post_receive(pong_[(turn + 1) % 2].data(), bytes, kTag);
      if (job_.rank() == 1) {
        if (Status status = wait_for(std::exchange(send, RequestId::kNone)); !status) return status;
        send = connection_->post_send(arriving.data(), bytes, kTag);
      }
      if (times_us == nullptr) continue;
      const auto end = Clock::now();
      times_us[turn] = std::chrono::duration<double, std::micro>(end - start).count();
      start = end;
      if (turn % 1024 == 0) progress_.show("pingpong, " + format_size(bytes), turn, count);
    }
    return wait_for(send);
  }

  Result<PingpongRow> measure(std::size_t bytes) {
    const std::uint64_t repetition = ++repetition_;
    fill_bits(ping_.data(), bytes, DataType::kUint8, repetition, 0, 0);
    if (Status status = job_.communicator().barrier(); !status) return status;
    if (options_.warmup_iterations > 0) {
      if (Status status = turns(options_.warmup_iterations, bytes, nullptr); !status) return status;
    }
    std::vector<double> times_us(static_cast<std::size_t>(options_.iterations));
    double* times = job_.rank() == 0 ? times_us.data() : nullptr;
    if (Status status = turns(options_.iterations, bytes, times); !status) return status;
    if (times == nullptr) return PingpongRow{};
    PingpongRow row;
    row.bytes = bytes;
    row.iterations = options_.iterations;
    for (const double time : times_us) row.mean_us += time / static_cast<double>(times_us.size());
    std::sort(times_us.begin(), times_us.end());
    row.least_us = times_us.front();
    row.median_us = times_us[times_us.size() / 2];
    row.p99_us = times_us[(times_us.size() * 99 + 99) / 100 - 1];
    // Rank 1 sends back what it got: what comes home must be what was sent.
    if (options_.checks > 0) {
      row.wrong_bytes = static_cast<std::int64_t>(count_wrong_bits(
          pong_[(options_.iterations + 1) % 2].data(), bytes, DataType::kUint8, repetition, 0, 0));
    }
    return row;
  }

  Job& job_;
  const PerfOptions& options_;
  std::FILE* out_;
  Progress progress_;
  std::vector<std::byte> ping_;
  std::array<std::vector<std::byte>, 2> pong_;
  Connection* connection_ = nullptr;
  std::uint64_t repetition_ = 0;
};

}  // namespace

Status run_pingpong(Job& job, const PerfOptions& options, std::FILE* out, std::vector<PingpongRow>& rows) {
  return Pingpong(job, options, out).run(rows);
}

}  // namespace weft::bench
