#include "transport/tcp/dial.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace weft::tcp {
namespace {

Hello complete(Hello hello, const PathRoute& route, multipath::PathId path,
               multipath::Incarnation incarnation) {
  hello.path_index = static_cast<std::uint8_t>(path);
  hello.plane = route.plane;
  hello.incarnation = multipath::number(incarnation);
  randombytes_buf(hello.nonce.data(), hello.nonce.size());
  return hello;
}

std::string describe(const PathRoute& route) {
  return fmt::format("{} from device {} ({})", route.remote.address.to_string_with_port(route.remote.port),
                     route.local.name, route.local.address.to_string());
}

}  // namespace

Dial::Dial(const PathRoute& route, const DialSettings& settings, multipath::PathId path,
           multipath::Incarnation incarnation, multipath::TimePoint now)
    : secret_(settings.secret),
      where_(fmt::format("path {} to {}", multipath::index(path), describe(route))),
      handshake_(*secret_, complete(settings.hello, route, path, incarnation), describe(route)),
      deadline_(now + settings.attempt_timeout) {
  state_ = start(route);
}

DialState Dial::fail(StatusCode code, const std::string& what) {
  error_ = Status(code, fmt::format("{}: {}", where_, what));
  socket_.close();
  return state_ = DialState::kFailed;
}

DialState Dial::start(const PathRoute& route) {
  sockaddr_storage local{};
  sockaddr_storage remote{};
  IpAddress target = route.remote.address;
  if (target.is_link_local()) target.scope_id = route.local.index;
  socklen_t local_bytes = route.local.address.to_sockaddr(0, &local);
  socklen_t remote_bytes = target.to_sockaddr(route.remote.port, &remote);
  socket_ = Socket::stream(remote.ss_family);
  if (!socket_.is_open()) {
    out_of_descriptors_ = is_want_of_descriptors(errno);
    return fail(out_of_descriptors_ ? StatusCode::kResourceExhausted : StatusCode::kInternal,
                "no socket: " + explain_socket_error(errno));
  }
  set_path_options(socket_, std::chrono::seconds(5));
  if (route.bind_to_device) {  // best effort: older kernels want a privilege for it
    (void)setsockopt(socket_.fd(), SOL_SOCKET, SO_BINDTODEVICE, route.local.name.c_str(),
                     static_cast<socklen_t>(route.local.name.size()));
  }
  if (bind(socket_.fd(), reinterpret_cast<sockaddr*>(&local), local_bytes) != 0) {
    return fail(
        StatusCode::kUnreachable,
        fmt::format("the device's own address cannot be used: {}; has it changed?", std::strerror(errno)));
  }
  if (connect(socket_.fd(), reinterpret_cast<sockaddr*>(&remote), remote_bytes) != 0 &&
      errno != EINPROGRESS) {
    return fail(StatusCode::kUnreachable, fmt::format("no connection: {}", std::strerror(errno)));
  }
  return DialState::kPending;
}

DialState Dial::step(multipath::TimePoint now) {
  if (state_ != DialState::kPending) return state_;
  if (!connected_) {
    pollfd ready{socket_.fd(), POLLOUT, 0};
    if (poll(&ready, 1, 0) == 1) {
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(socket_.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0)
        return fail(StatusCode::kUnreachable, fmt::format("no connection: {}", std::strerror(error)));
      connected_ = true;
    }
  }
  if (connected_ && shake_hands() != DialState::kPending) return state_;
  if (now > deadline_) {
    return fail(StatusCode::kUnreachable, connected_
                                              ? "connected, but the listener did not answer in time"
                                              : "nothing answered; is the link up and no firewall between?");
  }
  return DialState::kPending;
}

DialState Dial::shake_hands() {
  while (true) {
    while (!handshake_.output().empty()) {
      ssize_t sent = send(socket_.fd(), handshake_.output().data(), handshake_.output().size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      handshake_.sent(static_cast<std::size_t>(sent));
    }
    if (handshake_.state() == HandshakeState::kDone) return state_ = DialState::kConnected;
    if (handshake_.state() == HandshakeState::kFailed) {
      return fail(handshake_.status().code(), handshake_.status().message());
    }
    // Peeked at first: what follows the handshake belongs to the path.
    std::array<std::byte, 2048> bytes;
    ssize_t got = recv(socket_.fd(), bytes.data(), bytes.size(), MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return DialState::kPending;
    if (got <= 0) {
      handshake_.closed();
      if (handshake_.state() == HandshakeState::kDone) continue;
      return fail(handshake_.status().code(), handshake_.status().message());
    }
    std::size_t taken = handshake_.feed({bytes.data(), static_cast<std::size_t>(got)});
    if (taken == 0 && handshake_.state() == HandshakeState::kInProgress) return DialState::kPending;
    (void)recv(socket_.fd(), bytes.data(), taken, 0);
  }
}

void log_failed_dial(const Dial& dial, const engine::Log& log) {
  bool warn = dial.is_out_of_descriptors() && log.is_first_without_descriptors();
  LogLevel level = warn ? LogLevel::kWarn : LogLevel::kDebug;
  if (log.wants(level)) log(level, dial.error().message());
}

}  // namespace weft::tcp
