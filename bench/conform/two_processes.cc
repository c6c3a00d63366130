#include "bench/conform/two_processes.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <string>

#include "bench/conform/blackbox.h"

namespace weft::bench::conform {
namespace {

constexpr int kSideFailed = 17;
constexpr int kSideSkipped = 18;

// What the second process has to say travels as raw text over a pipe of its own and ends with its exit.
[[noreturn]] void run_second(const CheckContext& context, const Side& second, int channel_fd, int report_fd) {
  Blackbox::after_fork();
  SideChannel channel(channel_fd, context.patience);
  auto report = [&](const char* text, int status) {
    [[maybe_unused]] const ssize_t written = write(report_fd, text, std::strlen(text));
    _exit(status);
  };
  try {
    second(channel);
  } catch (const Skip& skip) {
    report(skip.what(), kSideSkipped);
  } catch (const std::exception& error) {
    report(error.what(), kSideFailed);
  }
  _exit(0);
}

std::string read_all(int fd) {
  std::string text;
  char part[512];
  for (ssize_t n; (n = read(fd, part, sizeof(part))) > 0;) text.append(part, n);
  return text;
}

// Waits for the child for at most `limit`; -1 when it is still running.
int wait_for(pid_t child, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child) return status;
    if (std::chrono::steady_clock::now() > end) return -1;
    usleep(1000);
  }
}

}  // namespace

void SideChannel::send(const void* data, size_t bytes) {
  const ssize_t sent = ::send(fd_, data, bytes, MSG_NOSIGNAL);
  require(sent == static_cast<ssize_t>(bytes), "the other process has ended");
}

void SideChannel::receive(void* data, size_t bytes) {
  pollfd waiting{fd_, POLLIN, 0};
  // Twice: the other end may be in a wait of its own that ends with the better message.
  const int ready = poll(&waiting, 1, static_cast<int>(2 * patience_.count()));
  require(ready > 0, "the other process did not get as far as this one");
  const ssize_t got = recv(fd_, data, bytes, 0);
  require(got == static_cast<ssize_t>(bytes), "the other process has ended");
}

void SideChannel::barrier() {
  char token = 'b';
  send(&token, 1);
  receive(&token, 1);
}

void run_two_processes(CheckContext& context, const Side& first, const Side& second, bool second_may_die) {
  int channel[2];
  int report[2];
  require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) == 0 && pipe(report) == 0,
          "no sockets for a second process");
  const pid_t child = fork();
  require(child >= 0, "fork failed");
  if (child == 0) {
    ::close(channel[0]);
    ::close(report[0]);
    run_second(context, second, channel[1], report[1]);
  }
  ::close(channel[1]);
  ::close(report[1]);
  std::string failure;
  try {
    SideChannel side(channel[0], context.patience);
    first(side);
  } catch (const Failure& error) {
    failure = std::string("first process: ") + error.what();
  }
  // After a failure here the other end has little reason to finish.
  const int status = wait_for(child, failure.empty() ? 3 * context.patience : context.patience / 4);
  if (status == -1) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    if (failure.empty()) failure = "second process: it did not end after the first had";
  } else if (WIFEXITED(status) && WEXITSTATUS(status) == kSideSkipped) {
    throw Skip(read_all(report[0]));
  } else if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
    failure += (failure.empty() ? "" : "; ") + ("second process: " + read_all(report[0]));
  } else if (WIFSIGNALED(status) && !second_may_die) {
    failure += (failure.empty() ? "" : "; ") + fmt::format("second process: ended by signal {} ({})",
                                                           WTERMSIG(status), strsignal(WTERMSIG(status)));
  }
  ::close(report[0]);
  ::close(channel[0]);
  if (!failure.empty()) throw Failure(failure);
}

void* accept_from_peer(const Session& session, SideChannel& channel, int device) {
  Listener listener = listen(session, device);
  channel.send(listener.handle.data(), listener.handle.size());
  void* comm = nullptr;
  Patience patience = session.patience();
  while (!comm) {
    poll_accept(session, listener, comm);
    patience.wait([] { return "accept (the other process connects)"; });
  }
  close_listen(session, listener);
  return comm;
}

void* connect_to_peer(const Session& session, SideChannel& channel, int device) {
  Handle handle;
  channel.receive(handle.data(), handle.size());
  void* comm = nullptr;
  Patience patience = session.patience();
  while (!comm) {
    poll_connect(session, device, handle, comm);
    patience.wait([] { return "connect (the other process accepts)"; });
  }
  return comm;
}

}  // namespace weft::bench::conform
