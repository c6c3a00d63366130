#include "transport/tcp/socket.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <unistd.h>

namespace weft::tcp {

void Socket::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Socket::reset() {
  if (fd_ < 0) return;
  linger none{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close();
}

void set_path_options(const Socket& socket, std::chrono::milliseconds timeout) {
  int on = 1;
  setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto milliseconds = static_cast<unsigned>(timeout.count());
  setsockopt(socket.fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
}

}  // namespace weft::tcp
