// What a backend (tcp, later verbs, ucx, ...) does for one link: it moves frames over the link's paths. It
// holds no protocol: which path, when to give one up and what to send again are the endpoint's to say.
//
// Threads: called with the link's lock held, from one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "transport/multipath/endpoint.h"
#include "weft/config.h"

namespace weft::engine {

enum class FlushState : std::uint8_t { kPending, kDone, kFailed };

class Backend {
 public:
  virtual ~Backend() = default;

  // Hands everything that arrived to `endpoint` (frames, lost and writable paths). True if any frame came.
  // Costs one system call when nothing did.
  virtual bool receive(multipath::Endpoint& endpoint, multipath::TimePoint now) = 0;
  // Takes a frame for its path; the payload must stay until the endpoint's request is done.
  virtual void send(const multipath::Transmission& transmission, multipath::Endpoint& endpoint,
                    multipath::TimePoint now) = 0;
  // Puts what send() took on the wire, as far as it goes.
  virtual void flush(multipath::Endpoint& endpoint, multipath::TimePoint now) = 0;

  // Nothing lands from this path and nothing is sent on it after the call.
  virtual void fence(multipath::PathId path) = 0;
  // Starts to connect the path anew; tick() reports the outcome to the endpoint.
  virtual void reconnect(multipath::PathId path, multipath::Incarnation incarnation,
                         multipath::TimePoint now) = 0;
  // About once a millisecond: connection attempts, signs of life of suspicious paths.
  virtual void tick(multipath::Endpoint& endpoint, multipath::TimePoint now) = 0;

  // User memory is about to go away: paths that still refer to it are broken, payloads that arrive are
  // dropped.
  virtual void abandon_buffers(multipath::Endpoint& endpoint, multipath::TimePoint now) = 0;
  // The caller has its request's buffer back: what was kept for its sake, such as a registration, may go.
  virtual void request_done(multipath::RequestSlot) {}
  // Whether messages may lie in memory that the CPU must not touch; else why not.
  virtual Status takes_device_memory() const {
    return {StatusCode::kInvalidArgument, "its transport reads and writes messages with the CPU"};
  }
  // Begins to read back over each NIC that has put data into device memory since the last flush; `number`
  // grows by one with each, modulo 2^30. receive() moves it on.
  virtual void begin_flush(std::uint32_t /*number*/, const std::byte* /*data*/,
                           multipath::Endpoint& /*endpoint*/) {}
  virtual FlushState flush_state(std::uint32_t /*number*/) const { return FlushState::kDone; }
  // Everything that was sent has reached the peer's host.
  virtual bool is_drained() const = 0;
  // As if the path's cable had been pulled.
  virtual void cut(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now) = 0;

  // Where a path runs, for statistics and errors: device and both addresses with ports.
  virtual void describe(multipath::PathId path, PathStatistics& statistics) const = 0;
  // What compression does here, and why.
  virtual void describe_compression(CompressionStatistics& statistics) const {
    statistics.why = "only TCP's payloads pass through the processor";
  }
  virtual std::string peer_name() const = 0;
  // Why the backend gave the connection up, or empty.
  virtual std::string failure() const { return {}; }
};

}  // namespace weft::engine
