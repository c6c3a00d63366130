#include "transport/bootstrap/timed_socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace weft::bootstrap {
namespace {

std::string error_text(int error) {
  return std::strerror(error);
}

// Waits until the socket is ready for `events` or the deadline passes.
Status wait_for(int descriptor, short events, Deadline deadline) {
  for (;;) {
    pollfd entry{.fd = descriptor, .events = events, .revents = 0};
    const int ready = ::poll(&entry, 1, milliseconds_until(deadline));
    if (ready > 0) return Status::ok();
    if (ready == 0) return {StatusCode::kUnreachable, "timed out"};
    if (errno != EINTR) return {StatusCode::kInternal, "poll: " + error_text(errno)};
  }
}

std::string text_of(const sockaddr* address, socklen_t length) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getnameinfo(address, length, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) !=
      0) {
    return "?";
  }
  return address->sa_family == AF_INET6 ? "[" + std::string(host) + "]:" + port
                                        : std::string(host) + ":" + port;
}

bool is_loopback(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
  return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

bool is_address(const std::string& host) {
  in6_addr ignored;
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1 || inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

void send_at_once(int descriptor) {
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

int milliseconds_until(Deadline deadline) {
  const auto left = deadline - std::chrono::steady_clock::now();
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<decltype(ms)>(ms, 0, 1'000'000'000));
}

TimedSocket::~TimedSocket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status TimedSocket::send(std::span<const std::byte> bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return {StatusCode::kPeerLost, error_text(errno)};
    if (Status status = wait_for(descriptor_, POLLOUT, deadline); !status) return status;
  }
  return Status::ok();
}

Result<std::size_t> TimedSocket::receive_available(std::span<std::byte> bytes) {
  for (;;) {
    const ssize_t got = ::recv(descriptor_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0) return Status(StatusCode::kPeerLost, "the other end closed the connection");
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return std::size_t{0};
    return Status(StatusCode::kPeerLost, error_text(errno));
  }
}

Status TimedSocket::receive(std::span<std::byte> bytes, Deadline deadline) {
  while (!bytes.empty()) {
    auto got = receive_available(bytes);
    if (!got) return got.status();
    bytes = bytes.subspan(*got);
    if (*got > 0) continue;
    if (Status status = wait_for(descriptor_, POLLIN, deadline); !status) return status;
  }
  return Status::ok();
}

std::string TimedSocket::peer_name() const {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getpeername(descriptor_, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "?";
  return text_of(reinterpret_cast<sockaddr*>(&address), length);
}

Result<std::vector<Endpoint>> resolve(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) {
    return Status(StatusCode::kUnreachable,
                  "the host of rank 0, \"" + host + "\", cannot be resolved: " + gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
  std::vector<Endpoint> endpoints;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_family != AF_INET && entry->ai_family != AF_INET6) continue;
    Endpoint endpoint;
    const auto* bytes = reinterpret_cast<const std::byte*>(entry->ai_addr);
    endpoint.address.assign(bytes, bytes + entry->ai_addrlen);
    endpoint.family = entry->ai_family;
    endpoint.is_only_here = is_loopback(entry->ai_addr) && (host == "localhost" || is_address(host));
    endpoint.text = text_of(entry->ai_addr, entry->ai_addrlen);
    endpoints.push_back(std::move(endpoint));
  }
  // "localhost" is often both; all ranks then agree on IPv4.
  std::stable_sort(endpoints.begin(), endpoints.end(), [](const Endpoint& a, const Endpoint& b) {
    return a.family == AF_INET && b.family != AF_INET;
  });
  return endpoints;
}

Result<TimedSocket> connect_to(const Endpoint& endpoint, Deadline deadline) {
  TimedSocket socket(::socket(endpoint.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return Status(StatusCode::kInternal, "socket: " + error_text(errno));
  const auto* address = reinterpret_cast<const sockaddr*>(endpoint.address.data());
  if (::connect(socket.descriptor(), address, static_cast<socklen_t>(endpoint.address.size())) != 0) {
    if (errno != EINPROGRESS) return Status(StatusCode::kUnreachable, error_text(errno));
    if (Status status = wait_for(socket.descriptor(), POLLOUT, deadline); !status) return status;
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(socket.descriptor(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return Status(StatusCode::kUnreachable, error_text(error));
  }
  send_at_once(socket.descriptor());
  return socket;
}

Result<TimedSocket> listen_at(const Endpoint& endpoint, std::uint16_t port) {
  constexpr int kBacklog = 4096;
  TimedSocket socket(::socket(endpoint.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return Status(StatusCode::kInternal, "socket: " + error_text(errno));
  const int on = 1;
  const int off = 0;
  setsockopt(socket.descriptor(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage address{};
  std::memcpy(&address, endpoint.address.data(), std::min(sizeof address, endpoint.address.size()));
  if (endpoint.family == AF_INET) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
    v4->sin_port = htons(port);
    if (!endpoint.is_only_here) v4->sin_addr.s_addr = htonl(INADDR_ANY);
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
    v6->sin6_port = htons(port);
    if (!endpoint.is_only_here) v6->sin6_addr = in6addr_any;
    setsockopt(socket.descriptor(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  const auto length = static_cast<socklen_t>(endpoint.address.size());
  if (::bind(socket.descriptor(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::listen(socket.descriptor(), kBacklog) != 0) {
    const StatusCode code = errno == EADDRINUSE ? StatusCode::kResourceExhausted : StatusCode::kUnreachable;
    return Status(code, error_text(errno));
  }
  return socket;
}

bool is_own_address(const Endpoint& endpoint) {
  TimedSocket socket(::socket(endpoint.family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage address{};
  std::memcpy(&address, endpoint.address.data(), std::min(sizeof address, endpoint.address.size()));
  (endpoint.family == AF_INET ? reinterpret_cast<sockaddr_in*>(&address)->sin_port
                              : reinterpret_cast<sockaddr_in6*>(&address)->sin6_port) = 0;
  const auto length = static_cast<socklen_t>(endpoint.address.size());
  return ::bind(socket.descriptor(), reinterpret_cast<sockaddr*>(&address), length) == 0 ||
         errno != EADDRNOTAVAIL;
}

TimedSocket accept_from(const TimedSocket& listener) {
  TimedSocket socket(::accept4(listener.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.is_open()) send_at_once(socket.descriptor());
  return socket;
}

}  // namespace weft::bootstrap
