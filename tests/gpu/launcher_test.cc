// The launcher with shell scripts as ranks: they meet, and whatever one of them does, nobody is left behind.
#include "tests/gpu/launcher.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <map>

namespace weft::gputest {
namespace {

struct Outcome {
  Status status;
  std::map<int, std::vector<std::string>> reports;
};

RankCommand shell(const std::string& script) {
  RankCommand command;
  command.arguments = {"/bin/bash", "-c", script};
  command.environment = {"PATH=/usr/bin:/bin"};
  return command;
}

Outcome run(const std::vector<RankCommand>& commands, LaunchLimits limits = {}) {
  Outcome outcome;
  outcome.status = launch(commands, limits,
                          [&](int rank, const std::string& line) { outcome.reports[rank].push_back(line); });
  return outcome;
}

const std::string kDone = "echo done >&3; ";

// Every rank reports its process id as its first word, so that the test can see that it is gone.
const std::string kPid = "echo pid $$ >&3; ";

bool alive(const Outcome& outcome, int rank) {
  const std::string line = outcome.reports.at(rank).front();
  return ::kill(std::stoi(line.substr(4)), 0) == 0;
}

TEST(Launcher, RanksShareAndMeet) {
  const std::string rest =
      "read -u 3 line; echo got $line >&3; echo barrier 0 >&3; read -u 3 go; echo $go >&3; " + kDone;
  const Outcome outcome = run({shell("echo share 00ff >&3; " + rest), shell(rest), shell(rest)});
  ASSERT_TRUE(outcome.status.is_ok()) << outcome.status.message();
  for (int rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(outcome.reports.at(rank), (std::vector<std::string>{"got share 00ff", "go 0"}));
  }
}

TEST(Launcher, BarrierWaitsForTheLast) {
  // Rank 1 leaves a mark before it arrives; rank 0 must find it after the barrier.
  char mark[] = "/tmp/weft-launcher-XXXXXX";
  ::close(::mkstemp(mark));
  const std::string file = mark;
  const std::string wait = "echo barrier 0 >&3; read -u 3 go; ";
  const Outcome outcome = run({shell(wait + "cat " + file + " >&3; " + kDone),
                               shell("sleep 0.3; echo mark > " + file + "; " + wait + kDone)});
  ::unlink(mark);
  ASSERT_TRUE(outcome.status.is_ok()) << outcome.status.message();
  EXPECT_EQ(outcome.reports.at(0), std::vector<std::string>{"mark"});
}

TEST(Launcher, HungRankIsKilledAndNamed) {
  LaunchLimits limits;
  limits.silence = std::chrono::milliseconds(700);
  const Outcome outcome =
      run({shell(kPid + "echo barrier 7 all_reduce of 8 bytes >&3; read -u 3 go; " + kDone),
           shell(kPid + "echo working on it >&3; exec sleep 1000")},
          limits);
  ASSERT_FALSE(outcome.status.is_ok());
  EXPECT_NE(outcome.status.message().find("rank 0; it last said: barrier 7 all_reduce of 8 bytes"),
            std::string::npos)
      << outcome.status.message();
  EXPECT_NE(outcome.status.message().find("rank 1; it last said: working on it"), std::string::npos);
  EXPECT_FALSE(alive(outcome, 0));
  EXPECT_FALSE(alive(outcome, 1));
}

TEST(Launcher, ChattyRankDoesNotOutliveTheTotal) {
  LaunchLimits limits;
  limits.total = std::chrono::milliseconds(700);
  const Outcome outcome = run({shell(kPid + "while :; do echo again >&3; sleep 0.05; done")}, limits);
  ASSERT_FALSE(outcome.status.is_ok());
  EXPECT_NE(outcome.status.message().find("did not finish"), std::string::npos);
  EXPECT_FALSE(alive(outcome, 0));
}

TEST(Launcher, DeathOfOneEndsAll) {
  const Outcome outcome = run(
      {shell(kPid + "echo barrier 0 >&3; read -u 3 go; " + kDone), shell(kPid + "sleep 0.2; kill -SEGV $$")});
  ASSERT_FALSE(outcome.status.is_ok());
  EXPECT_NE(outcome.status.message().find("Rank 1 was killed by signal 11"), std::string::npos)
      << outcome.status.message();
  EXPECT_FALSE(alive(outcome, 0));
}

TEST(Launcher, ErrorAndLastOutputAreHandedOn) {
  char output[] = "/tmp/weft-launcher-XXXXXX";
  ::close(::mkstemp(output));
  RankCommand failing = shell("echo the reason >&2; echo error cudaMalloc: out of memory >&3; sleep 1000");
  failing.output_file = output;
  const Outcome outcome = run({failing, shell(kPid + "sleep 1000")});
  ::unlink(output);
  ASSERT_FALSE(outcome.status.is_ok());
  EXPECT_NE(outcome.status.message().find("Rank 0: cudaMalloc: out of memory"), std::string::npos);
  EXPECT_NE(outcome.status.message().find("the reason"), std::string::npos) << outcome.status.message();
}

TEST(Launcher, ExpectedDeathLetsTheOthersGoOn) {
  RankCommand dying = shell("echo barrier 0 >&3; read -u 3 go; kill -KILL $$");
  dying.may_die = true;
  const Outcome outcome =
      run({shell("echo barrier 0 >&3; read -u 3 go; sleep 0.3; echo survived >&3; " + kDone), dying});
  ASSERT_TRUE(outcome.status.is_ok()) << outcome.status.message();
  EXPECT_EQ(outcome.reports.at(0), std::vector<std::string>{"survived"});
}

TEST(Launcher, BadExitAfterDoneFails) {
  const Outcome outcome = run({shell(kDone + "exit 3")});
  ASSERT_FALSE(outcome.status.is_ok());
  EXPECT_NE(outcome.status.message().find("exited with status 3"), std::string::npos)
      << outcome.status.message();
}

TEST(Launcher, MissingProgramFails) {
  RankCommand command;
  command.arguments = {"/nonexistent/program"};
  EXPECT_FALSE(run({command}).status.is_ok());
}

TEST(Launcher, RanksDieWithTheLauncher) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t launcher = ::fork();
  if (launcher == 0) {
    const Status never_seen =
        launch({shell(kPid + "exec sleep 1000")}, {}, [&](int, const std::string& line) {
          [[maybe_unused]] const ssize_t n = ::write(ends[1], line.data(), line.size());
          ::kill(::getpid(), SIGKILL);
        });
    ::_exit(never_seen.is_ok() ? 0 : 1);
  }
  char line[64] = {};
  ASSERT_GT(::read(ends[0], line, sizeof line - 1), 4);
  const pid_t rank = std::stoi(std::string(line).substr(4));
  for (int i = 0; i < 500 && ::kill(rank, 0) == 0; ++i) {
    // In a container whose first process never reaps, the dead rank stays as a zombie.
    std::ifstream stat("/proc/" + std::to_string(rank) + "/stat");
    std::string pid, name, state;
    if (stat >> pid >> name >> state && state == "Z") break;
    ::usleep(10'000);
    ASSERT_LT(i, 499) << "the rank outlived its launcher";
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace weft::gputest
