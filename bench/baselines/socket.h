// The few socket calls that the yardstick programs share: reach the other end, whole reads and writes, and
// how to leave when something fails. These are small programs of one purpose: a failed system call ends them
// with a message and exit status 2, so nothing here returns an error.
//
// Threads: no state but the descriptors; one thread a descriptor and direction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace weft::baselines {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

struct SocketOptions {
  bool mptcp = false;
  int send_buffer_bytes = 0;     // SO_SNDBUF; 0 leaves the kernel's own growth on
  int receive_buffer_bytes = 0;  // SO_RCVBUF; 0 likewise
  bool no_delay = false;
  std::string congestion_control;  // TCP_CONGESTION; empty: the namespace's
};

// "10.0.0.1:7000" or "[fd00::1]:7000"; port 0 lets the kernel choose.
Socket listen_on(const std::string& endpoint, const SocketOptions& options);
std::uint16_t port_of(const Socket& listener);
Socket accept_one(const Socket& listener, const SocketOptions& options);
// Tries again until the listener is there, for ten seconds.
Socket connect_to(const std::string& endpoint, const SocketOptions& options);

// Move exactly `total` bytes with calls of at most `call_bytes`, walking over `memory` of `memory_bytes` in a
// circle.
void send_all(int fd, const std::byte* memory, std::size_t memory_bytes, std::size_t total,
              std::size_t call_bytes);
void receive_all(int fd, std::byte* memory, std::size_t memory_bytes, std::size_t total,
                 std::size_t call_bytes, bool wait_all);

// Moves `total` bytes in each direction at once with one thread, as send_all and receive_all do in one.
void exchange_all(int fd, const std::byte* outgoing, std::byte* incoming, std::size_t memory_bytes,
                  std::size_t total, std::size_t call_bytes);

// How many subflows a connected MPTCP socket has; 0 if it is plain TCP or has fallen back to it.
int mptcp_subflows(int fd);
std::string congestion_control_of(int fd);

[[noreturn]] void fail(const std::string& what);  // with the words for errno

}  // namespace weft::baselines
