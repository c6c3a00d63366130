// One attempt to bring a path up from the connecting side: connect, shake hands, hand over the socket.
//
// Threads: one at a time. Never blocks: step() is called about once a millisecond, or as often as one likes.
#pragma once

#include <memory>
#include <string>

#include "transport/engine/log.h"
#include "transport/multipath/types.h"
#include "transport/tcp/handshake.h"
#include "transport/tcp/interfaces.h"
#include "transport/tcp/socket.h"
#include "weft/status.h"

namespace weft::tcp {

// From where to where a path runs.
struct PathRoute {
  InterfaceAddress local;
  Endpoint remote;
  bool bind_to_device = false;
  std::uint8_t plane = 0;
};

// What all dials of a link have in common.
struct DialSettings {
  std::shared_ptr<const HandshakeSecret> secret;
  Hello hello;  // without path, plane, incarnation and nonce
  multipath::Duration attempt_timeout = std::chrono::milliseconds(500);
};

enum class DialState : unsigned char { kPending, kConnected, kFailed };

class Dial {
 public:
  Dial(const PathRoute& route, const DialSettings& settings, multipath::PathId path,
       multipath::Incarnation incarnation, multipath::TimePoint now);

  DialState step(multipath::TimePoint now);
  Socket take_socket() { return std::move(socket_); }
  const Welcome& welcome() const { return handshake_.welcome(); }
  // After kFailed: names the device, both addresses and the path.
  const Status& error() const { return error_; }
  // The listener answered and does not want us: another attempt will fare no better.
  bool is_refused() const {
    return handshake_.refusal().has_value() || error_.code() == StatusCode::kPermissionDenied;
  }
  // The listener has no room at the moment, and may have later.
  bool is_short_of_room() const { return handshake_.refusal() == RefusalCode::kLimit; }
  bool is_out_of_descriptors() const { return out_of_descriptors_; }
  // The peer's process is there and has no such connection.
  bool is_forgotten() const { return handshake_.refusal() == RefusalCode::kUnknownConnection; }

 private:
  DialState fail(StatusCode code, const std::string& what);
  DialState start(const PathRoute& route);
  DialState shake_hands();

  std::shared_ptr<const HandshakeSecret> secret_;
  std::string where_;
  ClientHandshake handshake_;
  multipath::TimePoint deadline_;
  Socket socket_;
  bool connected_ = false;
  bool out_of_descriptors_ = false;
  DialState state_ = DialState::kPending;
  Status error_;
};

// Attempts fail all the time while a path is down; only what the user can mend here is a warning, once.
void log_failed_dial(const Dial& dial, const engine::Log& log);

}  // namespace weft::tcp
