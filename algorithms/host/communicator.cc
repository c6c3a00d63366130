#include "weft/communicator.h"

#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "algorithms/dissemination_barrier.h"
#include "algorithms/host/connect_ranks.h"
#include "algorithms/host/executor.h"
#include "algorithms/host/patience.h"
#include "algorithms/pairwise_alltoall.h"
#include "algorithms/ring_allreduce.h"

namespace weft {
namespace {

using algorithms::Schedule;
using algorithms::host::Executor;
using algorithms::host::Operands;

// One tag for each collective: a rank that calls another one than its peers is not answered with wrong data.
enum class CollectiveTag : std::uint32_t {
  kAllReduce = Communicator::kFirstReservedTag,
  kAllToAll,
  kBarrier,
};

std::vector<Connection*> borrowed(const std::vector<std::unique_ptr<Connection>>& connections) {
  std::vector<Connection*> pointers;
  for (const auto& connection : connections) pointers.push_back(connection.get());
  return pointers;
}

class HostCommunicator final : public Communicator {
 public:
  HostCommunicator(Context& context, int rank, std::vector<std::unique_ptr<Connection>> connections)
      : context_(context),
        rank_(rank),
        size_(static_cast<int>(connections.size())),
        all_reduce_(algorithms::ring_allreduce(rank, size_)),
        all_to_all_(algorithms::pairwise_alltoall(rank, size_)),
        barrier_(algorithms::dissemination_barrier(rank, size_)),
        executor_(std::in_place, borrowed(connections), algorithms::host::ExecutorLimits{}),
        connections_(std::move(connections)) {
    const std::span<const std::byte> staging = executor_->staging_memory();
    staging_promise_ = context_.promise_memory(staging.data(), staging.size());
    for (const Schedule* schedule : {&all_reduce_, &all_to_all_, &barrier_}) executor_->prepare(*schedule);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  Status all_reduce(const void* input, void* output, std::size_t elements, DataType type,
                    ReduceOp op) override {
    return run(all_reduce_, {.input = input, .output = output, .elements = elements, .type = type, .op = op},
               CollectiveTag::kAllReduce);
  }

  Status all_to_all(const void* input, void* output, std::size_t block_bytes) override {
    const std::size_t bytes = block_bytes * static_cast<std::size_t>(size_);
    return run(all_to_all_, {.input = aside(input, output, bytes), .output = output, .elements = bytes},
               CollectiveTag::kAllToAll);
  }

  Status barrier() override {
    std::byte come{};
    std::byte heard{};
    return run(barrier_, {.input = &come, .output = &heard, .elements = 1}, CollectiveTag::kBarrier);
  }

  Status send(int to_rank, const void* data, std::size_t bytes, std::uint32_t tag) override {
    if (Status status = check_peer(to_rank, tag); !status) return status;
    Connection& connection = *connections_[index(to_rank)];
    return finish(to_rank, connection, connection.post_send(data, bytes, tag), nullptr);
  }

  Status receive(int from_rank, void* data, std::size_t capacity, std::size_t* received_bytes,
                 std::uint32_t tag) override {
    if (Status status = check_peer(from_rank, tag); !status) return status;
    Connection& connection = *connections_[index(from_rank)];
    return finish(from_rank, connection, connection.post_receive(data, capacity, tag), received_bytes);
  }

  Status send_receive(int to_rank, const void* input, int from_rank, void* output, std::size_t bytes,
                      std::uint32_t tag) override {
    if (to_rank == rank_ && from_rank == rank_) {
      if (input != output && bytes > 0) std::memcpy(output, input, bytes);
      return failure_;
    }
    if (Status status = check_peer(to_rank, tag); !status) return status;
    if (Status status = check_peer(from_rank, tag); !status) return status;
    // A schedule of its own kind: two actions on one block.
    Schedule& schedule = send_receive_;
    schedule.actions.clear();
    schedule.rank = rank_;
    schedule.add({.kind = algorithms::Action::Kind::kSend, .peer = to_rank});
    schedule.add({.kind = algorithms::Action::Kind::kReceive, .peer = from_rank});
    return run(schedule, {.input = aside(input, output, bytes), .output = output, .elements = bytes}, tag);
  }

  Connection* connection(int peer_rank) override {
    if (peer_rank < 0 || peer_rank >= static_cast<int>(connections_.size())) return nullptr;
    return connections_[index(peer_rank)].get();
  }

  void set_observer(std::function<void(std::uint64_t)> observer) override {
    if (executor_) executor_->set_observer(std::move(observer));
  }

  std::uint64_t last_bytes_sent() const override { return executor_ ? executor_->bytes_sent() : 0; }

 private:
  static std::size_t index(int rank) { return static_cast<std::size_t>(rank); }

  Status check_peer(int peer, std::uint32_t tag) const {
    if (!failure_) return failure_;
    if (peer < 0 || peer >= size_ || peer == rank_) {
      return {StatusCode::kInvalidArgument, "rank " + std::to_string(rank_) + ": peer rank " +
                                                std::to_string(peer) + " is not another rank below " +
                                                std::to_string(size_)};
    }
    if (tag >= kFirstReservedTag) {
      return {StatusCode::kInvalidArgument,
              "tag " + std::to_string(tag) + " is reserved; use one below 2^31"};
    }
    return Status::ok();
  }

  // An input that is also the output would be written over before it is sent: a copy of it.
  const void* aside(const void* input, const void* output, std::size_t bytes) {
    if (input != output || bytes == 0) return input;
    if (aside_.size() < bytes) {
      aside_promise_.reset();
      aside_.resize(bytes);
      aside_promise_ = context_.promise_memory(aside_.data(), bytes);
    }
    std::memcpy(aside_.data(), input, bytes);
    return aside_.data();
  }

  Status run(const Schedule& schedule, const Operands& operands, CollectiveTag tag) {
    return run(schedule, operands, static_cast<std::uint32_t>(tag));
  }

  Status run(const Schedule& schedule, const Operands& operands, std::uint32_t tag) {
    if (!failure_) return failure_;
    Status status = executor_->run(schedule, operands, tag);
    return status ? status : fail(std::move(status));
  }

  Status finish(int peer, Connection& connection, RequestId request, std::size_t* received_bytes) {
    algorithms::host::Patience patience;
    for (;;) {
      const Completion completion = connection.test(request);
      if (completion.done) {
        if (received_bytes != nullptr) *received_bytes = completion.bytes;
        if (completion.status == StatusCode::kOk) {
          connection.progress();  // the acknowledgement that the other end waits for
          return Status::ok();
        }
        return fail({completion.status,
                     "rank " + std::to_string(rank_) + ", peer rank " + std::to_string(peer) + ": " +
                         (completion.status == StatusCode::kTruncated
                              ? std::string("the message is larger than the receive that it met")
                              : connection.error().message())});
      }
      patience.wait();
    }
  }

  // Closes every connection: requests on the other ones may be pending on the caller's buffers, and ranks
  // that wait for this one have to learn that it gave up.
  Status fail(Status status) {
    failure_ = std::move(status);
    connections_.clear();
    staging_promise_.reset();
    executor_.reset();
    return failure_;
  }

  Context& context_;
  int rank_;
  int size_;
  Schedule all_reduce_, all_to_all_, barrier_;
  Schedule send_receive_{.name = "send and receive", .rank = 0, .ranks = 1, .blocks = 1, .actions = {}};
  std::vector<std::byte> aside_;
  std::optional<Executor> executor_;
  std::unique_ptr<LastingMemory> aside_promise_, staging_promise_;
  std::vector<std::unique_ptr<Connection>> connections_;  // last: gone before the memory they may write to
  Status failure_;
};

}  // namespace

Result<std::unique_ptr<Communicator>> Communicator::create(Context& context, Bootstrap& bootstrap) {
  auto connections = algorithms::host::connect_ranks(context, bootstrap);
  if (!connections) return connections.status();
  return std::unique_ptr<Communicator>(
      std::make_unique<HostCommunicator>(context, bootstrap.rank(), std::move(*connections)));
}

}  // namespace weft
