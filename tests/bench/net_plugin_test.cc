// weft perf through a plugin for NCCL's network: that it is the plugin which moves the data, and what cannot
// be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/bench/run_program.h"

namespace weft {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing_support::ProgramResult;
using testing_support::run_program;

TEST(WeftPerfThroughANetPlugin, MovesTheDataByIt) {
  const std::filesystem::path folder = testing::TempDir() + "weft_net_plugin_" + std::to_string(::getpid());
  std::filesystem::create_directories(folder);
  // No data, part of a slice, and more slices than are under way at once, the last in part.
  const ProgramResult result =
      run_program({"perf", "sendrecv", "--ranks", "2", "-b", "0", "-e", "9000000", "-i", "4500000", "-n", "2",
                   "-d", "uint8", "--net-plugin", WEFT_PLUGIN},
                  {{"WEFT_STATS_FILE", (folder / "%p.json").string()}});
  EXPECT_EQ(result.exit_status, 0) << result.errors;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("# Net plugin: " WEFT_PLUGIN), HasSubstr("Out of bounds values : 0 OK")));
  int ranks = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    const auto counters = nlohmann::json::parse(std::ifstream(file.path()), nullptr, false);
    ASSERT_FALSE(counters.is_discarded()) << file.path();
    // Two sizes, both in and out of place, each run twice for the clock.
    EXPECT_GE(counters["totals"]["bytes_sent"].get<std::uint64_t>(), 2u * 2u * (4500000u + 9000000u));
    ++ranks;
  }
  EXPECT_EQ(ranks, 2);
  std::filesystem::remove_all(folder);
}

TEST(WeftPerfThroughANetPlugin, SaysWhatIsWrongWithIt) {
  const ProgramResult missing = run_program(
      {"perf", "sendrecv", "--ranks", "2", "-b", "8", "-e", "8", "--net-plugin", "/nowhere/libnccl-net.so"});
  EXPECT_EQ(missing.exit_status, 2);
  EXPECT_THAT(missing.errors,
              AllOf(HasSubstr("rank 0: net plugin: cannot load"), HasSubstr("/nowhere/libnccl-net.so")));
  const ProgramResult other =
      run_program({"perf", "sendrecv", "--ranks", "2", "-b", "8", "-e", "8", "--net-plugin", "libm.so.6"});
  EXPECT_EQ(other.exit_status, 2);
  EXPECT_THAT(other.errors, HasSubstr("exports none of the tables"));
}

TEST(WeftPerfThroughANetPlugin, IsForSendrecvOnly) {
  EXPECT_EQ(run_program({"perf", "all_reduce", "--ranks", "2", "--net-plugin", WEFT_PLUGIN}).exit_status, 2);
}

}  // namespace
}  // namespace weft
