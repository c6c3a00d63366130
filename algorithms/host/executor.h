// Runs a schedule over connections, on host memory.
//
// Blocks are cut into slices. Each slice is one message, and a bounded number of them is in flight in each
// direction: while one is reduced, others travel. Slices between two ranks are posted in the order of the
// schedule on both sides, so that the n-th send meets the n-th receive.
//
// Threads: one at a time. Ownership: the connections and the caller's buffers are borrowed. Nothing is
// allocated by run() for schedules that prepare() has seen. Errors: run() returns the first failure, with the
// rank it concerns; requests may then still be pending, so that the connections must be destroyed before the
// buffers are touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "algorithms/schedule.h"
#include "weft/connection.h"
#include "weft/data_type.h"
#include "weft/status.h"

namespace weft::algorithms::host {

// What a collective works on. `elements` is the size of both buffers; they may be the same one if the
// algorithm says so.
struct Operands {
  const void* input = nullptr;
  void* output = nullptr;
  std::size_t elements = 0;
  DataType type = DataType::kUint8;
  ReduceOp op = ReduceOp::kSum;
};

struct ExecutorLimits {
  // A block is cut into about four slices, no smaller and no larger than this. Both ends must use the same.
  std::size_t min_slice_bytes = 64 * 1024;
  std::size_t max_slice_bytes = 2 * 1024 * 1024;
  // Slices in flight in each direction, over all peers.
  int window = 16;
};

class Executor {
 public:
  // `connections[r]` leads to rank r; null for this rank itself and for ranks that no schedule will name.
  Executor(std::vector<Connection*> connections, ExecutorLimits limits);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Makes room for a schedule, so that running it allocates nothing.
  void prepare(const Schedule& schedule);

  // Runs the schedule to its end: every receive has arrived, every send buffer may be reused. All messages
  // carry `tag`.
  Status run(const Schedule& schedule, const Operands& operands, std::uint32_t tag);

  // Called after each slice that has arrived, with the bytes received so far by the schedule that runs. For
  // drills and progress displays; may call the connections.
  void set_observer(std::function<void(std::uint64_t bytes_received)> observer) {
    observer_ = std::move(observer);
  }

  // Where slices arrive that are still to be added to others.
  std::span<const std::byte> staging_memory() const { return staging_memory_; }

  // Bytes handed to connections by the last run(): what docs/algorithms.md has a formula for.
  std::uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  struct Flight;
  struct Cursor;
  struct Run;

  bool post_next_send(Run& run);
  bool post_next_receive(Run& run);
  bool dependency_finished(const Run& run, const Action& action, std::uint32_t slice) const;
  bool collect(Run& run, std::vector<Flight>& flights);
  void finish_slice(Run& run, const Flight& flight);
  void copy_locally(const Run& run);
  void list_peers(const Schedule& schedule);
  void progress_untested(std::uint64_t since_pass);
  std::byte* staging(int slot);

  std::vector<Connection*> connections_;
  ExecutorLimits limits_;
  std::vector<std::byte> staging_memory_;
  std::vector<int> free_staging_;
  std::vector<Flight> sends_, receives_;
  std::vector<std::uint32_t> slices_finished_;  // by action
  std::vector<int> peers_;                      // that the running schedule names
  // By rank: a connection's oldest request is asked for once a pass.
  std::vector<std::uint64_t> tested_in_pass_;
  std::uint64_t pass_ = 0;
  std::function<void(std::uint64_t)> observer_;
  std::uint64_t bytes_sent_ = 0;
};

}  // namespace weft::algorithms::host
