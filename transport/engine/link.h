// All paths between two processes that one connection uses: an endpoint, a backend, and the lock under which
// the caller's thread and the housekeeping thread take turns.
//
// A TCP link carries one connection. Sharing its byte streams between connections would make threads that
// know nothing of each other share a lock on the data path, and let a receive that one thread is slow to post
// stall the stream for all (docs/transport.md).
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "transport/engine/backend.h"
#include "transport/engine/log.h"
#include "transport/multipath/endpoint.h"
#include "weft/connection.h"

namespace weft::engine {

multipath::TimePoint steady_now();

class Link {
 public:
  Link(const multipath::EndpointConfig& config, std::unique_ptr<Backend> backend,
       std::shared_ptr<const Log> log);

  RequestId post_send(const void* data, std::size_t bytes, std::uint32_t tag,
                      MemoryKind memory = MemoryKind::kHost);
  RequestId post_receive(void* data, std::size_t capacity, std::uint32_t tag,
                         MemoryKind memory = MemoryKind::kHost);
  RequestId post_flush(const void* data);
  // Whether device memory can be posted; else why not, naming the peer.
  Status takes_device_memory() const;
  bool has_receive_room(std::size_t count) const;
  Completion test(RequestId request);
  void progress();
  Status error() const;
  ConnectionStatistics statistics() const;
  Status cut_path(int path);

  // One turn of the housekeeping thread. Leaves at once when the caller's thread is at work, which then does
  // the same itself.
  void housekeep();

  // The caller is done with the connection. What is pending is cancelled, its buffers are no longer touched
  // when this returns, and the peer is told by later housekeep() calls until finished().
  void begin_close();
  bool finished() const;

  // For the backend's set-up code: runs with the lock held.
  template <typename Function>
  auto with_endpoint(Function&& function) {
    std::lock_guard lock(mutex_);
    auto result = function(endpoint_, *backend_, steady_now());
    drive(steady_now());
    return result;
  }

 private:
  static constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};
  // Transmits and acts until there is nothing left, or so much payload has been sent. Returns what is left of
  // `bytes`.
  std::uint64_t drive(multipath::TimePoint now, std::uint64_t bytes = kNoLimit);
  void act(const multipath::Action& action, multipath::TimePoint now);
  bool may_post(MemoryKind memory) const {
    return memory == MemoryKind::kHost || backend_->takes_device_memory();
  }
  Completion flush_completion(RequestId request) const;
  void progress_locked(multipath::TimePoint now);
  void tick_locked(multipath::TimePoint now, std::uint64_t bytes);
  std::string describe_path(multipath::PathId path) const;
  Status failure() const;

  mutable std::mutex mutex_;
  multipath::Endpoint endpoint_;
  std::unique_ptr<Backend> backend_;
  std::shared_ptr<const Log> log_;
  const bool connects_;
  multipath::Duration peer_timeout_;
  multipath::TimePoint last_poll_{};
  multipath::TimePoint last_activity_{};
  std::atomic<multipath::TimePoint> last_tick_{};  // read by the housekeeping thread without the lock
  multipath::TimePoint close_deadline_{};
  bool closing_ = false;
  std::uint32_t last_flush_ = 0;  // 30 bits
  Status error_;
};

}  // namespace weft::engine
