// Starts one process per rank, lets them meet, and never waits for ever: a rank that dies, says that it
// failed, or is silent for too long ends all of them, and the result says which rank it was and what it did
// last.
//
// Each rank has one socket to the launcher, as file descriptor kControlFd, and speaks lines:
//   share TEXT           (rank 0) the launcher sends the line to every rank
//   barrier NUMBER WHAT  answered with "go NUMBER" when all living ranks have said it
//   done                 the rank's work is finished; it may take kExitGrace to exit
//   error TEXT           the rank failed
//   anything else        handed to the caller as a report
// One thread. The launcher owns the processes; they also die with it (PR_SET_PDEATHSIG).
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "weft/status.h"

namespace weft::gputest {

inline constexpr int kControlFd = 3;
inline constexpr std::chrono::seconds kExitGrace{20};

struct RankCommand {
  std::vector<std::string> arguments;    // the program first, as a path
  std::vector<std::string> environment;  // NAME=value; replaces the launcher's own environment
  std::string output_file;               // receives standard output and error
  bool may_die = false;                  // its end without "done" is part of the test
};

struct LaunchLimits {
  std::chrono::milliseconds silence{60'000};  // no rank says anything for so long: they hang
  std::chrono::milliseconds total{600'000};
};

// `rank` reported `line`. Must not block.
using ReportHandler = std::function<void(int rank, const std::string& line)>;

// Returns when every rank has exited or been killed. OK if all ranks said "done" and exited with 0.
Status launch(const std::vector<RankCommand>& commands, const LaunchLimits& limits,
              const ReportHandler& report);

// The rank's end of the socket. Errors end the process: without its launcher a rank has no purpose.
class ControlChannel {
 public:
  explicit ControlChannel(int fd) : fd_(fd) {}
  void send(const std::string& line) const;
  std::string receive();
  // Rank 0's text on every rank.
  std::string share(int rank, const std::string& text);
  // `what` comes next, for the words of an error.
  void barrier(const std::string& what);

 private:
  int fd_;
  int barriers_ = 0;
  std::string buffered_;
};

}  // namespace weft::gputest
