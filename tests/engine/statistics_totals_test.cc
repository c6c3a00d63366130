// The counters that a Context writes, over real connections: those of a long job are not forgotten.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/engine/loopback.h"

namespace weft::loopback {
namespace {

constexpr int kListedClosed = 256;  // kMaxClosedStatistics of transport/fabric.cc

constexpr const char* kOfPaths[] = {"bytes_sent",    "bytes_received", "chunks_sent",
                                    "chunks_resent", "failures",       "revivals"};
constexpr const char* kOfConnections[] = {"messages_sent", "messages_received", "stalls"};

// The test's own account, of connections as they are listed.
struct Sums {
  std::map<std::string, std::uint64_t> counts;
  double longest_stall_ms = 0;

  void add(const nlohmann::json& connection) {
    ++counts["connections"];
    for (const char* name : kOfConnections) counts[name] += connection.at(name).get<std::uint64_t>();
    longest_stall_ms = std::max(longest_stall_ms, connection.at("longest_stall_ms").get<double>());
    for (const auto& path : connection.at("paths"))
      for (const char* name : kOfPaths) counts[name] += path.at(name).get<std::uint64_t>();
  }
};

// A message that loses a path in the middle, so that every counter has something to count.
void send_over_a_cut(Connection& from, Connection& to) {
  constexpr std::size_t kBytes = 24 << 20;
  const Bytes sent = pattern(kBytes, 5);
  Bytes received(kBytes);
  const RequestId receive = to.post_receive(received.data(), kBytes, 3);
  const RequestId send = from.post_send(sent.data(), kBytes, 3);
  const std::uint64_t before = totals(to).received_bytes;
  bool cut = false;
  Completion completion;
  ASSERT_TRUE(repeat_until([&] {
    from.progress();
    completion = to.test(receive);
    if (!cut && totals(to).received_bytes - before > kBytes / 4) {
      cut = true;
      EXPECT_TRUE(from.cut_path(0).is_ok());
    }
    return completion.done;
  }));
  ASSERT_TRUE(cut);
  ASSERT_EQ(completion.status, StatusCode::kOk) << to.error().message();
  ASSERT_EQ(wait(from, send, to).status, StatusCode::kOk);
  ASSERT_TRUE(received == sent);
  ASSERT_TRUE(repeat_until([&] { return totals(from).all_good && totals(to).all_good; }));
}

TEST(StatisticsTotals, KnowMoreConnectionsThanAreListed) {
  Config settings = config();
  settings.paths_per_plane = 2;
  auto context = make_context(settings);
  ASSERT_TRUE(context);
  auto listener = listen(*context);
  ASSERT_TRUE(listener);
  Sums expected;
  int messages_over_cuts = 0;
  // Both ends are this context's, so each pair closes two connections; they are the last on the list then.
  for (int pairs = 0; 2 * pairs < kListedClosed + 10; ++pairs) {
    {
      Pair pair = connect(*context, *listener);
      ASSERT_TRUE(pair.connected && pair.accepted);
      expect_messages_pass(*pair.connected, *pair.accepted, 100, 1);
      // Until one cut has taken data with it.
      while (pairs == 0 && pair.connected->statistics().stalls == 0 && messages_over_cuts < 50) {
        send_over_a_cut(*pair.connected, *pair.accepted);
        ++messages_over_cuts;
        ASSERT_FALSE(testing::Test::HasFatalFailure());
      }
    }
    const auto listed = nlohmann::json::parse(context->statistics_json()).at("connections");
    ASSERT_GE(listed.size(), 2u);
    for (std::size_t i = listed.size() - 2; i < listed.size(); ++i) {
      ASSERT_EQ(listed[i].at("open"), false);
      expected.add(listed[i]);
    }
  }
  Pair open = connect(*context, *listener);
  ASSERT_TRUE(open.connected && open.accepted);
  expect_messages_pass(*open.connected, *open.accepted, 5000, 2);

  const auto json = nlohmann::json::parse(context->statistics_json());
  const auto& listed = json.at("connections");
  ASSERT_EQ(listed.size(), static_cast<std::size_t>(kListedClosed + 2))
      << "the first connections should be off the list, or this test shows nothing";
  for (const auto& connection : listed)
    if (connection.at("open") == true) expected.add(connection);

  const auto& got = json.at("totals");
  for (const auto& [name, count] : expected.counts) {
    EXPECT_EQ(got.at(name), count) << name;
    EXPECT_GT(count, 0u) << name << ": nothing to lose";
  }
  EXPECT_EQ(got.at("messages_sent"), kListedClosed + 10 + messages_over_cuts + 2);
  EXPECT_EQ(got.at("longest_stall_ms"), expected.longest_stall_ms);
  EXPECT_GT(expected.longest_stall_ms, 0);
  ASSERT_EQ(got.at("devices").size(), 1u);
  const auto& device = got.at("devices")[0];
  EXPECT_EQ(device.at("local_device"), "lo");
  for (const char* name : kOfPaths) EXPECT_EQ(device.at(name), expected.counts.at(name)) << name;
}

}  // namespace
}  // namespace weft::loopback
