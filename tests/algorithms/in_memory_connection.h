// Connections between the threads of one test: what an executor needs to run without a transport. They keep
// the contract of weft/connection.h (matching by tag and order, capacities, truncation) and report
// completions late and in a seeded random pattern. A receive takes the sender's bytes at the moment it is
// reported, as late as a transport may. They allocate nothing after construction, so that a test can count an
// executor's allocations.
#pragma once

#include <cassert>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

#include "weft/connection.h"

namespace weft::testing_support {

class InMemoryConnection;

// What the two ends of a connection share.
struct Wire {
  struct Request {
    RequestId id = RequestId::kNone;
    const void* source = nullptr;
    void* target = nullptr;
    std::size_t bytes = 0;
    std::uint32_t tag = 0;
    bool done = false;
    Completion completion = {};
  };
  // Both in the order in which they were posted, by the end that posted.
  std::vector<Request> sends[2], receives[2];
  bool failed = false;
  std::mutex mutex;

  Wire() {
    for (auto* list : {&sends[0], &sends[1], &receives[0], &receives[1]}) list->reserve(kMaxPendingRequests);
  }
};

class InMemoryConnection final : public Connection {
 public:
  InMemoryConnection(std::shared_ptr<Wire> wire, int end, unsigned seed)
      : wire_(std::move(wire)), end_(end), random_(seed) {}
  ~InMemoryConnection() override {
    const std::lock_guard lock(wire_->mutex);
    wire_->failed = true;
  }

  RequestId post_send(const void* data, std::size_t bytes, std::uint32_t tag, MemoryKind) override {
    return post(wire_->sends[end_], {.source = data, .bytes = bytes, .tag = tag});
  }
  RequestId post_receive(void* data, std::size_t capacity, std::uint32_t tag, MemoryKind) override {
    return post(wire_->receives[end_], {.target = data, .bytes = capacity, .tag = tag});
  }
  bool has_receive_room(std::size_t count) const override {
    const std::lock_guard lock(wire_->mutex);
    return wire_->receives[end_].size() + count <= kMaxPendingRequests;
  }

  Completion test(RequestId request) override {
    if (random_() % 4 != 0) return {};
    const std::lock_guard lock(wire_->mutex);
    match();
    for (auto* list : {&wire_->sends[end_], &wire_->receives[end_]}) {
      for (auto entry = list->begin(); entry != list->end(); ++entry) {
        if (entry->id != request) continue;
        if (!entry->done && !wire_->failed) return {};
        const Completion completion =
            entry->done ? entry->completion : Completion{true, 0, StatusCode::kPeerLost};
        list->erase(entry);
        return completion;
      }
    }
    assert(false && "an unknown request");
    return {};
  }

  void progress() override {}
  Status error() const override { return {StatusCode::kPeerLost, "the in-memory peer is gone"}; }
  ConnectionStatistics statistics() const override { return {}; }
  Status cut_path(int) override { return Status::ok(); }

 private:
  RequestId post(std::vector<Wire::Request>& list, Wire::Request request) {
    const std::lock_guard lock(wire_->mutex);
    if (list.size() == list.capacity()) return RequestId::kNone;
    request.id = RequestId{++last_id_};
    list.push_back(request);
    return request.id;
  }

  // Delivers to this end's receives whatever the other end has posted for them.
  void match() {
    for (Wire::Request& receive : wire_->receives[end_]) {
      if (receive.done) continue;
      for (Wire::Request& send : wire_->sends[1 - end_]) {
        if (send.done || send.tag != receive.tag) continue;
        const bool fits = send.bytes <= receive.bytes;
        if (fits && send.bytes > 0) std::memcpy(receive.target, send.source, send.bytes);
        send.completion = {true, send.bytes, fits ? StatusCode::kOk : StatusCode::kTruncated};
        receive.completion = send.completion;
        send.done = receive.done = true;
        break;
      }
    }
  }

  std::shared_ptr<Wire> wire_;
  int end_;
  std::minstd_rand random_;
  std::uint32_t last_id_ = 0;
};

// connections[rank][peer], null on the diagonal.
inline std::vector<std::vector<std::unique_ptr<Connection>>> connect_in_memory(int ranks) {
  const auto n = static_cast<std::size_t>(ranks);
  std::vector<std::vector<std::unique_ptr<Connection>>> connections(n);
  for (auto& row : connections) row.resize(n);
  for (std::size_t low = 0; low < n; ++low) {
    for (std::size_t high = low + 1; high < n; ++high) {
      auto wire = std::make_shared<Wire>();
      const auto seed = static_cast<unsigned>(low * n + high + 1);
      connections[low][high] = std::make_unique<InMemoryConnection>(wire, 0, seed);
      connections[high][low] = std::make_unique<InMemoryConnection>(wire, 1, seed + 77777);
    }
  }
  return connections;
}

}  // namespace weft::testing_support
