#include "bench/demo/path_cut.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "bench/perf/pattern.h"
#include "bench/perf/sizes.h"

namespace weft::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr DataType kType = DataType::kFloat32;
constexpr ReduceOp kOp = ReduceOp::kSum;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::string megabytes(std::uint64_t bytes) {
  return fmt::format("{:.1f}", static_cast<double>(bytes) / 1e6);
}

class PathCut {
 public:
  PathCut(Job& job, std::uint64_t bytes, std::FILE* out)
      : job_(job),
        out_(job.rank() == 0 ? out : nullptr),
        elements_(static_cast<std::size_t>(bytes) / size_of(kType)),
        input_(static_cast<std::size_t>(bytes)),
        output_(static_cast<std::size_t>(bytes)) {}

  Result<bool> run() {
    const std::string size = format_size(input_.size());
    print("\n# One path from rank 0 to rank 1 is cut while data is on its way\n#\n");
    std::vector<double> undisturbed_ms;
    for (int i = 0; i < 6; ++i) {
      auto time_ms = all_reduce();
      if (!time_ms) return time_ms.status();
      if (i > 0) undisturbed_ms.push_back(*time_ms);  // the first one warms up
    }
    std::sort(undisturbed_ms.begin(), undisturbed_ms.end());
    before_ = statistics();
    print_paths("before", before_);

    prepare_cut();
    auto cut_ms = all_reduce();
    if (!cut_ms) return cut_ms.status();
    print_paths("when its loss was noticed", when_lost_);
    print(fmt::format("#\n# all-reduce of {}, undisturbed       : {:.1f} ms (median of {})\n", size,
                      undisturbed_ms[undisturbed_ms.size() / 2], undisturbed_ms.size()));
    print(fmt::format("# all-reduce of {}, path cut half-way : {:.1f} ms\n", size, *cut_ms));

    auto revived = run_until_revived();
    if (!revived) return revived.status();
    job_.communicator().set_observer({});
    print_paths("at the end", statistics());
    return summary(*revived);
  }

 private:
  static constexpr int kPath = 1;  // not the first, so that nobody thinks that the first is special
  static constexpr double kPatience_ms = 20000;

  void print(const std::string& text) {
    if (out_ == nullptr) return;
    std::fputs(text.c_str(), out_);
    std::fflush(out_);
  }

  // Fresh data, one all-reduce, every element checked. Gives its time at this rank.
  Result<double> all_reduce() {
    const std::uint64_t repetition = ++repetition_;
    fill_operand(input_.data(), elements_, kType, kOp, repetition, job_.rank(), job_.size());
    std::fill(output_.begin(), output_.end(), std::byte{0});
    if (Status status = job_.communicator().barrier(); !status) return status;
    const auto start = Clock::now();
    if (Status status = job_.communicator().all_reduce(input_.data(), output_.data(), elements_, kType, kOp);
        !status) {
      return status;
    }
    const double time_ms = milliseconds_since(start);
    wrong_ += static_cast<std::int64_t>(
        count_wrong_reduced(output_.data(), elements_, kType, kOp, repetition, job_.size()));
    checked_ += static_cast<std::int64_t>(elements_);
    return time_ms;
  }

  // At rank 0: once half of what this all-reduce brings has arrived, the path is broken on the wire. From
  // then on its state is followed as data goes on arriving.
  void prepare_cut() {
    if (job_.rank() != 0) return;
    const auto n = static_cast<std::uint64_t>(job_.size());
    const std::uint64_t half = input_.size() * (n - 1) / n;
    job_.communicator().set_observer([this, half](std::uint64_t received) {
      if (is_cut_) {
        follow();
      } else if (received >= half) {
        is_cut_ = true;
        cut_time_ = Clock::now();
        cut_status_ = job_.communicator().connection(1)->cut_path(kPath);
      }
    });
  }

  void follow() {
    if (back_after_ms_ >= 0) return;
    const ConnectionStatistics now = statistics();
    if (now.paths.size() <= kPath || before_.paths.size() <= kPath) return;
    const PathStatistics& path = now.paths[kPath];
    if (when_lost_.paths.empty() && path.failures > before_.paths[kPath].failures) when_lost_ = now;
    const bool is_back = path.revivals > before_.paths[kPath].revivals && std::string(path.state) == "GOOD";
    if (is_back) back_after_ms_ = milliseconds_since(cut_time_);
  }

  ConnectionStatistics statistics() {
    Connection* connection = job_.communicator().connection(1);
    return connection != nullptr ? connection->statistics() : ConnectionStatistics{};
  }

  // Work goes on while the path is probed. True if it came back in time; rank 0 decides for all.
  Result<bool> run_until_revived() {
    for (;;) {
      if (job_.rank() == 0) follow();
      const bool is_back = back_after_ms_ >= 0;
      // After the return, a few more, so that data flows over it again.
      const bool stop =
          job_.rank() == 0 && (is_back ? ++after_return_ > 3 : milliseconds_since(cut_time_) > kPatience_ms);
      auto word = job_.gather(static_cast<int>(stop));
      if (!word) return word.status();
      if (word->front() != 0) return is_back;
      if (auto time_ms = all_reduce(); !time_ms) return time_ms.status();
    }
  }

  Result<bool> summary(bool revived) {
    auto wrong = job_.gather(wrong_);
    if (!wrong) return wrong.status();
    auto checked = job_.gather(checked_);
    if (!checked) return checked.status();
    std::int64_t all_wrong = 0;
    std::int64_t all_checked = 0;
    for (const std::int64_t one : *wrong) all_wrong += one;
    for (const std::int64_t one : *checked) all_checked += one;

    bool failed_over = false;
    if (job_.rank() == 0) {
      const ConnectionStatistics end = statistics();
      const PathStatistics path = end.paths.size() > kPath ? end.paths[kPath] : PathStatistics{};
      failed_over = !when_lost_.paths.empty() ||
                    (before_.paths.size() > kPath && path.failures > before_.paths[kPath].failures);
      if (!cut_status_) print("# the path could not be cut: " + cut_status_.message() + "\n");
      print(fmt::format("# stall of the transfer                : {:.1f} ms (longest of {})\n",
                        end.longest_stall_ms, end.stalls));
      print(fmt::format("# chunks re-sent over other paths      : {}\n", path.chunks_resent));
      print(revived ? fmt::format("# path back in use                     : {:.0f} ms after the cut\n",
                                  back_after_ms_)
                    : fmt::format("# path back in use                     : not within {:.0f} s\n",
                                  kPatience_ms / 1e3));
      print(fmt::format(
          "# elements checked, on all ranks       : {}\n# wrong elements                       : {} {}\n",
          all_checked, all_wrong, all_wrong == 0 ? "OK" : "FAILED"));
    }
    const bool good = all_wrong == 0 && (job_.rank() != 0 || (failed_over && revived && bool{cut_status_}));
    auto verdict = job_.gather(static_cast<int>(good));
    if (!verdict) return verdict.status();
    return std::all_of(verdict->begin(), verdict->end(), [](int one) { return one != 0; });
  }

  void print_paths(const std::string& when, const ConnectionStatistics& now) {
    if (job_.rank() != 0) return;
    print(fmt::format("#\n# paths from rank 0 to rank 1, {}\n", when));
    print(fmt::format("#  {:>4}  {:>5}  {:<8}  {:<21}  {:<21}  {:<11}  {:>9}  {:>9}  {:>8}  {:>8}\n", "path",
                      "plane", "device", "from", "to", "state", "sent (MB)", "got (MB)", "failures",
                      "revivals"));
    for (std::size_t i = 0; i < now.paths.size(); ++i) {
      const PathStatistics& path = now.paths[i];
      print(fmt::format("   {:>4}  {:>5}  {:<8}  {:<21}  {:<21}  {:<11}  {:>9}  {:>9}  {:>8}  {:>8}{}\n", i,
                        path.plane, path.local_device, path.local_address, path.peer_address, path.state,
                        megabytes(path.bytes_sent), megabytes(path.bytes_received), path.failures,
                        path.revivals, is_cut_ && i == kPath ? "  <- the one that was cut" : ""));
    }
  }

  Job& job_;
  std::FILE* out_;
  std::size_t elements_;
  std::vector<std::byte> input_, output_;
  std::uint64_t repetition_ = 0;
  std::int64_t wrong_ = 0, checked_ = 0;
  ConnectionStatistics before_, when_lost_;
  bool is_cut_ = false;
  Status cut_status_;
  Clock::time_point cut_time_;
  double back_after_ms_ = -1;
  int after_return_ = 0;  // all-reduces with the path back
};

}  // namespace

Result<bool> demonstrate_path_cut(Job& job, std::uint64_t bytes, std::FILE* out) {
  return PathCut(job, bytes, out).run();
}

}  // namespace weft::bench
