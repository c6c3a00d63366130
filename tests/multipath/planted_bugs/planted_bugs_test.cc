// Every bug of planted_bug.h, built into the core, must be caught by the simulator within the seeds that CI
// runs: the faulty program ends with the exit status that says "a promise was broken", and no other.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

constexpr int kBroken = 3;  // tests/sim/seeds_main.cc
constexpr int kLastBug = WEFT_LAST_PLANTED_BUG;

class PlantedBug : public testing::TestWithParam<int> {};

TEST_P(PlantedBug, IsCaught) {
  std::string command = std::string(WEFT_PLANTED_BUG_FOLDER) + "/planted_bug_" + std::to_string(GetParam()) +
                        " --jobs 1 --count " WEFT_SIM_SEEDS " 2>&1";
  std::FILE* program = popen(command.c_str(), "r");
  ASSERT_NE(program, nullptr);
  std::string words;
  char line[512];
  while (std::fgets(line, sizeof line, program) != nullptr) words += line;
  int status = pclose(program);
  ASSERT_TRUE(WIFEXITED(status)) << words;
  EXPECT_EQ(WEXITSTATUS(status), kBroken) << "no seed noticed this bug\n" << words;
  std::printf("bug %d: %s\n", GetParam(), words.substr(0, words.find('\n')).c_str());
}

INSTANTIATE_TEST_SUITE_P(All, PlantedBug, testing::Range(1, kLastBug + 1));

}  // namespace
