// A socket that closes itself, and the options that every path's socket gets.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <utility>

namespace weft::tcp {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { close(); }

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  void close();
  // Closes so that the peer hears of it at once and the kernel keeps nothing to send: the path is fenced.
  void reset();

 private:
  int fd_ = -1;
};

// No delay for small frames; the kernel gives up on its own when nothing was acknowledged for `timeout`.
void set_path_options(const Socket& socket, std::chrono::milliseconds timeout);

}  // namespace weft::tcp
