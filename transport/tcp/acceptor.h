// The process's listening sockets, one an interface, and the handshakes of those who knock. They live as long
// as the Context, because a path that failed is connected anew long after NCCL has closed the listener.
//
// Threads: step() from one thread at a time; it calls the visitor's functions.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "transport/engine/log.h"
#include "transport/multipath/types.h"
#include "transport/tcp/handshake.h"
#include "transport/tcp/interfaces.h"
#include "transport/tcp/socket.h"

namespace weft::tcp {

// What the acceptor asks about somebody who knocks, and to whom it hands the socket.
class AcceptVisitor {
 public:
  virtual ~AcceptVisitor() = default;
  struct Verdict {
    RefusalCode code = RefusalCode::kNone;
    std::string why;  // for the peer's user
    LinkParameters parameters;
  };
  virtual Verdict judge(const Hello& hello) = 0;
  // The handshake is done and WELCOME is on its way.
  virtual void welcome(const Hello& hello, const std::string& device, Socket socket) = 0;
};

class Acceptor {
 public:
  // Opens a listening socket on each interface; an error names the one that failed.
  static Result<std::unique_ptr<Acceptor>> open(const std::vector<InterfaceAddress>& interfaces,
                                                std::shared_ptr<const HandshakeSecret> secret,
                                                std::shared_ptr<const engine::Log> log);

  // Where we can be reached, in the order of the interfaces.
  const std::vector<Endpoint>& endpoints() const { return endpoints_; }
  void step(multipath::TimePoint now, AcceptVisitor& visitor);

 private:
  // A stranger may hold a place for so long and no longer (I7).
  static constexpr std::size_t kMaxGuests = 512;
  static constexpr multipath::Duration kGuestTimeout = std::chrono::seconds(5);

  struct Door {
    Socket socket;
    std::string device;
  };
  struct Guest {
    Socket socket;
    std::string device;
    std::string peer;
    std::unique_ptr<ServerHandshake> handshake;
    multipath::TimePoint deadline;
  };

  Acceptor() = default;
  void let_in(Door& door, multipath::TimePoint now);
  // False when the guest is done with, one way or the other.
  bool serve(Guest& guest, multipath::TimePoint now, AcceptVisitor& visitor);
  bool send_output(Guest& guest);

  std::vector<Door> doors_;
  std::vector<Endpoint> endpoints_;
  std::vector<std::unique_ptr<Guest>> guests_;
  std::shared_ptr<const HandshakeSecret> secret_;
  std::shared_ptr<const engine::Log> log_;
  Socket epoll_;
};

}  // namespace weft::tcp
