// The requests that NCCL may have in flight on one communicator: one send, or up to eight grouped receives,
// each.
//
// Used by the one thread that posts and tests on the communicator. Nothing is allocated after construction. A
// Request stays at its address as long as the pool lives.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>

#include "plugins/nccl_net/abi/types.h"
#include "plugins/nccl_net/device_properties.h"
#include "weft/connection.h"

namespace weft::nccl_net {

class Comm;
class RequestPool;

struct Request {
  Comm* comm = nullptr;
  RequestPool* pool = nullptr;
  int count = 0;                        // messages that it stands for; 0: not in flight
  int done = 0;                         // leading messages whose completion has been seen
  StatusCode status = StatusCode::kOk;  // of the first message that failed
  std::array<RequestId, kMaxGroupedReceives> ids{};
  std::array<std::size_t, kMaxGroupedReceives> bytes{};
  // Not null: a byte that came into device memory, to be flushed before the request is done.
  const void* flush_at = nullptr;
  RequestId flush = RequestId::kNone;
};

class RequestPool {
 public:
  static constexpr int kCapacity = nccl::kMaxRequests;
  static_assert(
      kCapacity * kMaxGroupedReceives <= kMaxPendingRequests,
      "requests that are tested in the order of their posting never wait for room in the connection");

  explicit RequestPool(Comm* comm) {
    for (int i = 0; i < kCapacity; ++i) {
      requests_[static_cast<std::size_t>(i)].comm = comm;
      requests_[static_cast<std::size_t>(i)].pool = this;
      free_[static_cast<std::size_t>(i)] = &requests_[static_cast<std::size_t>(i)];
    }
  }
  RequestPool(const RequestPool&) = delete;
  RequestPool& operator=(const RequestPool&) = delete;

  // Null when all are in flight: NCCL tests one and posts again.
  Request* take() {
    if (free_count_ == 0) return nullptr;
    Request* request = free_[--free_count_];
    request->done = 0;
    request->status = StatusCode::kOk;
    request->flush_at = nullptr;
    request->flush = RequestId::kNone;
    return request;
  }

  void give_back(Request* request) {
    assert(free_count_ < free_.size());
    request->count = 0;
    free_[free_count_++] = request;
  }

 private:
  std::array<Request, kCapacity> requests_;
  std::array<Request*, kCapacity> free_;
  std::size_t free_count_ = kCapacity;
};

}  // namespace weft::nccl_net
