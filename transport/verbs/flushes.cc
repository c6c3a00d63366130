#include "transport/verbs/flushes.h"

#include <fmt/format.h>

#include <bit>
#include <chrono>
#include <utility>

#include "transport/verbs/wire.h"

namespace weft::verbs {

using engine::FlushState;
using multipath::TimePoint;

namespace {

constexpr std::chrono::seconds kPatience{5};
constexpr std::chrono::milliseconds kRetryPause{20};
static_assert(kMaxPlanes <= 32);

// Numbers have 30 bits.
bool is_after(std::uint32_t number, std::uint32_t other) {
  return static_cast<std::int32_t>((number - other) << 2) > 0;
}

template <typename Function>
void for_each(std::uint32_t planes, Function&& function) {
  for (; planes != 0; planes &= planes - 1) function(static_cast<std::size_t>(std::countr_zero(planes)));
}

}  // namespace

Flushes::Flushes(const std::vector<std::shared_ptr<Rail>>& rails,
                 std::vector<std::shared_ptr<RegistrationCache>> caches)
    : caches_(std::move(caches)), ports_(rails.size()) {
  for (std::size_t plane = 0; plane < rails.size(); ++plane) ports_[plane].port = rails[plane]->port();
}

Flushes::~Flushes() {
  for (std::size_t plane = 0; plane < ports_.size(); ++plane) {
    ports_[plane].queue.reset();
    drop(plane, ports_[plane].reading);
    drop(plane, ports_[plane].waiting);
  }
}

void Flushes::drop(std::size_t plane, Read& read) {
  if (read.exists) caches_[plane]->release(read.memory);
  read.exists = false;
}

// Where a read is still under way on a port, what this flush is about may have come by it before that read
// began or after: it waits for one of its own.
Status Flushes::begin(std::uint32_t number, const std::byte* data) {
  Status result;
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  for_each(std::exchange(landed_, 0u) | pending_, [&](std::size_t plane) {
    auto memory = caches_[plane]->hold(address, 1, MemoryAccess::kPeerWritesAndFlush);
    if (!memory) {
      failed_ = true;
      result = memory.status();
      return;
    }
    Port& port = ports_[plane];
    const std::uint32_t bit = std::uint32_t{1} << plane;
    if ((pending_ & bit) == 0) port.covered = number - 1;
    pending_ |= bit;
    drop(plane, port.waiting);
    port.waiting = {true, number, address, *memory};
    if (!port.reading.exists) start(plane);
  });
  return result;
}

// What does not start is tried again by tick().
void Flushes::start(std::size_t plane) {
  Port& port = ports_[plane];
  if (!port.queue) {
    auto queue = FlushQueue::create(port.port);
    if (!queue) {
      port.failure = queue.status().message();
      return;
    }
    port.queue = std::move(*queue);
  }
  if (!port.queue->read(port.waiting.address, port.waiting.memory.remote_key)) return retry_later(plane);
  port.reading = std::exchange(port.waiting, {});
}

void Flushes::retry_later(std::size_t plane) {
  Port& port = ports_[plane];
  port.failure = port.queue->failure();
  port.queue.reset();
  if (!port.waiting.exists) {
    port.waiting = std::exchange(port.reading, {});
  } else {
    drop(plane, port.reading);
  }
}

void Flushes::poll() {
  for_each(pending_, [&](std::size_t plane) { poll_port(plane); });
}

void Flushes::poll_port(std::size_t plane) {
  Port& port = ports_[plane];
  if (!port.reading.exists) return;
  const FlushQueue::Outcome outcome = port.queue->poll();
  if (outcome == FlushQueue::Outcome::kNone) return;
  if (outcome == FlushQueue::Outcome::kFailed) return retry_later(plane);
  port.covered = port.reading.number;
  port.unanswered_since.reset();
  drop(plane, port.reading);
  if (port.waiting.exists) {
    start(plane);
  } else {
    pending_ &= ~(std::uint32_t{1} << plane);
  }
}

Status Flushes::tick(TimePoint now) {
  Status result;
  for_each(pending_, [&](std::size_t plane) {
    Port& port = ports_[plane];
    if (failed_) return;
    if (!port.unanswered_since) port.unanswered_since = now;
    if (now - *port.unanswered_since > kPatience) {
      failed_ = true;
      result = Status(
          StatusCode::kUnreachable,
          fmt::format("device {}: what it has received into memory of a GPU cannot be read back over it for "
                      "{} s, so that it is not sure to be visible there: {}",
                      port.port.name, kPatience.count(),
                      port.failure.empty() ? "it does not answer" : port.failure));
      return;
    }
    if (port.reading.exists) return;
    if (port.tried && now - *port.tried < kRetryPause) return;
    port.tried = now;
    start(plane);
  });
  return result;
}

FlushState Flushes::state(std::uint32_t number) const {
  if (failed_) return FlushState::kFailed;
  FlushState state = FlushState::kDone;
  for_each(pending_, [&](std::size_t plane) {
    if (is_after(number, ports_[plane].covered)) state = FlushState::kPending;
  });
  return state;
}

}  // namespace weft::verbs
