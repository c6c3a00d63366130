// The report of -J: refused before anything runs if it cannot be written, and not lost whatever happens
// later.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/bench/run_program.h"

namespace weft {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing_support::Program;
using testing_support::run_program;
using Words = std::vector<std::string>;

constexpr char kNowhere[] = "/no/such/folder/x.json";

std::string temporary_file(const std::string& name) {
  return testing::TempDir() + "weft_" + std::to_string(::getpid()) + "_" + name;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Report, ThatCannotBeOpenedStopsTheRunBeforeItsFirstRow) {
  for (const Words& ranks : {Words{}, Words{"--ranks", "2"}}) {
    Words words{"perf", "sendrecv", "-b", "8", "-e", "8", "-J", kNowhere};
    words.insert(words.end(), ranks.begin(), ranks.end());
    const auto result = run_program(words);
    EXPECT_EQ(result.exit_status, 2);
    EXPECT_EQ(result.output, "");
    EXPECT_THAT(result.errors, AllOf(HasSubstr(kNowhere), HasSubstr("No such file or directory"),
                                     Not(HasSubstr("Success")), Not(HasSubstr("[rank "))));
  }
}

TEST(Report, ThatRankZeroCannotOpenEndsAllRanksOfALauncher) {
  const Words words{"perf", "sendrecv", "-b", "8", "-e", "8", "-J", kNowhere};
  std::map<std::string, std::string> variables{{"WORLD_SIZE", "2"},
                                               {"MASTER_ADDR", "127.0.0.1"},
                                               {"MASTER_PORT", std::to_string(22000 + ::getpid() % 8000)},
                                               {"RANK", "1"}};
  Program one(words, variables);
  variables["RANK"] = "0";
  Program zero(words, variables);
  for (Program* program : {&zero, &one}) {
    const auto result = program->wait();
    EXPECT_EQ(result.exit_status, 2);
    EXPECT_EQ(result.output, "");
    EXPECT_THAT(result.errors, AllOf(HasSubstr(kNowhere), HasSubstr("No such file or directory")));
  }
}

TEST(Report, ReplacesALongerOneButOnlyWhenThereIsANewOne) {
  const std::string path = temporary_file("report.json");
  const std::string old(100000, 'x');
  std::ofstream(path) << old;
  // The port is refused after the report was opened.
  EXPECT_EQ(run_program({"perf", "sendrecv", "-J", path}, {{"WORLD_SIZE", "2"},
                                                           {"RANK", "0"},
                                                           {"MASTER_ADDR", "no-such-host.invalid"},
                                                           {"MASTER_PORT", "29999"}})
                .exit_status,
            2);
  EXPECT_EQ(text_of(path), old);
  EXPECT_EQ(run_program({"perf", "sendrecv", "-b", "8", "-e", "8", "-J", path}).exit_status, 0);
  const auto json = nlohmann::json::parse(text_of(path), nullptr, false);
  ASSERT_FALSE(json.is_discarded());
  EXPECT_TRUE(json["error"].is_null());
  EXPECT_EQ(json["results"].size(), 1u);
  ::unlink(path.c_str());
}

TEST(Report, ThatFindsTheDiskFullStandsOnStdout) {
  const auto result = run_program({"perf", "sendrecv", "-b", "8", "-e", "8", "-J", "/dev/full"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.errors, AllOf(HasSubstr("/dev/full"), HasSubstr("No space left on device")));
  const auto json =
      nlohmann::json::parse(result.output.substr(result.output.find("\n{") + 1), nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << result.output;
  EXPECT_EQ(json["results"].size(), 1u);
}

TEST(Report, OfARunThatFailsHasTheRowsBeforeAndTheReason) {
  const std::string path = temporary_file("failed.json");
  Program program({"perf", "all_reduce", "--ranks", "2", "-b", "8", "-e", "8M", "-f", "1048576", "-n", "1000",
                   "-J", path});
  while (program.output_so_far().find("8388608       2097152") == std::string::npos) {
  }
  const auto ranks = program.children();
  ASSERT_EQ(ranks.size(), 2u);
  ::kill(ranks[1], SIGKILL);
  EXPECT_EQ(program.wait().exit_status, 1);
  const auto json = nlohmann::json::parse(text_of(path), nullptr, false);
  ASSERT_FALSE(json.is_discarded());
  ASSERT_EQ(json["results"].size(), 1u);
  EXPECT_EQ(json["results"][0]["size"], 8);
  ASSERT_TRUE(json["error"].is_string());
  EXPECT_THAT(json["error"].get<std::string>(), HasSubstr("rank 1"));
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace weft
