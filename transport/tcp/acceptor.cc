#include "transport/tcp/acceptor.h"

#include <fmt/format.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sodium.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace weft::tcp {

Result<std::unique_ptr<Acceptor>> Acceptor::open(const std::vector<InterfaceAddress>& interfaces,
                                                 std::shared_ptr<const HandshakeSecret> secret,
                                                 std::shared_ptr<const engine::Log> log) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor());
  acceptor->secret_ = std::move(secret);
  acceptor->log_ = std::move(log);
  acceptor->epoll_ = Socket::epoll();
  if (!acceptor->epoll_.is_open())
    return Status(StatusCode::kInternal, "cannot listen: epoll_create1: " + explain_socket_error(errno));
  for (const InterfaceAddress& interface : interfaces) {
    auto failed = [&](const char* what) {
      return Status(StatusCode::kInternal,
                    fmt::format("cannot listen on device {} ({}): {}: {}", interface.name,
                                interface.address.to_string(), what, explain_socket_error(errno)));
    };
    sockaddr_storage address{};
    socklen_t bytes = interface.address.to_sockaddr(0, &address);
    Socket socket = Socket::stream(address.ss_family);
    if (!socket.is_open()) return failed("socket");
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(socket.fd(), generic, bytes) != 0) return failed("bind");
    if (listen(socket.fd(), 1024) != 0) return failed("listen");
    bytes = sizeof address;
    if (getsockname(socket.fd(), generic, &bytes) != 0) return failed("getsockname");
    std::uint16_t port =
        ntohs(address.ss_family == AF_INET ? reinterpret_cast<sockaddr_in*>(&address)->sin_port
                                           : reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
    epoll_event event{};
    event.events = EPOLLIN;
    if (epoll_ctl(acceptor->epoll_.fd(), EPOLL_CTL_ADD, socket.fd(), &event) != 0) return failed("epoll_ctl");
    acceptor->doors_.push_back({std::move(socket), interface.name});
    acceptor->endpoints_.push_back({interface.address, port, interface.prefix_length});
  }
  return acceptor;
}

void Acceptor::step(multipath::TimePoint now, AcceptVisitor& visitor) {
  std::array<epoll_event, 1> any;
  bool news = epoll_wait(epoll_.fd(), any.data(), 1, 0) > 0;
  if (!news && guests_.empty()) return;
  if (news) {
    for (Door& door : doors_) let_in(door, now);
  }
  std::erase_if(guests_, [&](const std::unique_ptr<Guest>& guest) { return !serve(*guest, now, visitor); });
}

bool Acceptor::make_room(const IpAddress* source, multipath::TimePoint now) {
  auto found = std::find_if(guests_.begin(), guests_.end(), [&](const std::unique_ptr<Guest>& guest) {
    return !guest->has_spoken && now - guest->arrived > kTimeToSpeak &&
           (source == nullptr || guest->source.same_address(*source));
  });
  if (found == guests_.end()) return false;
  if (!std::exchange(crowd_was_logged_, true)) {
    (*log_)(LogLevel::kInfo,
            fmt::format("many connect and say nothing of Weft's handshake: {} is the first that "
                        "is closed to make room for others",
                        (*found)->peer));
  }
  guests_.erase(found);
  return true;
}

bool Acceptor::has_place_for(const IpAddress& source, multipath::TimePoint now) {
  auto of_source = std::count_if(guests_.begin(), guests_.end(), [&](const std::unique_ptr<Guest>& guest) {
    return guest->source.same_address(source);
  });
  return static_cast<std::size_t>(of_source) < kMaxGuestsOfOneSource || make_room(&source, now);
}

void Acceptor::let_in(Door& door, multipath::TimePoint now) {
  if (guests_.size() < kMaxGuests / 2) crowd_was_logged_ = false;
  for (std::size_t i = 0; i < kMaxAcceptedAtOnce; ++i) {
    if (guests_.size() >= kMaxGuests && !make_room(nullptr, now)) return;
    sockaddr_storage address{};
    socklen_t bytes = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    Socket socket = Socket::accept(door.socket, generic, &bytes);
    if (!socket.is_open()) {
      if (is_want_of_descriptors(errno) && log_->is_first_without_descriptors()) {
        (*log_)(LogLevel::kWarn,
                fmt::format("cannot accept connections on device {}: {}; peers will go on trying",
                            door.device, explain_socket_error(errno)));
      }
      return;
    }
    auto source = IpAddress::from_sockaddr(generic);
    // Whoever is sent away here and has business tries again.
    if (source && has_place_for(*source, now)) add_guest(std::move(socket), door, *source, now);
  }
}

void Acceptor::add_guest(Socket socket, const Door& door, const IpAddress& source, multipath::TimePoint now) {
  auto guest = std::make_unique<Guest>();
  guest->source = source;
  guest->peer = fmt::format("{} on device {}", source.to_string(), door.device);
  guest->device = door.device;
  guest->arrived = now;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  epoll_ctl(epoll_.fd(), EPOLL_CTL_ADD, socket.fd(), &event);
  int on = 1;
  setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  Nonce nonce;
  randombytes_buf(nonce.data(), nonce.size());
  guest->handshake = std::make_unique<ServerHandshake>(*secret_, nonce, guest->peer);
  guest->socket = std::move(socket);
  guests_.push_back(std::move(guest));
}

bool Acceptor::send_output(Guest& guest) {
  while (!guest.handshake->output().empty()) {
    auto bytes = guest.handshake->output();
    ssize_t sent = send(guest.socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return errno == EAGAIN || errno == EINTR;
    guest.handshake->sent(static_cast<std::size_t>(sent));
  }
  return true;
}

bool Acceptor::serve(Guest& guest, multipath::TimePoint now, AcceptVisitor& visitor) {
  ServerHandshake& handshake = *guest.handshake;
  while (true) {
    if (!send_output(guest)) return false;
    if (handshake.state() == HandshakeState::kDecision) {
      AcceptVisitor::Verdict verdict = visitor.judge(handshake.hello(), guest.source);
      if (verdict.code == RefusalCode::kNone) {
        Welcome welcome;
        welcome.path_index = handshake.hello().path_index;
        welcome.incarnation = handshake.hello().incarnation;
        welcome.parameters = verdict.parameters;
        welcome.endpoints = std::move(verdict.endpoints);
        welcome.options = std::move(verdict.options);
        if (!handshake.accept(std::move(welcome)))
          handshake.refuse(RefusalCode::kLimit, "too many interfaces");
      } else {
        handshake.refuse(verdict.code, verdict.why);
      }
      continue;
    }
    if (handshake.state() == HandshakeState::kDone && handshake.output().empty()) {
      epoll_ctl(epoll_.fd(), EPOLL_CTL_DEL, guest.socket.fd(), nullptr);
      if (handshake.hello().purpose != PathPurpose::kAskEndpoints)
        visitor.welcome(handshake.hello(), guest.device, std::move(guest.socket));
      return false;
    }
    if (handshake.state() == HandshakeState::kFailed) {
      // Paths of a connection that was just closed here are no news; strangers and wrong secrets are.
      bool expected = handshake.status().code() != StatusCode::kPermissionDenied;
      (*log_)(expected ? LogLevel::kInfo : LogLevel::kWarn,
              "a connection was turned away: " + handshake.status().message());
      // Half closed first, so that the words reach the peer before the connection goes.
      shutdown(guest.socket.fd(), SHUT_WR);
      return false;
    }
    if (now - guest.arrived > kGuestTimeout) {
      (*log_)(LogLevel::kInfo, fmt::format("{} connected but said nothing of Weft's handshake", guest.peer));
      return false;
    }
    if (handshake.state() == HandshakeState::kDone) return true;  // WELCOME does not fit the socket yet
    std::array<std::byte, 2048> bytes;
    ssize_t got = recv(guest.socket.fd(), bytes.data(), bytes.size(), MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got <= 0) return false;
    guest.has_spoken = true;
    std::size_t taken = handshake.feed({bytes.data(), static_cast<std::size_t>(got)});
    (void)recv(guest.socket.fd(), bytes.data(), taken, 0);
  }
}

}  // namespace weft::tcp
