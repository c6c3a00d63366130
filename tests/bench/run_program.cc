#include "tests/bench/run_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

extern char** environ;

namespace weft::testing_support {
namespace {

// What a launcher, or the shell that runs the tests, may have set.
bool is_foreign(const std::string& variable) {
  for (const char* prefix : {"RANK=", "WORLD_SIZE=", "MASTER_", "LOCAL_RANK=", "OMPI_", "PMI", "SLURM_",
                             "TORCHELASTIC_", "WEFT_", "MPI_"}) {
    if (variable.rfind(prefix, 0) == 0) return true;
  }
  return false;
}

}  // namespace

Program::Program(const std::vector<std::string>& arguments,
                 const std::map<std::string, std::string>& environment) {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!is_foreign(*entry)) variables.emplace_back(*entry);
  }
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  std::vector<std::string> words{WEFT_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const auto pointers = [](std::vector<std::string>& strings) {
    std::vector<char*> list;
    for (std::string& string : strings) list.push_back(string.data());
    list.push_back(nullptr);
    return list;
  };
  auto argument_list = pointers(words);
  auto variable_list = pointers(variables);
  std::array<int, 2> out{};
  std::array<int, 2> err{};
  if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0) std::abort();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(err[1], STDERR_FILENO);
    ::execve(WEFT_PROGRAM, argument_list.data(), variable_list.data());
    ::_exit(127);
  }
  ::close(out[1]);
  ::close(err[1]);
  output_ = out[0];
  errors_ = err[0];
}

Program::~Program() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  if (output_ >= 0) ::close(output_);
  if (errors_ >= 0) ::close(errors_);
}

std::vector<pid_t> Program::children() const {
  const std::string id = std::to_string(pid_);
  std::ifstream file("/proc/" + id + "/task/" + id + "/children");
  std::vector<pid_t> children;
  for (pid_t child = 0; file >> child;) children.push_back(child);
  return children;
}

void Program::read_some(int timeout_ms) {
  std::array<pollfd, 2> polled{
      {{.fd = output_, .events = POLLIN, .revents = 0}, {.fd = errors_, .events = POLLIN, .revents = 0}}};
  if (::poll(polled.data(), polled.size(), timeout_ms) <= 0) return;
  std::array<char, 65536> buffer;
  for (std::size_t i = 0; i < polled.size(); ++i) {
    if (polled[i].revents == 0) continue;
    int& descriptor = i == 0 ? output_ : errors_;
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got > 0) {
      (i == 0 ? result_.output : result_.errors).append(buffer.data(), static_cast<std::size_t>(got));
    } else {
      ::close(descriptor);
      descriptor = -1;
    }
  }
}

const std::string& Program::output_so_far() {
  read_some(10);
  return result_.output;
}

void Program::signal(int number) const {
  ::kill(pid_, number);
}

ProgramResult Program::wait() {
  while (output_ >= 0 || errors_ >= 0) read_some(-1);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  result_.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result_;
}

ProgramResult run_program(const std::vector<std::string>& arguments,
                          const std::map<std::string, std::string>& environment) {
  return Program(arguments, environment).wait();
}

bool all_gone(const std::vector<pid_t>& processes) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (const pid_t process : processes) {
    for (;;) {
      std::ifstream file("/proc/" + std::to_string(process) + "/stat");
      std::string line;
      // A zombie whose parent is gone is reaped by init in its own time.
      if (!std::getline(file, line) || line.find(") Z ") != std::string::npos) break;
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  return true;
}

}  // namespace weft::testing_support
