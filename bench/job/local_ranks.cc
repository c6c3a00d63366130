#include "bench/job/local_ranks.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "bench/exit_status.h"

namespace weft::bench {
namespace {

using Clock = std::chrono::steady_clock;

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }
  int number() const { return number_; }

 private:
  int number_ = -1;
};

// One rank as its parent sees it.
struct Child {
  int rank = 0;
  pid_t pid = 0;
  bool running = false;
  Descriptor output;  // its stderr, and its stdout unless it is rank 0
  std::string line;   // what has come without its end
};

int refuse_for_call(const std::string& what) {
  return refuse(what + ": " + std::strerror(errno));
}

// A socket that listens on the loopback, and its port. Opened here and inherited by rank 0, so that no other
// process can take the port in between.
Descriptor listen_locally(std::uint16_t& port) {
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (::bind(socket.number(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::listen(socket.number(), 4096) != 0 ||
      ::getsockname(socket.number(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return {};
  }
  port = ntohs(address.sin_port);
  return socket;
}

std::string how_it_ended(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    return "was killed by signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
  }
  return "ended with exit status " + std::to_string(WEXITSTATUS(wait_status));
}

class LocalRanks {
 public:
  LocalRanks(const LocalRanksOptions& options, const std::function<int(const RankSetup&)>& body)
      : options_(options), body_(body) {}

  int run() {
    std::uint16_t port = 0;
    Descriptor listener = listen_locally(port);
    if (listener.number() < 0) return refuse_for_call("cannot listen on 127.0.0.1");
    block_signals();
    signals_ = Descriptor(::signalfd(-1, &blocked_, SFD_CLOEXEC | SFD_NONBLOCK));
    const pid_t parent = ::getpid();
    std::fflush(nullptr);
    for (int rank = 0; rank < options_.ranks; ++rank) {
      RankSetup setup;
      setup.place = {.rank = rank,
                     .size = options_.ranks,
                     .host = "127.0.0.1",
                     .port = port,
                     .job_id = "local " + std::to_string(parent),
                     .launcher = "weft --ranks"};
      if (rank == 0) setup.listen_socket = listener.number();
      if (!start(setup, parent)) {
        failure_ = refuse_for_call("cannot start rank " + std::to_string(rank));
        stop_all(SIGTERM);
        break;
      }
    }
    listener.close();
    while (!finished()) step();
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
    return failure_;
  }

 private:
  static constexpr int kStopTime_ms = 1000;

  // The parent takes signals through a descriptor, between other events.
  void block_signals() {
    sigemptyset(&blocked_);
    for (const int signal : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) sigaddset(&blocked_, signal);
    ::sigprocmask(SIG_BLOCK, &blocked_, &before_);
  }

  bool start(RankSetup setup, pid_t parent) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    Descriptor read_end(ends[0]);
    Descriptor write_end(ends[1]);
    const pid_t pid = ::fork();
    if (pid < 0) return false;
    if (pid == 0) become_rank(std::move(setup), parent, write_end.number());
    Child child;
    child.rank = setup.place.rank;
    child.pid = pid;
    child.running = true;
    child.output = std::move(read_end);
    ::fcntl(child.output.number(), F_SETFL, O_NONBLOCK);
    children_.push_back(std::move(child));
    return true;
  }

  [[noreturn]] void become_rank(RankSetup setup, pid_t parent, int output) {
    // A parent that is killed takes its ranks along; one that is gone already would not.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
    ::prctl(PR_SET_NAME, ("weft rank " + std::to_string(setup.place.rank)).c_str());
    if (setup.place.rank == 0 && ::isatty(STDERR_FILENO) != 0) setup.terminal = ::dup(STDERR_FILENO);
    ::dup2(output, STDERR_FILENO);
    if (setup.place.rank != 0) ::dup2(output, STDOUT_FILENO);
    children_.clear();
    std::exit(body_(setup));
  }

  bool finished() const {
    for (const Child& child : children_) {
      if (child.running || child.output.number() >= 0) return false;
    }
    return true;
  }

  void step() {
    std::vector<pollfd> polled{{.fd = signals_.number(), .events = POLLIN, .revents = 0}};
    for (const Child& child : children_)
      polled.push_back({.fd = child.output.number(), .events = POLLIN, .revents = 0});
    ::poll(polled.data(), polled.size(), time_to_deadline());
    take_signals();
    for (Child& child : children_) pass_on(child);
    reap();
    if (has_deadline_ && Clock::now() >= deadline_) {
      stop_all(stopping_ ? SIGKILL : SIGTERM);
    }
  }

  int time_to_deadline() const {
    if (!has_deadline_) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
    return left > 0 ? static_cast<int>(left) : 0;
  }

  void take_signals() {
    signalfd_siginfo info;
    while (::read(signals_.number(), &info, sizeof info) == sizeof info) {
      const int signal = static_cast<int>(info.ssi_signo);
      if (signal == SIGCHLD) continue;
      if (failure_ == 0) failure_ = 128 + signal;
      stop_all(SIGTERM);
    }
  }

  // Whole lines only, so that ranks do not write into each other's.
  void pass_on(Child& child) {
    std::array<char, 4096> buffer;
    while (child.output.number() >= 0) {
      const ssize_t got = ::read(child.output.number(), buffer.data(), buffer.size());
      if (got < 0) {
        if (errno == EINTR) continue;
        return;
      }
      child.line.append(buffer.data(), static_cast<std::size_t>(got));
      if (got == 0 && !child.line.empty()) child.line += '\n';
      for (std::size_t end; (end = child.line.find('\n')) != std::string::npos;
           child.line.erase(0, end + 1)) {
        const std::string line = "[rank " + std::to_string(child.rank) + "] " + child.line.substr(0, end + 1);
        std::fwrite(line.data(), 1, line.size(), stderr);
      }
      if (got == 0) child.output.close();
    }
  }

  void reap() {
    for (Child& child : children_) {
      int wait_status = 0;
      if (!child.running || ::waitpid(child.pid, &wait_status, WNOHANG) != child.pid) continue;
      child.running = false;
      const bool succeeded = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
      if (succeeded || stopping_) continue;
      pass_on(child);
      std::fprintf(stderr, "weft: rank %d (pid %d) %s\n", child.rank, static_cast<int>(child.pid),
                   how_it_ended(wait_status).c_str());
      if (failure_ != 0) continue;
      failure_ = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 1;
      set_deadline(options_.grace);
    }
  }

  void set_deadline(std::chrono::milliseconds time) {
    deadline_ = Clock::now() + time;
    has_deadline_ = true;
  }

  void stop_all(int signal) {
    std::string stopped;
    for (const Child& child : children_) {
      if (!child.running) continue;
      ::kill(child.pid, signal);
      stopped += (stopped.empty() ? "" : ", ") + std::to_string(child.rank);
    }
    if (!stopping_ && !stopped.empty())
      std::fprintf(stderr, "weft: stopped the other ranks: %s\n", stopped.c_str());
    stopping_ = true;
    set_deadline(std::chrono::milliseconds(kStopTime_ms));
  }

  const LocalRanksOptions& options_;
  const std::function<int(const RankSetup&)>& body_;
  sigset_t blocked_{}, before_{};
  Descriptor signals_;
  std::vector<Child> children_;
  int failure_ = 0;
  bool stopping_ = false;
  bool has_deadline_ = false;
  Clock::time_point deadline_;
};

}  // namespace

int run_local_ranks(const LocalRanksOptions& options, const std::function<int(const RankSetup&)>& body) {
  return LocalRanks(options, body).run();
}

}  // namespace weft::bench
