#include "bench/baselines/socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

namespace weft::baselines {
namespace {

constexpr int kProtocolMptcp = 262;  // IPPROTO_MPTCP, which the C library's headers may lack
constexpr int kLevelMptcp = 284;     // SOL_MPTCP
constexpr int kMptcpInfo = 1;        // MPTCP_INFO

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

AddressList resolve(const std::string& endpoint) {
  const std::size_t colon = endpoint.rfind(':');
  if (colon == std::string::npos) {
    errno = EINVAL;
    fail(endpoint + " is not ADDRESS:PORT");
  }
  std::string host = endpoint.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(host.c_str(), endpoint.c_str() + colon + 1, &hints, &found); code != 0) {
    std::fprintf(stderr, "%s: %s\n", endpoint.c_str(), gai_strerror(code));
    std::exit(2);
  }
  return {found, &freeaddrinfo};
}

void set_option(int fd, int level, int name, int value, const char* what) {
  if (setsockopt(fd, level, name, &value, sizeof value) != 0) fail(what);
}

// Before connect() or listen(): buffers must be set before the window scale is agreed upon.
Socket make_socket(const addrinfo& address, const SocketOptions& options) {
  Socket made(
      socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, options.mptcp ? kProtocolMptcp : IPPROTO_TCP));
  if (made.fd() < 0) fail(options.mptcp ? "socket(IPPROTO_MPTCP): see sysctl net.mptcp.enabled" : "socket");
  set_option(made.fd(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
  if (options.send_buffer_bytes > 0) {
    set_option(made.fd(), SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes, "SO_SNDBUF");
  }
  if (options.receive_buffer_bytes > 0) {
    set_option(made.fd(), SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes, "SO_RCVBUF");
  }
  if (options.no_delay) set_option(made.fd(), IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
  const std::string& name = options.congestion_control;
  if (!name.empty() && setsockopt(made.fd(), IPPROTO_TCP, TCP_CONGESTION, name.data(), name.size()) != 0) {
    fail("TCP_CONGESTION " + name);
  }
  return made;
}

}  // namespace

Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

void fail(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(2);
}

Socket listen_on(const std::string& endpoint, const SocketOptions& options) {
  const AddressList address = resolve(endpoint);
  Socket listener = make_socket(*address, options);
  if (bind(listener.fd(), address->ai_addr, address->ai_addrlen) != 0) fail("bind " + endpoint);
  if (listen(listener.fd(), 1) != 0) fail("listen " + endpoint);
  return listener;
}

std::uint16_t port_of(const Socket& listener) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  if (getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &bytes) != 0) fail("getsockname");
  // The port lies at the same place in both families.
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

Socket accept_one(const Socket& listener, const SocketOptions& options) {
  Socket accepted(accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  if (accepted.fd() < 0) fail("accept");
  if (options.no_delay) set_option(accepted.fd(), IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
  return accepted;
}

Socket connect_to(const std::string& endpoint, const SocketOptions& options) {
  const AddressList address = resolve(endpoint);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (true) {
    Socket connected = make_socket(*address, options);
    if (connect(connected.fd(), address->ai_addr, address->ai_addrlen) == 0) return connected;
    if (errno != ECONNREFUSED || std::chrono::steady_clock::now() > deadline) fail("connect " + endpoint);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void send_all(int fd, const std::byte* memory, std::size_t memory_bytes, std::size_t total,
              std::size_t call_bytes) {
  std::size_t at = 0;
  while (total > 0) {
    const std::size_t want = std::min({total, call_bytes, memory_bytes - at});
    const ssize_t sent = send(fd, memory + at, want, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      fail("send");
    }
    total -= static_cast<std::size_t>(sent);
    at += static_cast<std::size_t>(sent);
    if (at == memory_bytes) at = 0;
  }
}

void receive_all(int fd, std::byte* memory, std::size_t memory_bytes, std::size_t total,
                 std::size_t call_bytes, bool wait_all) {
  std::size_t at = 0;
  while (total > 0) {
    const std::size_t want = std::min({total, call_bytes, memory_bytes - at});
    const ssize_t received = recv(fd, memory + at, want, wait_all ? MSG_WAITALL : 0);
    if (received < 0) {
      if (errno == EINTR) continue;
      fail("recv");
    }
    if (received == 0) {
      errno = ECONNRESET;
      fail("the other end closed the connection before all was received");
    }
    total -= static_cast<std::size_t>(received);
    at += static_cast<std::size_t>(received);
    if (at == memory_bytes) at = 0;
  }
}

void exchange_all(int fd, const std::byte* outgoing, std::byte* incoming, std::size_t memory_bytes,
                  std::size_t total, std::size_t call_bytes) {
  std::size_t sent = 0, received = 0;
  const auto piece = [&](std::size_t done) {
    return std::min({total - done, call_bytes, memory_bytes - done % memory_bytes});
  };
  const auto moved = [](ssize_t bytes, const char* what) -> std::size_t {
    if (bytes > 0) return static_cast<std::size_t>(bytes);
    if (bytes == 0) errno = ECONNRESET;
    if (errno != EAGAIN && errno != EINTR) fail(what);
    return 0;
  };
  while (sent < total || received < total) {
    std::size_t progress = 0;
    if (received < total) {
      progress += moved(recv(fd, incoming + received % memory_bytes, piece(received), MSG_DONTWAIT), "recv");
      received += progress;
    }
    if (sent < total) {
      const std::size_t now =
          moved(send(fd, outgoing + sent % memory_bytes, piece(sent), MSG_DONTWAIT | MSG_NOSIGNAL), "send");
      sent += now;
      progress += now;
    }
    if (progress > 0) continue;
    pollfd ready{.fd = fd, .events = 0, .revents = 0};
    if (received < total) ready.events |= POLLIN;
    if (sent < total) ready.events |= POLLOUT;
    if (poll(&ready, 1, -1) < 0 && errno != EINTR) fail("poll");
  }
}

int mptcp_subflows(int fd) {
  // struct mptcp_info of <linux/mptcp.h>: byte 0 counts the subflows besides the first, bytes 8..11 are flags
  // of which bit 0 says that the connection has fallen back to TCP. The kernel fills as much as it is given
  // room for.
  unsigned char info[12] = {};
  socklen_t bytes = sizeof info;
  if (getsockopt(fd, kLevelMptcp, kMptcpInfo, info, &bytes) != 0) return 0;
  return (info[8] & 1) != 0 ? 0 : info[0] + 1;
}

std::string congestion_control_of(int fd) {
  char name[16] = {};
  socklen_t bytes = sizeof name - 1;
  if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &bytes) != 0) return "unknown";
  return name;
}

}  // namespace weft::baselines
