#include "plugins/nccl_net/comm.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

#include "plugins/nccl_net/log.h"
#include "plugins/nccl_net/result.h"

namespace weft::nccl_net {

Comm::Comm(std::unique_ptr<Connection> connection, bool flushes_receives)
    : connection_(std::move(connection)), flushes_receives_(flushes_receives), pool_(this), flushes_(this) {}

// It was registered all the same, or for another communicator.
nccl::Result Comm::refuse_device_memory(const char* call) const {
  const Status carries = carries_device_memory();
  log_warning(std::string(call) + ": " + carries.message());
  return to_result(StatusCode::kInvalidArgument);
}

nccl::Result Comm::isend(const void* data, std::size_t bytes, int tag, MemoryKind memory, void** request) {
  *request = nullptr;
  Request* posted = pool_.take();
  if (!posted) return nccl::Result::kSuccess;
  posted->ids[0] = connection_->post_send(data, bytes, static_cast<std::uint32_t>(tag), memory);
  if (posted->ids[0] <= RequestId::kRefused) {
    const bool refused = posted->ids[0] == RequestId::kRefused;
    pool_.give_back(posted);
    return refused ? refuse_device_memory("isend") : nccl::Result::kSuccess;
  }
  posted->count = 1;
  *request = posted;
  return nccl::Result::kSuccess;
}

nccl::Result Comm::irecv(int count, void* const* data, const std::size_t* capacities, const int* tags,
                         const MemoryKind* kinds, void** request) {
  *request = nullptr;
  const bool any_device = std::find(kinds, kinds + count, MemoryKind::kDevice) != kinds + count;
  if (any_device && !carries_device_memory()) return refuse_device_memory("irecv");
  // A posted receive cannot be taken back, so there must be room for all of them. The pool does not see to
  // it: a group that was tested before an older one leaves room that the connection cannot use yet.
  if (!connection_->has_receive_room(static_cast<std::size_t>(count))) return nccl::Result::kSuccess;
  Request* posted = pool_.take();
  if (!posted) return nccl::Result::kSuccess;
  for (int i = 0; i < count; ++i) {
    const RequestId id =
        connection_->post_receive(data[i], capacities[i], static_cast<std::uint32_t>(tags[i]), kinds[i]);
    assert(id > RequestId::kRefused);
    posted->ids[static_cast<std::size_t>(i)] = id;
    posted->bytes[static_cast<std::size_t>(i)] = capacities[i];
  }
  posted->count = count;
  for (int i = 0; i < count && flushes_receives_; ++i)
    if (kinds[i] == MemoryKind::kDevice && capacities[i] != 0) posted->flush_at = data[i];
  *request = posted;
  return nccl::Result::kSuccess;
}

nccl::Result Comm::iflush(const void* data, void** request) {
  *request = nullptr;
  Request* posted = flushes_.take();
  if (!posted) {
    // Null would say that there is nothing to wait for.
    log_warning("iflush: " + std::to_string(RequestPool::kCapacity) +
                " flushes are pending, which is the limit");
    return nccl::Result::kInternalError;
  }
  posted->ids[0] = connection_->post_flush(data);
  if (posted->ids[0] == RequestId::kRefused) {
    flushes_.give_back(posted);
    return refuse_device_memory("iflush");
  }
  posted->count = 1;
  *request = posted;
  return nccl::Result::kSuccess;
}

// Whether there is still a flush to wait for, after all messages of the request are done.
bool Comm::flush_first(Request* request) {
  if (request->flush_at == nullptr) return false;
  if (request->flush == RequestId::kNone) request->flush = connection_->post_flush(request->flush_at);
  const Completion flushed = connection_->test(request->flush);
  if (flushed.done && flushed.status != StatusCode::kOk && request->status == StatusCode::kOk)
    request->status = flushed.status;
  return !flushed.done;
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
  if (comm.flush_first(request)) return nccl::Result::kSuccess;
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
  request->pool->give_back(request);
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
