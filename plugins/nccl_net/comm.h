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
  explicit Comm(std::unique_ptr<Connection> connection);

  // Both always write *request: null means "no room now, call again", and is no error.
  nccl::Result isend(const void* data, std::size_t bytes, int tag, void** request);
  // 1 <= count <= kMaxGroupedReceives; all are posted, or none. The n-th send with a tag meets the n-th
  // receive with it, which is what NCCL means by "the slot with that tag in the oldest grouped receive".
  nccl::Result irecv(int count, void* const* data, const std::size_t* capacities, const int* tags,
                     void** request);
  // Always writes *done. `sizes` may be null; otherwise it has room for every message of the request. A
  // request that is reported done, with or without an error, must not be tested again.
  static nccl::Result test(Request* request, int* done, int* sizes);

 private:
  nccl::Result finish(Request* request, int* sizes);
  nccl::Result report_failure(const Request& request);

  std::unique_ptr<Connection> connection_;
  RequestPool pool_;
  bool failure_logged_ = false;
};

}  // namespace weft::nccl_net
