// What could not begin ends with 2, a run that went wrong with 1 (bench/exit_status.h), and the reason is
// said once.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <map>

#include "tests/bench/run_program.h"

namespace weft {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing_support::Program;
using testing_support::run_program;
using Words = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

std::size_t count(const std::string& text, const std::string& word) {
  std::size_t found = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++found;
  return found;
}

// Sockets on the loopback that hold `ports` ports in a row, as far as nobody else holds them already.
class PortRange {
 public:
  explicit PortRange(int ports) {
    for (int i = 0; i < ports; ++i) {
      const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(static_cast<std::uint16_t>(first_ + i));
      (void)::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address);
      (void)::listen(socket, 16);
      sockets_.push_back(socket);
    }
  }
  ~PortRange() {
    for (const int socket : sockets_) ::close(socket);
  }
  std::string first() const { return std::to_string(first_); }

 private:
  // Below the ports that the kernel gives away; another for each process that runs this at the same time.
  int first_ = 10000 + ::getpid() % 500 * 20;
  std::vector<int> sockets_;
};

Variables place(int rank, int size, const std::string& port) {
  return {{"RANK", std::to_string(rank)},
          {"WORLD_SIZE", std::to_string(size)},
          {"MASTER_ADDR", "127.0.0.1"},
          {"MASTER_PORT", port}};
}

struct BadVariable {
  const char* name;
  const char* value;
  const char* words;  // of the message
};

class ExitStatus : public ::testing::TestWithParam<BadVariable> {};

TEST_P(ExitStatus, OfABadConfigurationIsTwoAndItIsSaidOnce) {
  const Words commands[] = {
      {"perf", "all_reduce", "--ranks", "3"}, {"perf", "pingpong", "--ranks", "2"}, {"demo"}};
  for (const Words& command : commands) {
    const auto result = run_program(command, {{GetParam().name, GetParam().value}});
    EXPECT_EQ(result.exit_status, 2) << result.errors;
    EXPECT_EQ(count(result.errors, GetParam().words), 1u) << result.errors;
    EXPECT_THAT(result.errors, Not(HasSubstr("[rank ")));
    EXPECT_EQ(result.output, "");
  }
}

INSTANTIATE_TEST_SUITE_P(Table, ExitStatus,
                         ::testing::Values(BadVariable{"WEFT_MAX_PATHS", "900", "WEFT_MAX_PATHS=\"900\""},
                                           BadVariable{"WEFT_MAX_PATH", "4", "did you mean WEFT_MAX_PATHS"},
                                           BadVariable{"WEFT_IF", "=nosuch0", "=nosuch0"},
                                           BadVariable{"WEFT_SECRET", "", "WEFT_SECRET is set but empty"}));

TEST(ExitStatusOfAJob, ThatPingpongCannotUseIsTwo) {
  const auto local = run_program({"perf", "pingpong", "--ranks", "3"});
  EXPECT_EQ(local.exit_status, 2);
  EXPECT_EQ(count(local.errors, "--ranks 2"), 1u) << local.errors;
  const auto joined = run_program({"perf", "pingpong"}, place(1, 3, "29999"));
  EXPECT_EQ(joined.exit_status, 2);
  EXPECT_THAT(joined.errors, HasSubstr("3"));
}

TEST(ExitStatusOfAJob, WithoutAFreePortIsTwo) {
  const PortRange taken(16);
  const auto result = run_program({"perf", "all_reduce"}, place(0, 2, taken.first()));
  EXPECT_EQ(result.exit_status, 2) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr("MASTER_PORT"));
}

TEST(ExitStatusOfAJob, AtAHostThatNobodyKnowsIsTwo) {
  auto variables = place(0, 2, "29998");
  variables["MASTER_ADDR"] = "no-such-host.invalid";
  const auto result = run_program({"perf", "all_reduce"}, variables);
  EXPECT_EQ(result.exit_status, 2) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr("no-such-host.invalid"));
}

TEST(ExitStatusOfAJob, WhoseOtherRankNeverComesIsTwo) {
  for (const int rank : {0, 1}) {
    auto variables = place(rank, 2, PortRange(0).first());
    variables["WEFT_BOOTSTRAP_TIMEOUT_MS"] = "200";
    const auto result = run_program({"perf", "all_reduce"}, variables);
    EXPECT_EQ(result.exit_status, 2) << result.errors;
    EXPECT_THAT(result.errors, HasSubstr("200 ms"));
  }
}

// Rank 0 waits for the right one; the wrong one is told at once.
TEST(ExitStatusOfAJob, WithAnotherSecretOrSizeIsTwo) {
  const std::string port = PortRange(0).first();
  auto variables = place(0, 2, port);
  variables["WEFT_SECRET"] = "the right one";
  Program zero({"perf", "all_reduce"}, variables);
  variables["RANK"] = "1";
  variables["WEFT_SECRET"] = "a wrong one";
  const auto secret = run_program({"perf", "all_reduce"}, variables);
  EXPECT_EQ(secret.exit_status, 2) << secret.errors;
  EXPECT_THAT(secret.errors, HasSubstr("WEFT_SECRET"));
  variables["WEFT_SECRET"] = "the right one";
  variables["WORLD_SIZE"] = "3";
  const auto size = run_program({"perf", "all_reduce"}, variables);
  EXPECT_EQ(size.exit_status, 2) << size.errors;
}

TEST(ExitStatusOfARun, ThatWentWrongIsOne) {
  Program program({"perf", "all_reduce", "--ranks", "2", "-b", "4M", "-e", "4M", "-n", "1000000"});
  while (program.output_so_far().find("4194304") == std::string::npos) {
  }
  const auto ranks = program.children();
  ASSERT_EQ(ranks.size(), 2u);
  ::kill(ranks[1], SIGKILL);
  EXPECT_EQ(program.wait().exit_status, 1);
}

}  // namespace
}  // namespace weft
