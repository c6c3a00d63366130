// Runs the weft command as a user does, and collects what it says.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace weft::testing_support {

struct ProgramResult {
  int exit_status = -1;  // 128 + the signal that killed it
  std::string output, errors;
};

class Program {
 public:
  // Starts `weft ARGUMENTS` in an environment without any launcher's variables, plus `environment`.
  explicit Program(const std::vector<std::string>& arguments,
                   const std::map<std::string, std::string>& environment = {});
  ~Program();  // kills it if it still runs
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t pid() const { return pid_; }
  // Processes that it has started and that still run.
  std::vector<pid_t> children() const;
  // Everything on stdout so far.
  const std::string& output_so_far();
  void signal(int number) const;
  ProgramResult wait();

 private:
  void read_some(int timeout_ms);

  pid_t pid_ = -1;
  int output_ = -1;
  int errors_ = -1;
  ProgramResult result_;
};

ProgramResult run_program(const std::vector<std::string>& arguments,
                          const std::map<std::string, std::string>& environment = {});

// Waits up to 30 seconds until none of them runs.
bool all_gone(const std::vector<pid_t>& processes);

}  // namespace weft::testing_support
