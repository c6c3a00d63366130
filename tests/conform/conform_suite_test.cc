// Does the suite tell a good plugin from faulty ones, each by the check that stands for the fault, every
// time?
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/conform/conform.h"

namespace weft::conform_test {
namespace {

struct SuiteRun {
  int exit_code = -1;
  nlohmann::json report;
  std::map<std::string, std::string> verdicts;
};

// As a user calls it, but for the patience: a planted hang need not be waited for in full.
SuiteRun run_conform(std::vector<std::string> arguments) {
  const std::string json_path =
      (std::filesystem::temp_directory_path() / ("weft-conform-" + std::to_string(getpid()) + ".json"))
          .string();
  arguments.insert(arguments.begin(), "weft-conform");
  arguments.insert(arguments.end(), {"--json", json_path});
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  SuiteRun run;
  run.exit_code = bench::conform_main(static_cast<int>(argv.size()), argv.data());
  std::ifstream file(json_path);
  if (file) run.report = nlohmann::json::parse(file, nullptr, false);
  std::filesystem::remove(json_path);
  if (run.report.is_object()) {
    for (const auto& check : run.report["checks"]) run.verdicts[check["name"]] = check["verdict"];
  }
  return run;
}

std::string plugin(const std::string& fault) {
  return std::string(WEFT_CONFORM_PLUGINS) + "/conform_" + fault + ".so";
}

struct Planted {
  const char* fault;
  std::vector<const char*> caught_by;  // each of them must fail
};

std::ostream& operator<<(std::ostream& out, const Planted& planted) {
  return out << planted.fault;
}

const Planted kPlanted[] = {
    {"kBlockingAccept", {"accept_returns_without_peer"}},
    {"kBlockingConnect", {"connect_returns_without_accept"}},
    {"kStickyHandle", {"listen_into_garbage_handle"}},
    {"kWritesDeviceHandle", {"connect_foreign_device_handle"}},
    {"kDoneWithoutData", {"receive_done_means_data"}},
    {"kSendDoneEarly", {"send_done_frees_buffer"}},
    {"kRequestNotWritten", {"request_always_written"}},
    {"kDoneNotWritten", {"done_always_written"}},
    {"kPropertiesUnfilled", {"properties_every_field_written"}},
    {"kDuplicateNames", {"properties_names_unique"}},
    {"kWritesBeyondMessage", {"message_capacity_larger"}},
    {"kLimitIsError", {"receives_beyond_limit", "sends_beyond_limit"}},
    {"kZeroByteLost", {"message_zero_bytes_only"}},
    {"kCloseCrashesInFlight", {"close_with_receives_posted"}},
    {"kWritesAfterClose", {"close_frees_memory"}},
    {"kIgnoresTags", {"group_by_tag"}},
    {"kWrongSizes", {"message_capacity_larger"}},
    {"kNeedsOtherPolls", {"test_head_only"}},
    {"kTruncates", {"send_larger_than_receive_fails"}},
    {"kFlushWritesSizes", {"flush_without_sizes"}},
    {"kLeaksDescriptors", {"leak_descriptors"}},
    {"kLeaksMemory", {"leak_memory"}},
    {"kFinalizeEndsOthers", {"init_communicators_share_plugin"}},
    {"kReceiverMustPoll", {"process_receiver_stops_polling"}},
    {"kLateWrite", {"nothing_lands_after_done"}},
    {"kCorruptsLarge", {"message_64_mib"}},
    {"kKeepsOptionalRequest", {"receive_completion_optional"}},
    {"kSecondInitFails", {"init_communicators_share_plugin"}},
    {"kThreadOutlivesLibrary", {"reload_after_last_communicator"}},
    {"kHalfOpenCrashesFinalize", {"finalize_reclaims_half_open"}},
    {"kRingOfGroups", {"group_completed_out_of_order"}},
    {"kMissingFunction", {"load_tables_complete"}},
};

TEST(ConformSuite, GoodPluginPassesEveryTime) {
  std::map<std::string, std::string> first;
  for (int round = 0; round < 2; ++round) {
    const SuiteRun run = run_conform({plugin("kNone")});
    EXPECT_EQ(run.exit_code, 0);
    EXPECT_EQ(run.report["failed"], 0) << run.report.dump(1);
    EXPECT_GE(run.report["passed"], 40);
    if (round == 0) first = run.verdicts;
    EXPECT_EQ(run.verdicts, first);
  }
}

TEST(ConformSuite, GoodPluginPassesInEveryVersion) {
  // Under a sanitizer each version takes long: there the oldest and one in the middle.
  const std::vector<int> versions = WEFT_SANITIZED ? std::vector{6, 9} : std::vector{6, 7, 8, 9, 10, 11};
  for (int version : versions) {
    const SuiteRun run = run_conform({plugin("kNone"), "--abi", std::to_string(version), "--filter",
                                      "-process_pause_between_operations,-message_64_mib,-leak_*"});
    EXPECT_EQ(run.exit_code, 0) << "v" << version << "\n" << run.report.dump(1);
    EXPECT_EQ(run.report["checked_version"], version);
  }
}

class PlantedFault : public ::testing::TestWithParam<Planted> {};

TEST_P(PlantedFault, IsCaughtByItsCheckEveryTime) {
  if (std::string(GetParam().fault) == "kLeaksMemory" && WEFT_SANITIZED) {
    GTEST_SKIP() << "the heap cannot be measured through a sanitizer's allocator";
  }
  std::string filter = "connect_and_transfer";
  for (const char* check : GetParam().caught_by) filter += std::string(",") + check;
  for (int round = 0; round < 2; ++round) {
    const SuiteRun run = run_conform({plugin(GetParam().fault), "--patience", "2.5", "--filter", filter});
    EXPECT_EQ(run.exit_code, 1);
    for (const char* check : GetParam().caught_by) {
      EXPECT_EQ(run.verdicts.at(check), "fail") << check << "\n" << run.report.dump(1);
    }
    // One check's failure is no reason for another's: where the fault leaves plain traffic alone, that
    // passes. A thread that outlives its library crashes any check that closes the library, or does not,
    // as the thread's next turn falls.
    if (std::string(GetParam().fault) == "kThreadOutlivesLibrary") continue;
    const bool cannot_connect = std::string(GetParam().fault) == "kBlockingConnect";
    EXPECT_EQ(run.verdicts.at("connect_and_transfer"), cannot_connect ? "fail" : "pass")
        << run.report.dump(1);
  }
}

INSTANTIATE_TEST_SUITE_P(Every, PlantedFault, ::testing::ValuesIn(kPlanted),
                         [](const auto& planted) { return std::string(planted.param.fault).substr(1); });

// A verdict is fair when a fault costs the plugin the checks that it breaks and no others.
TEST(ConformSuite, FaultsLeaveOtherChecksAlone) {
  for (const char* fault :
       {"kDuplicateNames", "kStickyHandle", "kFlushWritesSizes", "kKeepsOptionalRequest", "kTruncates",
        "kWritesDeviceHandle", "kIgnoresTags", "kLeaksDescriptors", "kSecondInitFails"}) {
    const SuiteRun run =
        run_conform({plugin(fault), "--filter",
                     "connect_and_transfer,message_window,message_order_kept,message_capacity_larger,"
                     "properties_speed_sane,"
                     "close_in_every_order,register_overlapping,threads_send_and_receive,process_both_ways"});
    EXPECT_EQ(run.exit_code, 0) << fault << "\n" << run.report.dump(1);
  }
}

TEST(ConformSuite, EveryPlantedFaultIsListed) {
  size_t built = 0;
  for (const auto& entry : std::filesystem::directory_iterator(WEFT_CONFORM_PLUGINS)) {
    built += entry.path().extension() == ".so" ? 1 : 0;
  }
  EXPECT_EQ(built, std::size(kPlanted) + 1);
}

TEST(ConformSuite, RefusesWhatItCannotRun) {
  EXPECT_EQ(run_conform({"/nonexistent/plugin.so"}).exit_code, 2);
  EXPECT_EQ(run_conform({WEFT_NO_PLUGIN}).exit_code, 2);
  EXPECT_EQ(run_conform({plugin("kNone"), "--filter", "no_such_check"}).exit_code, 2);
  EXPECT_EQ(run_conform({plugin("kNone"), "--abi", "5"}).exit_code, 2);
  EXPECT_EQ(run_conform({}).exit_code, 2);
}

}  // namespace
}  // namespace weft::conform_test
