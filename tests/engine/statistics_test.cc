#include "transport/engine/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace weft::engine {
namespace {

// Counters that are 1, 2, 3 ... times `unit`, so that none can stand for another.
PathStatistics path_on(const std::string& device, std::uint64_t unit) {
  PathStatistics path;
  path.local_device = device;
  path.bytes_sent = unit;
  path.bytes_received = 2 * unit;
  path.chunks_sent = 3 * unit;
  path.chunks_resent = 4 * unit;
  path.failures = 5 * unit;
  path.revivals = 6 * unit;
  return path;
}

ConnectionStatistics connection(std::uint64_t unit, double longest_stall_ms,
                                std::vector<PathStatistics> paths) {
  ConnectionStatistics made;
  made.peer = "peer";
  made.messages_sent = 7 * unit;
  made.messages_received = 8 * unit;
  made.stalls = 9 * unit;
  made.longest_stall_ms = longest_stall_ms;
  made.compression.level = "fast";
  made.compression.sent = {unit, 20 * unit, 10 * unit};
  made.compression.received = {2 * unit, 40 * unit, 30 * unit};
  made.paths = std::move(paths);
  return made;
}

void expect_counters(const nlohmann::json& json, std::uint64_t unit) {
  EXPECT_EQ(json.at("bytes_sent"), unit);
  EXPECT_EQ(json.at("bytes_received"), 2 * unit);
  EXPECT_EQ(json.at("chunks_sent"), 3 * unit);
  EXPECT_EQ(json.at("chunks_resent"), 4 * unit);
  EXPECT_EQ(json.at("failures"), 5 * unit);
  EXPECT_EQ(json.at("revivals"), 6 * unit);
}

void expect_coded(const nlohmann::json& json, std::uint64_t unit) {
  EXPECT_EQ(json.at("chunks_sent_coded"), unit);
  EXPECT_EQ(json.at("plain_bytes_sent_coded"), 20 * unit);
  EXPECT_EQ(json.at("wire_bytes_sent_coded"), 10 * unit);
  EXPECT_EQ(json.at("chunks_received_coded"), 2 * unit);
  EXPECT_EQ(json.at("plain_bytes_received_coded"), 40 * unit);
  EXPECT_EQ(json.at("wire_bytes_received_coded"), 30 * unit);
}

TEST(Statistics, TotalsAreSumsAndTheLongestStall) {
  StatisticsTotals totals;
  totals.add(connection(1, 20.5, {path_on("eth0", 1), path_on("eth1", 10)}));
  totals.add(connection(100, 7, {path_on("eth1", 1000), path_on("eth0", 100)}));
  const auto json = nlohmann::json::parse(to_json(totals, {})).at("totals");
  EXPECT_EQ(json.at("connections"), 2);
  EXPECT_EQ(json.at("messages_sent"), 7 * 101);
  EXPECT_EQ(json.at("messages_received"), 8 * 101);
  EXPECT_EQ(json.at("stalls"), 9 * 101);
  EXPECT_EQ(json.at("longest_stall_ms"), 20.5);
  expect_counters(json, 1111);
  expect_coded(json, 101);
  ASSERT_EQ(json.at("devices").size(), 2u);
  EXPECT_EQ(json.at("devices")[0].at("local_device"), "eth0");
  expect_counters(json.at("devices")[0], 101);
  EXPECT_EQ(json.at("devices")[1].at("local_device"), "eth1");
  expect_counters(json.at("devices")[1], 1010);
}

TEST(Statistics, APathThatNeverConnectedIsNoDevice) {
  StatisticsTotals totals;
  totals.add(connection(0, 0, {path_on("", 0), path_on("lo", 1)}));
  ASSERT_EQ(totals.devices().size(), 1u);
  EXPECT_EQ(totals.devices().begin()->first, "lo");
}

TEST(Statistics, ConnectionsAreListedAsTheyAre) {
  const auto json = nlohmann::json::parse(
      to_json({}, {{connection(1, 1.5, {path_on("eth0", 1)}), true}, {connection(2, 0, {}), false}}));
  EXPECT_EQ(json.at("totals").at("connections"), 0);
  ASSERT_EQ(json.at("connections").size(), 2u);
  const auto& first = json.at("connections")[0];
  EXPECT_EQ(first.at("open"), true);
  EXPECT_EQ(first.at("messages_sent"), 7);
  EXPECT_EQ(first.at("longest_stall_ms"), 1.5);
  expect_counters(first.at("paths")[0], 1);
  EXPECT_EQ(first.at("compression").at("level"), "fast");
  expect_coded(first.at("compression"), 1);
  EXPECT_EQ(json.at("connections")[1].at("open"), false);
}

}  // namespace
}  // namespace weft::engine
