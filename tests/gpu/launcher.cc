#include "tests/gpu/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <string_view>

namespace weft::gputest {
namespace {

using Clock = std::chrono::steady_clock;

bool write_line(int fd, const std::string& line) {
  const std::string text = line + "\n";
  for (std::size_t written = 0; written < text.size();) {
    const ssize_t n = ::send(fd, text.data() + written, text.size() - written, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    written += static_cast<std::size_t>(n);
  }
  return true;
}

// Takes one line off the front of `buffer`; false if there is no whole one.
bool take_line(std::string& buffer, std::string& line) {
  const std::size_t end = buffer.find('\n');
  if (end == std::string::npos) return false;
  line = buffer.substr(0, end);
  buffer.erase(0, end + 1);
  return true;
}

// The last lines a rank printed, indented, for the words of an error.
std::string last_output(const std::string& path) {
  constexpr std::streamoff kMost = 2000;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = file ? static_cast<std::streamoff>(file.tellg()) : 0;
  if (size <= 0) return {};
  std::string text(static_cast<std::size_t>(std::min(size, kMost)), '\0');
  file.seekg(size - static_cast<std::streamoff>(text.size()));
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 3)
    text.replace(at, 1, "\n  ");
  return "\n  it printed (" + path + "):\n  " + text;
}

std::string describe_exit(int status) {
  if (WIFSIGNALED(status)) {
    return "was killed by signal " + std::to_string(WTERMSIG(status)) + " (" + strsignal(WTERMSIG(status)) +
           ")";
  }
  return "exited with status " + std::to_string(WEXITSTATUS(status));
}

class RankProcess {
 public:
  explicit RankProcess(RankCommand command) : command_(std::move(command)) {}
  RankProcess(const RankProcess&) = delete;
  RankProcess& operator=(const RankProcess&) = delete;
  ~RankProcess() {
    kill();
    if (fd_ >= 0) ::close(fd_);
  }

  Status start();
  // Reads what has come; false at the end of the stream.
  bool read_more();
  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      reap(0);
    }
  }
  // True once the process has gone. `options` as for waitpid.
  bool reap(int options) {
    if (pid_ <= 0) return true;
    const pid_t result = ::waitpid(pid_, &exit_status_, options);
    if (result == 0 || (result < 0 && errno == EINTR)) return false;
    pid_ = -1;
    return true;
  }
  void close_channel() {
    ::close(fd_);
    fd_ = -1;
  }

  const RankCommand& command() const { return command_; }
  int fd() const { return fd_; }
  int exit_status() const { return exit_status_; }

  std::string input;                  // bytes not yet taken as lines
  std::string last_line = "nothing";  // what it said last
  std::string waiting_for;            // NUMBER of the barrier it stands at
  bool done = false;
  bool lost = false;  // gone without "done", as its command allows

 private:
  RankCommand command_;
  pid_t pid_ = -1;
  int fd_ = -1;
  int exit_status_ = 0;
};

Status RankProcess::start() {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    return Status(StatusCode::kInternal, std::string("socketpair failed: ") + std::strerror(errno));
  }
  fd_ = sockets[0];
  // Everything the child needs is made before fork: libraries may have threads, so the child may only make
  // system calls.
  std::vector<char*> arguments, environment;
  for (const std::string& text : command_.arguments) arguments.push_back(const_cast<char*>(text.c_str()));
  for (const std::string& text : command_.environment) environment.push_back(const_cast<char*>(text.c_str()));
  arguments.push_back(nullptr);
  environment.push_back(nullptr);
  const char* output = command_.output_file.empty() ? "/dev/null" : command_.output_file.c_str();
  const pid_t parent = ::getpid();

  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    const int out = ::open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (out >= 0) {
      ::dup2(out, STDOUT_FILENO);
      ::dup2(out, STDERR_FILENO);
    }
    if (sockets[1] == kControlFd) {
      ::fcntl(kControlFd, F_SETFD, 0);
    } else {
      ::dup2(sockets[1], kControlFd);
    }
    ::execve(arguments[0], arguments.data(), environment.data());
    ::_exit(127);
  }
  const int error = errno;
  ::close(sockets[1]);
  if (pid_ < 0) return Status(StatusCode::kInternal, std::string("fork failed: ") + std::strerror(error));
  return Status::ok();
}

bool RankProcess::read_more() {
  char bytes[4096];
  const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) return false;
  input.append(bytes, static_cast<std::size_t>(n));
  return true;
}

class Launch {
 public:
  Launch(const std::vector<RankCommand>& commands, const LaunchLimits& limits, const ReportHandler& report)
      : limits_(limits), report_(report) {
    for (const RankCommand& command : commands) ranks_.push_back(std::make_unique<RankProcess>(command));
  }

  Status run() {
    for (const auto& rank : ranks_) {
      Status started = rank->start();
      if (!started) return started;
    }
    const Clock::time_point start = Clock::now();
    last_word_ = start;
    while (problem_.empty() && !finished()) {
      step();
      if (problem_.empty() && Clock::now() - last_word_ > limits_.silence)
        stop_for_time("No rank said anything", limits_.silence);
      if (problem_.empty() && Clock::now() - start > limits_.total)
        stop_for_time("The ranks did not finish", limits_.total);
    }
    if (problem_.empty()) wait_for_exits();
    for (const auto& rank : ranks_) rank->kill();
    return problem_.empty() ? Status::ok() : Status(StatusCode::kInternal, problem_);
  }

 private:
  bool finished() const {
    return std::all_of(ranks_.begin(), ranks_.end(),
                       [](const auto& rank) { return rank->done || rank->lost; });
  }

  void step() {
    std::vector<pollfd> polled;
    std::vector<int> owners;
    for (std::size_t i = 0; i < ranks_.size(); ++i) {
      if (ranks_[i]->fd() < 0) continue;
      polled.push_back({ranks_[i]->fd(), POLLIN, 0});
      owners.push_back(static_cast<int>(i));
    }
    if (::poll(polled.data(), polled.size(), 50) <= 0) return;
    for (std::size_t i = 0; i < polled.size() && problem_.empty(); ++i) {
      if (polled[i].revents != 0) read_from(owners[i]);
    }
  }

  void read_from(int number) {
    RankProcess& rank = *ranks_[static_cast<std::size_t>(number)];
    const bool open = rank.read_more();
    std::string line;
    while (problem_.empty() && take_line(rank.input, line)) {
      last_word_ = Clock::now();
      rank.last_line = line;
      handle(number, line);
    }
    if (!open && problem_.empty()) handle_end(number);
  }

  void handle(int number, const std::string& line) {
    RankProcess& rank = *ranks_[static_cast<std::size_t>(number)];
    const std::string_view view = line;
    if (view == "done") {
      rank.done = true;
    } else if (view.substr(0, 6) == "error ") {
      problem_ =
          "Rank " + std::to_string(number) + ": " + line.substr(6) + last_output(rank.command().output_file);
    } else if (view.substr(0, 6) == "share ") {
      for (const auto& other : ranks_) write_line(other->fd(), line);
    } else if (view.substr(0, 8) == "barrier ") {
      rank.waiting_for = line.substr(8, line.find(' ', 8) - 8);
      open_barrier();
    } else {
      report_(number, line);
    }
  }

  void open_barrier() {
    const std::string& number = ranks_.front()->waiting_for;
    for (const auto& rank : ranks_) {
      if (!rank->lost && rank->waiting_for != number) return;
    }
    const std::string answer = "go " + number;
    for (const auto& rank : ranks_) {
      rank->waiting_for.clear();
      if (!rank->lost) write_line(rank->fd(), answer);
    }
  }

  void handle_end(int number) {
    RankProcess& rank = *ranks_[static_cast<std::size_t>(number)];
    rank.close_channel();
    if (rank.done) return;
    // The socket closes a moment before the process has gone; one that lives on without it is of no use
    // either.
    for (int wait_ms = 0; wait_ms < 2000 && !rank.reap(WNOHANG); wait_ms += 10) ::poll(nullptr, 0, 10);
    rank.kill();
    if (rank.command().may_die) {
      rank.lost = true;
      return;
    }
    problem_ = "Rank " + std::to_string(number) + " " + describe_exit(rank.exit_status()) +
               " before its work was done; it last said: " + rank.last_line +
               last_output(rank.command().output_file);
  }

  void stop_for_time(const char* what, std::chrono::milliseconds limit) {
    problem_ = std::string(what) + " within " + std::to_string(limit.count()) + " ms, so all were killed.";
    for (std::size_t i = 0; i < ranks_.size(); ++i) {
      problem_ += "\n  rank " + std::to_string(i) + (ranks_[i]->done ? " had finished" : "") +
                  "; it last said: " + ranks_[i]->last_line;
    }
  }

  void wait_for_exits() {
    const Clock::time_point deadline = Clock::now() + kExitGrace;
    for (std::size_t i = 0; i < ranks_.size(); ++i) {
      RankProcess& rank = *ranks_[i];
      while (!rank.reap(WNOHANG)) {
        if (Clock::now() > deadline) {
          problem_ = "Rank " + std::to_string(i) + " finished its work but did not exit within " +
                     std::to_string(kExitGrace.count()) + " s, so it was killed." +
                     last_output(rank.command().output_file);
          return;
        }
        ::poll(nullptr, 0, 10);
      }
      if (rank.exit_status() != 0 && !rank.lost) {
        problem_ = "Rank " + std::to_string(i) + " finished its work, then " +
                   describe_exit(rank.exit_status()) + "." + last_output(rank.command().output_file);
        return;
      }
    }
  }

  const LaunchLimits& limits_;
  const ReportHandler& report_;
  std::vector<std::unique_ptr<RankProcess>> ranks_;
  Clock::time_point last_word_;
  std::string problem_;
};

}  // namespace

Status launch(const std::vector<RankCommand>& commands, const LaunchLimits& limits,
              const ReportHandler& report) {
  return Launch(commands, limits, report).run();
}

void ControlChannel::send(const std::string& line) const {
  if (!write_line(fd_, line)) ::_exit(125);
}

std::string ControlChannel::receive() {
  std::string line;
  while (!take_line(buffered_, line)) {
    char bytes[4096];
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) ::_exit(125);
    buffered_.append(bytes, static_cast<std::size_t>(n));
  }
  return line;
}

std::string ControlChannel::share(int rank, const std::string& text) {
  if (rank == 0) send("share " + text);
  return receive().substr(6);
}

void ControlChannel::barrier(const std::string& what) {
  send("barrier " + std::to_string(barriers_++) + " " + what);
  receive();
}

}  // namespace weft::gputest
