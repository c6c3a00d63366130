#include "plugins/nccl_net/comm.h"

#include <cassert>
#include <string>
#include <utility>

#include "plugins/nccl_net/log.h"
#include "plugins/nccl_net/result.h"

namespace weft::nccl_net {

Comm::Comm(std::unique_ptr<Connection> connection) : connection_(std::move(connection)), pool_(this) {}

nccl::Result Comm::isend(const void* data, std::size_t bytes, int tag, void** request) {
  *request = nullptr;
  Request* posted = pool_.take();
  if (!posted) return nccl::Result::kSuccess;
  posted->ids[0] = connection_->post_send(data, bytes, static_cast<std::uint32_t>(tag));
  if (posted->ids[0] == RequestId::kNone) {
    pool_.give_back(posted);
    return nccl::Result::kSuccess;
  }
  posted->count = 1;
  *request = posted;
  return nccl::Result::kSuccess;
}

nccl::Result Comm::irecv(int count, void* const* data, const std::size_t* capacities, const int* tags,
                         void** request) {
  *request = nullptr;
  // A posted receive cannot be taken back, so there must be room for all of them. The pool does not see to
  // it: a group that was tested before an older one leaves room that the connection cannot use yet.
  if (!connection_->has_receive_room(static_cast<std::size_t>(count))) return nccl::Result::kSuccess;
  Request* posted = pool_.take();
  if (!posted) return nccl::Result::kSuccess;
  for (int i = 0; i < count; ++i) {
    const RequestId id =
        connection_->post_receive(data[i], capacities[i], static_cast<std::uint32_t>(tags[i]));
    assert(id != RequestId::kNone);
    posted->ids[static_cast<std::size_t>(i)] = id;
    posted->bytes[static_cast<std::size_t>(i)] = capacities[i];
  }
  posted->count = count;
  *request = posted;
  return nccl::Result::kSuccess;
}

nccl::Result Comm::test(Request* request, int* done, int* sizes) {
  *done = 0;
  if (!request || request->count == 0) {
    log_warning("test: this request is not in flight: it was reported done before, or never posted");
    return nccl::Result::kInvalidArgument;
  }
  Comm& comm = *request->comm;
  while (request->done < request->count) {
    const auto i = static_cast<std::size_t>(request->done);
    const Completion completion = comm.connection_->test(request->ids[i]);
    if (!completion.done) return nccl::Result::kSuccess;
    ++request->done;
    request->bytes[i] = completion.bytes;
    if (completion.status != StatusCode::kOk && request->status == StatusCode::kOk) {
      request->status = completion.status;
    }
  }
  *done = 1;
  return comm.finish(request, sizes);
}

nccl::Result Comm::finish(Request* request, int* sizes) {
  if (sizes) {
    for (int i = 0; i < request->count; ++i) {
      sizes[i] = static_cast<int>(request->bytes[static_cast<std::size_t>(i)]);
    }
  }
  const nccl::Result result =
      request->status == StatusCode::kOk ? nccl::Result::kSuccess : report_failure(*request);
  pool_.give_back(request);
  return result;
}

nccl::Result Comm::report_failure(const Request& request) {
  if (request.status == StatusCode::kTruncated) {
    log_warning(
        "a message from or to " + connection_->statistics().peer +
        " was larger than the receive it met; both ranks must call the collective with the same count and "
        "type");
  } else if (!failure_logged_) {
    failure_logged_ = true;
    const Status error = connection_->error();
    log_warning(error ? "a request failed: " + std::string(to_string(request.status)) : error.message());
  }
  return to_result(request.status);
}

}  // namespace weft::nccl_net
