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
    std::vector<Endpoint> endpoints;       // for WELCOME, where they were asked for
    std::vector<HandshakeOption> options;  // for WELCOME
  };
  // A path that does not stay on this socket is made ready here, so that WELCOME can say where.
  virtual Verdict judge(const Hello& hello, const IpAddress& from) = 0;
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
  // A stranger may hold a place for so long and no longer (I7). Where places are short, those who have had
  // time to speak and said nothing go first, the oldest of them first; who has business here speaks within a
  // round trip. No source address takes more than half of the places, however many knock there.
  static constexpr std::size_t kMaxGuests = 512;
  static constexpr std::size_t kMaxGuestsOfOneSource = kMaxGuests / 2;
  static constexpr std::size_t kMaxAcceptedAtOnce = 128;  // a step and door: others wait for the thread too
  static constexpr multipath::Duration kGuestTimeout = std::chrono::seconds(5);
  static constexpr multipath::Duration kTimeToSpeak = std::chrono::milliseconds(250);

  struct Door {
    Socket socket;
    std::string device;
  };
  struct Guest {
    Socket socket;
    std::string device;
    IpAddress source;
    std::string peer;
    std::unique_ptr<ServerHandshake> handshake;
    multipath::TimePoint arrived;
    bool has_spoken = false;
  };

  Acceptor() = default;
  void let_in(Door& door, multipath::TimePoint now);
  // Closes the oldest guest that had time to speak and did not; `source` null: wherever it comes from.
  bool make_room(const IpAddress* source, multipath::TimePoint now);
  bool has_place_for(const IpAddress& source, multipath::TimePoint now);
  void add_guest(Socket socket, const Door& door, const IpAddress& source, multipath::TimePoint now);
  // False when the guest is done with, one way or the other.
  bool serve(Guest& guest, multipath::TimePoint now, AcceptVisitor& visitor);
  bool send_output(Guest& guest);

  std::vector<Door> doors_;
  std::vector<Endpoint> endpoints_;
  std::vector<std::unique_ptr<Guest>> guests_;  // in the order of their coming
  bool crowd_was_logged_ = false;
  std::shared_ptr<const HandshakeSecret> secret_;
  std::shared_ptr<const engine::Log> log_;
  Socket epoll_;
};

}  // namespace weft::tcp
