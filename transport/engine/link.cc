#include "transport/engine/link.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace weft::engine {

using multipath::Action;
using multipath::ActionKind;
using multipath::Duration;
using multipath::PathId;
using multipath::TimePoint;

namespace {

constexpr Duration kTick = std::chrono::milliseconds(1);
constexpr Duration kLinger = std::chrono::seconds(1);

// Polling costs a system call. Right after traffic every call polls, for the sake of latency; later only so
// often that an idle test() costs well under 200 ns on average and news waits a microsecond or two.
constexpr Duration kEagerPolling = std::chrono::microseconds(50);
constexpr Duration kIdlePollInterval = std::chrono::microseconds(2);
constexpr std::uint64_t kPromptFeedbackBytes = 16 * 1024;
// A caller's turn sends no more than this before it reads again, as much as a backend reads before it sends:
// what is sent and not yet read at the other end, which does the same, should stay in the processors' caches.
constexpr std::uint64_t kTurnBytes = 1024 * 1024;
// Flushes are named by their numbers, from 2 on: 0 and 1 mean something else (weft/connection.h).
constexpr std::uint32_t kFlushNumberMask = (1u << 30) - 1;
constexpr std::uint32_t kFirstFlush = 2;

double milliseconds(Duration duration) {
  return static_cast<double>(duration.count()) / 1e6;
}

}  // namespace

TimePoint steady_now() {
  return TimePoint(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

Link::Link(const multipath::EndpointConfig& config, std::unique_ptr<Backend> backend,
           std::shared_ptr<const Log> log)
    : endpoint_(config),
      backend_(std::move(backend)),
      log_(std::move(log)),
      connects_(config.connects),
      peer_timeout_(config.peer_timeout) {}

RequestId Link::post_send(const void* data, std::size_t bytes, std::uint32_t tag, MemoryKind memory) {
  std::lock_guard lock(mutex_);
  if (!may_post(memory)) return RequestId::kRefused;
  TimePoint now = steady_now();
  RequestId request = endpoint_.post_send(now, static_cast<const std::byte*>(data), bytes, tag, memory);
  drive(now, kTurnBytes);
  return request;
}

// Its clear-to-send goes out with the next frame or the next test(): a send that is posted right behind takes
// it along.
RequestId Link::post_receive(void* data, std::size_t capacity, std::uint32_t tag, MemoryKind memory) {
  std::lock_guard lock(mutex_);
  if (!may_post(memory)) return RequestId::kRefused;
  return endpoint_.post_receive(static_cast<std::byte*>(data), capacity, tag, memory);
}

RequestId Link::post_flush(const void* data) {
  std::lock_guard lock(mutex_);
  if (!may_post(MemoryKind::kDevice)) return RequestId::kRefused;
  last_flush_ = (last_flush_ + 1) & kFlushNumberMask;
  if (last_flush_ < kFirstFlush) last_flush_ = kFirstFlush;
  backend_->begin_flush(last_flush_, static_cast<const std::byte*>(data), endpoint_);
  if (endpoint_.has_action()) drive(steady_now());
  return static_cast<RequestId>(last_flush_);
}

// It asks nothing of the peer: what came before a connection failed, or was closed, can be flushed after it.
Completion Link::flush_completion(RequestId request) const {
  if (request <= RequestId::kRefused) return {true, 0, StatusCode::kInvalidArgument};
  const FlushState state = backend_->flush_state(static_cast<std::uint32_t>(request));
  return {state != FlushState::kPending, 0,
          state == FlushState::kFailed ? StatusCode::kInternal : StatusCode::kOk};
}

Status Link::takes_device_memory() const {
  std::lock_guard lock(mutex_);
  Status takes = backend_->takes_device_memory();
  if (takes) return takes;
  return Status(takes.code(), fmt::format("the connection to peer {} cannot carry memory of a GPU: {}",
                                          backend_->peer_name(), takes.message()));
}

bool Link::has_receive_room(std::size_t count) const {
  std::lock_guard lock(mutex_);
  return endpoint_.has_receive_room(count);
}

Completion Link::test(RequestId request) {
  std::lock_guard lock(mutex_);
  if (!multipath::is_message(request)) [[unlikely]] {
    Completion flushed = flush_completion(request);
    if (flushed.done) return flushed;
    progress_locked(steady_now());
    return flush_completion(request);
  }
  Completion completion = endpoint_.take_completion(request);
  if (!completion.done) {
    TimePoint now = steady_now();
    progress_locked(now);
    completion = endpoint_.take_completion(request);
  }
  if (completion.done && completion.status != StatusCode::kInvalidArgument) {
    backend_->request_done(multipath::slot_of(request));
  }
  // The caller may not come back for a while: the peer should not wait for the next tick to learn what has
  // arrived. Where it is little, an answer is likely, and a system call more would delay that.
  if (completion.done && !endpoint_.has_pending_requests() &&
      endpoint_.unacknowledged_bytes() >= kPromptFeedbackBytes) {
    endpoint_.flush_feedback();
    drive(steady_now(), kTurnBytes);
  }
  return completion;
}

void Link::progress() {
  std::lock_guard lock(mutex_);
  progress_locked(steady_now());
}

void Link::progress_locked(TimePoint now) {
  std::uint64_t left = kTurnBytes;
  if (endpoint_.wants_to_transmit()) left = drive(now, left);
  if (now - last_activity_ > kEagerPolling && now - last_poll_ < kIdlePollInterval) return;
  last_poll_ = now;
  if (backend_->receive(endpoint_, now)) {
    last_activity_ = now;
  } else {
    endpoint_.flush_feedback();
  }
  if (now - last_tick_.load(std::memory_order_relaxed) >= kTick) {
    tick_locked(now, left);
  } else if (endpoint_.wants_to_transmit() || endpoint_.has_action()) {
    drive(now, left);
  }
}

void Link::tick_locked(TimePoint now, std::uint64_t bytes) {
  last_tick_.store(now, std::memory_order_relaxed);
  backend_->tick(endpoint_, now);
  endpoint_.tick(now);
  drive(now, bytes);
}

void Link::housekeep() {
  TimePoint now = steady_now();
  if (now - last_tick_.load(std::memory_order_relaxed) < 2 * kTick) return;  // the caller's thread is at work
  std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return;
  if (backend_->receive(endpoint_, now)) last_activity_ = now;
  tick_locked(now, kNoLimit);
}

std::uint64_t Link::drive(TimePoint now, std::uint64_t bytes) {
  multipath::Transmission transmission;
  Action action;
  bool more = true;
  while (more) {
    bool sent = false;
    while (bytes != 0 && endpoint_.poll_transmit(now, transmission)) {
      backend_->send(transmission, endpoint_, now);
      bytes -= std::min<std::uint64_t>(bytes, transmission.header.length);
      sent = true;
    }
    if (sent) backend_->flush(endpoint_, now);
    more = false;
    while (endpoint_.poll_action(action)) {
      act(action, now);
      more = true;
    }
  }
  return bytes;
}

void Link::act(const Action& action, TimePoint now) {
  switch (action.kind) {
    case ActionKind::kFence:
      backend_->fence(action.path);
      endpoint_.path_fenced(action.path, now);
      return;
    case ActionKind::kReconnect:
      backend_->reconnect(action.path, action.incarnation, now);
      return;
    case ActionKind::kLost:
      if (!closing_ && log_->wants(LogLevel::kInfo)) {
        (*log_)(LogLevel::kInfo, fmt::format("{} is out of use: {}; its data goes over the other paths",
                                             describe_path(action.path), to_string(action.reason)));
      }
      return;
    case ActionKind::kNotRevived:
      if (!closing_ && log_->wants(LogLevel::kDebug)) {
        (*log_)(LogLevel::kDebug, fmt::format("{} was connected anew and failed before it was in use: {}",
                                              describe_path(action.path), to_string(action.reason)));
      }
      return;
    case ActionKind::kRevived:
      if (log_->wants(LogLevel::kInfo)) {
        (*log_)(LogLevel::kInfo, fmt::format("{} is back in use", describe_path(action.path)));
      }
      return;
    case ActionKind::kFailed:
      error_ = failure();
      backend_->abandon_buffers(endpoint_, now);
      (*log_)(LogLevel::kWarn, error_.message());
      return;
    case ActionKind::kPeerClosed:
      // The requests have failed, so their buffers are the caller's again; a queue may still refer to them.
      backend_->abandon_buffers(endpoint_, now);
      error_ =
          Status(StatusCode::kPeerLost,
                 fmt::format("peer {} closed the connection; if this process still waits for it, look at the "
                             "peer's log for why it left",
                             backend_->peer_name()));
      if (log_->wants(LogLevel::kDebug)) (*log_)(LogLevel::kDebug, error_.message());
      return;
  }
}

std::string Link::describe_path(PathId path) const {
  PathStatistics where;
  backend_->describe(path, where);
  return fmt::format("path {} (plane {}) on device {}, {} -> peer {}", multipath::index(path),
                     multipath::index(endpoint_.paths()[multipath::index(path)].plane), where.local_device,
                     where.local_address, where.peer_address);
}

Status Link::failure() const {
  if (std::string why = backend_->failure(); !why.empty()) {
    return Status(StatusCode::kInternal,
                  fmt::format("the connection to peer {} is given up: {}", backend_->peer_name(), why));
  }
  if (endpoint_.peer_is_mute()) {
    return Status(
        StatusCode::kPeerLost,
        fmt::format(
            "peer {} is lost: its host acknowledges what is sent, but its process has said nothing for "
            "{:.0f} ms ({} x WEFT_TIMEOUT_MS); {}. Is the process stopped, or has it died and left behind "
            "another that holds its connections?",
            backend_->peer_name(), multipath::kStoppedPeerPatience * milliseconds(peer_timeout_),
            multipath::kStoppedPeerPatience, describe_path(static_cast<PathId>(0))));
  }
  std::string message =
      fmt::format("peer {} is lost: none of {} paths worked for {:.0f} ms (WEFT_TIMEOUT_MS).",
                  backend_->peer_name(), endpoint_.paths().size(), milliseconds(peer_timeout_));
  for (std::size_t i = 0; i < endpoint_.paths().size(); ++i) {
    const multipath::Path& path = endpoint_.paths()[i];
    message += fmt::format(" [{}: {}]", describe_path(static_cast<PathId>(i)),
                           path.connected       ? "connected but silent"
                           : path.failures != 0 ? to_string(path.last_loss)
                           : connects_          ? "it never connected"
                                                : "the peer never dialled it, or did not get through");
  }
  message += " Is the peer's process alive, and are these links up?";
  return Status(StatusCode::kPeerLost, message);
}

Status Link::error() const {
  std::lock_guard lock(mutex_);
  return error_;
}

ConnectionStatistics Link::statistics() const {
  std::lock_guard lock(mutex_);
  ConnectionStatistics statistics;
  statistics.peer = backend_->peer_name();
  statistics.messages_sent = endpoint_.messages_sent();
  statistics.messages_received = endpoint_.messages_received();
  statistics.stalls = endpoint_.stalls();
  statistics.longest_stall_ms = milliseconds(endpoint_.longest_stall());
  backend_->describe_compression(statistics.compression);
  for (std::size_t i = 0; i < endpoint_.paths().size(); ++i) {
    const multipath::Path& path = endpoint_.paths()[i];
    PathStatistics one;
    backend_->describe(static_cast<PathId>(i), one);
    one.plane = static_cast<int>(multipath::index(path.plane));
    one.standby = endpoint_.plane_of(path).standby;
    one.state = to_string(path.state);
    one.bytes_sent = path.bytes_sent;
    one.bytes_received = path.bytes_received;
    one.chunks_sent = path.chunks_sent;
    one.chunks_resent = path.chunks_resent;
    one.failures = path.failures;
    one.revivals = path.revivals;
    one.smoothed_rtt_us = static_cast<double>(path.rtt.smoothed().count()) / 1e3;
    one.rate_bytes_per_s =
        static_cast<double>(endpoint_.bytes_drained_in(std::chrono::seconds(1), static_cast<PathId>(i)));
    statistics.paths.push_back(std::move(one));
  }
  return statistics;
}

Status Link::cut_path(int path) {
  std::lock_guard lock(mutex_);
  if (path < 0 || static_cast<std::size_t>(path) >= endpoint_.paths().size()) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("there is no path {}: this connection has paths 0..{}", path,
                              endpoint_.paths().size() - 1));
  }
  TimePoint now = steady_now();
  backend_->cut(static_cast<PathId>(path), endpoint_, now);
  drive(now);
  return Status::ok();
}

void Link::begin_close() {
  std::lock_guard lock(mutex_);
  TimePoint now = steady_now();
  closing_ = true;
  close_deadline_ = now + kLinger;
  endpoint_.abandon();
  backend_->abandon_buffers(endpoint_, now);
  endpoint_.close(now);
  drive(now);
}

bool Link::finished() const {
  std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return false;
  return steady_now() > close_deadline_ || (backend_->is_drained() && endpoint_.nothing_left_to_tell());
}

}  // namespace weft::engine
