#include "transport/tcp/socket.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

namespace weft::tcp {

Socket Socket::stream(int address_family) {
  return Socket(process::OwnDescriptor::from(
      [&] { return ::socket(address_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }));
}

Socket Socket::accept(const Socket& listening, sockaddr* from, socklen_t* from_bytes) {
  return Socket(process::OwnDescriptor::from(
      [&] { return accept4(listening.fd(), from, from_bytes, SOCK_NONBLOCK | SOCK_CLOEXEC); }));
}

Socket Socket::epoll() {
  return Socket(process::OwnDescriptor::from([] { return epoll_create1(EPOLL_CLOEXEC); }));
}

void Socket::reset() {
  if (!descriptor_.is_ours()) return;
  linger none{1, 0};
  setsockopt(fd(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close();
}

bool is_want_of_descriptors(int error) {
  return error == EMFILE || error == ENFILE;
}

std::string explain_socket_error(int error) {
  std::string text = std::strerror(error);
  if (error == EMFILE) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    text += " (RLIMIT_NOFILE is " + std::to_string(limit.rlim_cur) +
            " here; each path takes a socket. Raise it with ulimit -n, or lower WEFT_MAX_PATHS)";
  } else if (error == ENFILE) {
    text += " (the machine's limit; raise the sysctl fs.file-max)";
  }
  return text;
}

void set_path_options(const Socket& socket, std::chrono::milliseconds timeout) {
  int on = 1;
  setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto milliseconds = static_cast<unsigned>(timeout.count());
  setsockopt(socket.fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
}

}  // namespace weft::tcp
