// NCCL's send or receive communicator: a Connection and the requests that are pending on it.
//
// One thread at a time posts and tests (NCCL's progress thread); nothing here is shared with another Comm,
// nothing allocates or locks. The caller owns the buffers until test() reports done. Deleting a Comm drops
// what is pending. Errors of the connection are logged once, then returned by every test().
#pragma once

#include <cstddef>
#include <memory>

#include "plugins/nccl_net/abi/types.h"
#include "plugins/nccl_net/request_pool.h"
#include "weft/connection.h"

namespace weft::nccl_net {

class Comm {
 public:
  // `flushes_receives`: NCCL may leave iflush out, so what has come into device memory is flushed before its
  // receive is reported done.
  Comm(std::unique_ptr<Connection> connection, bool flushes_receives);

  // Any thread.
  Status carries_device_memory() const { return connection_->carries(MemoryKind::kDevice); }

  // Both always write *request: null means "no room now, call again", and is no error.
  nccl::Result isend(const void* data, std::size_t bytes, int tag, MemoryKind memory, void** request);
  // 1 <= count <= kMaxGroupedReceives; all are posted, or none. The n-th send with a tag meets the n-th
  // receive with it, which is what NCCL means by "the slot with that tag in the oldest grouped receive".
  nccl::Result irecv(int count, void* const* data, const std::size_t* capacities, const int* tags,
                     const MemoryKind* kinds, void** request);
  // Of what receives that are done have put into device memory. A request at most, as many as there are for
  // messages.
  nccl::Result iflush(const void* data, void** request);
  // Always writes *done. `sizes` may be null; otherwise it has room for every message of the request. A
  // request that is reported done, with or without an error, must not be tested again.
  static nccl::Result test(Request* request, int* done, int* sizes);

 private:
  bool flush_first(Request* request);
  nccl::Result refuse_device_memory(const char* call) const;
  nccl::Result finish(Request* request, int* sizes);
  nccl::Result report_failure(const Request& request);

  std::unique_ptr<Connection> connection_;
  const bool flushes_receives_;
  RequestPool pool_;
  RequestPool flushes_;
  bool failure_logged_ = false;
};

}  // namespace weft::nccl_net
