// A socket that closes itself and that no forked child keeps open, and the options that every path's socket
// gets.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <string>

#include "transport/process/own_descriptor.h"

namespace weft::tcp {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : descriptor_(fd) {}
  // What these return is not open, and errno says why, where the kernel refuses.
  static Socket stream(int address_family);  // non-blocking, close on exec
  static Socket accept(const Socket& listening, sockaddr* from, socklen_t* from_bytes);  // the same
  static Socket epoll();

  int fd() const { return descriptor_.number(); }
  bool is_open() const { return descriptor_.is_open(); }
  void close() { descriptor_.close(); }
  // Closes so that the peer hears of it at once and the kernel keeps nothing to send: the path is fenced.
  void reset();

 private:
  explicit Socket(process::OwnDescriptor descriptor) : descriptor_(std::move(descriptor)) {}

  process::OwnDescriptor descriptor_;
};

// No descriptor is free, in the process or on the machine.
bool is_want_of_descriptors(int error);
// strerror(); for want of descriptors also the limit, and what to do.
std::string explain_socket_error(int error);

// No delay for small frames; the kernel gives up on its own when nothing was acknowledged for `timeout`.
void set_path_options(const Socket& socket, std::chrono::milliseconds timeout);

}  // namespace weft::tcp
