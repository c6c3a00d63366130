// weft sim: a row for each run, and an exit status that says whether the promises were kept.
#include "bench/sim/simulations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace weft::bench {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

struct Shown {
  int exit_status = -1;
  std::string output, errors;

  // First and last word of each row.
  std::vector<std::pair<std::string, std::string>> rows() const {
    std::vector<std::pair<std::string, std::string>> rows;
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);) {
      if (line.empty() || line.front() != ' ') continue;
      std::istringstream words(line);
      std::string first, last;
      words >> first;
      while (words >> last) {
      }
      rows.emplace_back(first, last);
    }
    return rows;
  }
};

Shown show(const SimulationOptions& options, const RunScenario& run) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&text, &size);
  Shown shown;
  testing::internal::CaptureStderr();
  shown.exit_status = run_simulations(options, out, run);
  shown.errors = testing::internal::GetCapturedStderr();
  std::fclose(out);
  shown.output.assign(text, size);
  std::free(text);
  return shown;
}

TEST(Simulations, KeepTheirPromisesAndAreTheSameAgain) {
  const SimulationOptions options{.scenario = "", .first_seed = 5, .seeds = 3, .trace = false};
  const Shown shown = show(options, sim::run_scenario);
  EXPECT_EQ(shown.exit_status, 0) << shown.errors;
  EXPECT_EQ(shown.errors, "");
  EXPECT_THAT(shown.rows(), ElementsAre(std::pair("5", "kept"), std::pair("6", "kept"),
                                        std::pair("7", "kept"), std::pair("all", "kept")));
  EXPECT_EQ(show(options, sim::run_scenario).output, shown.output);
}

TEST(Simulations, OfANamedScenarioAreDescribedAndTraced) {
  SimulationOptions options{.scenario = "plane_cut", .first_seed = 20, .seeds = 1, .trace = false};
  const Shown plain = show(options, sim::run_scenario);
  EXPECT_EQ(plain.exit_status, 0);
  EXPECT_THAT(plain.output, HasSubstr("plane_cut, seed 20"));
  EXPECT_THAT(plain.rows(), SizeIs(1));
  options.trace = true;
  EXPECT_GT(show(options, sim::run_scenario).output.size(), 10 * plain.output.size());
}

TEST(Simulations, ThatBreakAPromiseSayWhichAndHowToSeeItAgain) {
  const auto broken_at_six = [](const sim::Scenario& scenario, std::FILE*) {
    sim::RunResult result;
    if (scenario.seed == 6) result.violation = "I1: a message completed twice";
    return result;
  };
  const Shown shown = show({.scenario = "", .first_seed = 5, .seeds = 3, .trace = false}, broken_at_six);
  EXPECT_EQ(shown.exit_status, 1);
  EXPECT_THAT(shown.rows(), ElementsAre(std::pair("5", "kept"), std::pair("6", "BROKEN"),
                                        std::pair("7", "kept"), std::pair("all", "BROKEN")));
  EXPECT_THAT(shown.errors, AllOf(HasSubstr("seed 6"), HasSubstr("a message completed twice"),
                                  HasSubstr("weft sim --seed 6 --trace"), Not(HasSubstr("seed 5"))));
}

TEST(Simulations, OfAScenarioThatIsNotThereAreRefused) {
  const Shown shown =
      show({.scenario = "nonsense", .first_seed = 1, .seeds = 1, .trace = false}, sim::run_scenario);
  EXPECT_EQ(shown.exit_status, 2);
  EXPECT_THAT(shown.errors, HasSubstr("nonsense"));
}

}  // namespace
}  // namespace weft::bench
