#include "algorithms/host/executor.h"

#include <cassert>
#include <cstring>
#include <string>
#include <utility>

#include "algorithms/host/patience.h"
#include "algorithms/host/reduce.h"

namespace weft::algorithms::host {
namespace {

constexpr int kNoStaging = -1;

bool is_receive(Action::Kind kind) {
  return kind == Action::Kind::kReceive || kind == Action::Kind::kReceiveReduce;
}

// Every rank computes the same slices from the size of a block alone.
struct Slicing {
  std::size_t slice_bytes = 0;
  std::uint32_t slices = 0;

  Slicing(std::size_t block_bytes, const ExecutorLimits& limits) {
    constexpr std::size_t kAlignment = 64;
    const std::size_t quarter = (block_bytes / 4 + kAlignment - 1) / kAlignment * kAlignment;
    slice_bytes = std::clamp(quarter, limits.min_slice_bytes, limits.max_slice_bytes);
    slices = static_cast<std::uint32_t>((block_bytes + slice_bytes - 1) / slice_bytes);
  }
};

}  // namespace

// A slice that was posted and is not yet reported done.
struct Executor::Flight {
  RequestId request = RequestId::kNone;
  int action = 0;
  std::uint32_t slice = 0;
  std::size_t offset = 0;  // from the beginning of the buffers
  std::size_t bytes = 0;
  int staging_slot = kNoStaging;
};

// The next slice to post in one direction.
struct Executor::Cursor {
  std::size_t action = 0;
  std::uint32_t slice = 0;
};

struct Executor::Run {
  const Schedule& schedule;
  const Operands& operands;
  std::uint32_t tag;
  std::size_t element_bytes;
  ReduceFunction reduce;
  DivideFunction divide;
  Cursor send, receive;
  std::uint64_t bytes_received = 0;
  Status status = Status::ok();

  Range bytes_of(const Action& action) const {
    const Range range = block_range(operands.elements, schedule.blocks, action.block);
    return {range.first * element_bytes, range.count * element_bytes};
  }
  void fail(int peer, StatusCode code, const std::string& what) {
    status = Status(code, std::string(schedule.name) + ": rank " + std::to_string(schedule.rank) +
                              ", peer rank " + std::to_string(peer) + ": " + what);
  }
};

Executor::Executor(std::vector<Connection*> connections, ExecutorLimits limits)
    : connections_(std::move(connections)),
      limits_(limits),
      staging_memory_(limits.max_slice_bytes * static_cast<std::size_t>(limits.window)),
      tested_in_pass_(connections_.size(), 0) {
  assert(limits.window > 0 && limits.window <= kMaxPendingRequests);
  const auto window = static_cast<std::size_t>(limits.window);
  sends_.reserve(window);
  receives_.reserve(window);
  peers_.reserve(connections_.size());
  for (int slot = limits.window - 1; slot >= 0; --slot) free_staging_.push_back(slot);
}

Executor::~Executor() = default;

void Executor::prepare(const Schedule& schedule) {
  if (slices_finished_.size() < schedule.actions.size()) slices_finished_.resize(schedule.actions.size());
}

std::byte* Executor::staging(int slot) {
  return staging_memory_.data() + static_cast<std::size_t>(slot) * limits_.max_slice_bytes;
}

bool Executor::dependency_finished(const Run& run, const Action& action, std::uint32_t slice) const {
  if (action.after == Action::kNothing) return true;
  // An empty block has no slices, and then this action has none either: they are on the same block.
  assert(run.schedule.actions[static_cast<std::size_t>(action.after)].block == action.block);
  return slices_finished_[static_cast<std::size_t>(action.after)] > slice;
}

// Posts the next slice to send if it can go now.
bool Executor::post_next_send(Run& run) {
  const auto& actions = run.schedule.actions;
  Cursor& cursor = run.send;
  while (cursor.action < actions.size() && sends_.size() < sends_.capacity()) {
    const Action& action = actions[cursor.action];
    const Range block = run.bytes_of(action);
    const Slicing slicing(block.count, limits_);
    if (action.kind != Action::Kind::kSend || cursor.slice == slicing.slices) {
      cursor = {cursor.action + 1, 0};
      continue;
    }
    if (!dependency_finished(run, action, cursor.slice)) return false;
    Flight flight{.action = static_cast<int>(cursor.action), .slice = cursor.slice};
    flight.offset = block.first + cursor.slice * slicing.slice_bytes;
    flight.bytes = std::min(slicing.slice_bytes, block.first + block.count - flight.offset);
    const void* source = action.buffer == Buffer::kInput ? run.operands.input : run.operands.output;
    Connection& connection = *connections_[static_cast<std::size_t>(action.peer)];
    flight.request =
        connection.post_send(static_cast<const std::byte*>(source) + flight.offset, flight.bytes, run.tag);
    if (flight.request == RequestId::kNone) return false;
    bytes_sent_ += flight.bytes;
    sends_.push_back(flight);
    ++cursor.slice;
    return true;
  }
  return false;
}

// Posts the next receive. What is reduced lands in a staging slot, everything else in its final place.
bool Executor::post_next_receive(Run& run) {
  const auto& actions = run.schedule.actions;
  Cursor& cursor = run.receive;
  while (cursor.action < actions.size() && receives_.size() < receives_.capacity()) {
    const Action& action = actions[cursor.action];
    const Range block = run.bytes_of(action);
    const Slicing slicing(block.count, limits_);
    if (!is_receive(action.kind) || cursor.slice == slicing.slices) {
      cursor = {cursor.action + 1, 0};
      continue;
    }
    if (!dependency_finished(run, action, cursor.slice)) return false;
    Flight flight{.action = static_cast<int>(cursor.action), .slice = cursor.slice};
    flight.offset = block.first + cursor.slice * slicing.slice_bytes;
    flight.bytes = std::min(slicing.slice_bytes, block.first + block.count - flight.offset);
    std::byte* target = static_cast<std::byte*>(run.operands.output) + flight.offset;
    if (action.kind == Action::Kind::kReceiveReduce) {
      if (free_staging_.empty()) return false;
      flight.staging_slot = free_staging_.back();
      target = staging(flight.staging_slot);
    }
    Connection& connection = *connections_[static_cast<std::size_t>(action.peer)];
    flight.request = connection.post_receive(target, flight.bytes, run.tag);
    if (flight.request == RequestId::kNone) return false;
    if (flight.staging_slot != kNoStaging) free_staging_.pop_back();
    receives_.push_back(flight);
    ++cursor.slice;
    return true;
  }
  return false;
}

void Executor::finish_slice(Run& run, const Flight& flight) {
  const Action& action = run.schedule.actions[static_cast<std::size_t>(flight.action)];
  if (action.kind == Action::Kind::kReceiveReduce) {
    const std::size_t count = flight.bytes / run.element_bytes;
    std::byte* output = static_cast<std::byte*>(run.operands.output) + flight.offset;
    run.reduce(output, static_cast<const std::byte*>(run.operands.input) + flight.offset,
               staging(flight.staging_slot), count);
    if (action.last_reduction && run.operands.op == ReduceOp::kAvg)
      run.divide(output, count, run.schedule.ranks);
    free_staging_.push_back(flight.staging_slot);
  }
  ++slices_finished_[static_cast<std::size_t>(flight.action)];
  if (is_receive(action.kind)) {
    run.bytes_received += flight.bytes;
    if (observer_) observer_(run.bytes_received);
  }
}

// Asks every connection for its oldest pending slice of one direction; again if that one was done. Returns
// whether anything was.
bool Executor::collect(Run& run, std::vector<Flight>& flights) {
  ++pass_;
  bool any = false;
  for (std::size_t i = 0; i < flights.size();) {
    const Flight flight = flights[i];
    const int peer = run.schedule.actions[static_cast<std::size_t>(flight.action)].peer;
    const auto lane = static_cast<std::size_t>(peer);
    if (tested_in_pass_[lane] == pass_) {
      ++i;
      continue;
    }
    const Completion completion = connections_[lane]->test(flight.request);
    if (!completion.done) {
      tested_in_pass_[lane] = pass_;
      ++i;
      continue;
    }
    flights.erase(flights.begin() + static_cast<std::ptrdiff_t>(i));
    any = true;
    if (completion.status != StatusCode::kOk) {
      const Status error = connections_[lane]->error();
      run.fail(peer, completion.status,
               completion.status == StatusCode::kTruncated
                   ? "a message was larger than expected; all ranks must call the same collective with the "
                     "same sizes"
                   : error.message());
      return true;
    }
    if (completion.bytes != flight.bytes) {
      run.fail(peer, StatusCode::kProtocolError,
               "expected a message of " + std::to_string(flight.bytes) + " bytes, got " +
                   std::to_string(completion.bytes) +
                   "; all ranks must call the same collective with the same sizes");
      return true;
    }
    finish_slice(run, flight);
  }
  return any;
}

void Executor::copy_locally(const Run& run) {
  if (run.operands.input == run.operands.output) return;
  for (const Action& action : run.schedule.actions) {
    if (action.kind != Action::Kind::kCopy) continue;
    const Range block = run.bytes_of(action);
    if (block.count == 0) continue;
    std::memcpy(static_cast<std::byte*>(run.operands.output) + block.first,
                static_cast<const std::byte*>(run.operands.input) + block.first, block.count);
  }
}

// Peers wait for acknowledgements too, also of what has been received completely: connections that nothing is
// asked of must move on, or they do so only with the next tick of housekeeping.
void Executor::progress_untested(std::uint64_t since_pass) {
  for (const int peer : peers_) {
    const auto lane = static_cast<std::size_t>(peer);
    if (tested_in_pass_[lane] < since_pass) connections_[lane]->progress();
  }
}

void Executor::list_peers(const Schedule& schedule) {
  peers_.clear();
  ++pass_;
  for (const Action& action : schedule.actions) {
    if (action.kind == Action::Kind::kCopy) continue;
    std::uint64_t& mark = tested_in_pass_[static_cast<std::size_t>(action.peer)];
    if (mark != pass_) peers_.push_back(action.peer);
    mark = pass_;
  }
}

Status Executor::run(const Schedule& schedule, const Operands& operands, std::uint32_t tag) {
  prepare(schedule);
  list_peers(schedule);
  std::fill(slices_finished_.begin(), slices_finished_.end(), 0u);
  bytes_sent_ = 0;
  Run run{.schedule = schedule,
          .operands = operands,
          .tag = tag,
          .element_bytes = size_of(operands.type),
          .reduce = reduce_function(operands.type, operands.op),
          .divide = divide_function(operands.type),
          .send = {},
          .receive = {}};

  bool copied = false;
  Patience patience;
  for (;;) {
    bool news = false;
    while (post_next_receive(run)) news = true;
    while (post_next_send(run)) news = true;
    if (!copied) {
      copy_locally(run);
      copied = true;
    }
    const bool all_posted =
        run.send.action == schedule.actions.size() && run.receive.action == schedule.actions.size();
    if (all_posted && sends_.empty() && receives_.empty()) {
      progress_untested(pass_ + 1);
      return Status::ok();
    }
    const std::uint64_t first_pass = pass_ + 1;
    news |= collect(run, receives_);
    if (run.status) news |= collect(run, sends_);
    if (run.status) progress_untested(first_pass);
    if (!run.status) {
      sends_.clear();
      receives_.clear();
      return run.status;
    }
    if (news) {
      patience.reset();
    } else {
      patience.wait();
    }
  }
}

}  // namespace weft::algorithms::host
