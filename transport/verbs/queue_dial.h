// One attempt to bring a path up from the connecting side: a queue pair is made, the TCP handshake over the
// plane's own interfaces takes its particulars to the peer and brings back those of the peer's, and both
// serve. The handshake proves the secret and that the plane carries packets both ways; its socket is closed
// afterwards.
//
// Threads: one at a time. step() does not wait, but for the kernel's work on the queue pair.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "transport/tcp/dial.h"
#include "transport/verbs/queue_pair.h"

namespace weft::verbs {

class QueueDial {
 public:
  QueueDial(Result<std::unique_ptr<QueuePair>> queue, const tcp::PathRoute& route, tcp::DialSettings settings,
            multipath::PathId path, multipath::Incarnation incarnation, multipath::TimePoint now);

  tcp::DialState step(multipath::TimePoint now);

  // After kConnected.
  multipath::Incarnation incarnation() const { return incarnation_; }
  std::unique_ptr<QueuePair> take_queue() { return std::move(queue_); }
  const PathOffer& peer() const { return peer_; }
  const tcp::Welcome& welcome() const { return dial_->welcome(); }
  // After kFailed, as in tcp::Dial.
  const Status& error() const { return error_; }
  bool is_refused() const { return dial_ && dial_->is_refused() && !dial_->is_short_of_room(); }
  bool is_forgotten() const { return dial_ && dial_->is_forgotten(); }

 private:
  tcp::DialState fail(Status error);
  tcp::DialState connect_queue();

  const multipath::PathId path_;
  const multipath::Incarnation incarnation_;
  const std::uint32_t salt_;
  const tcp::IpAddress remote_;
  std::unique_ptr<QueuePair> queue_;
  std::optional<tcp::Dial> dial_;
  PathOffer peer_;
  Status error_;
};

// Equal at both ends, and different from one connection to the next.
std::uint32_t flow_salt(const tcp::ConnectionId& connection);

}  // namespace weft::verbs
