// A run over the wrong transport must not pass for one over the plugin.
#include "tests/gpu/transport_proof.h"

#include <gtest/gtest.h>

#include "tests/gpu/transport_run.h"

namespace weft::gputest {
namespace {

// Lines as NCCL 2.28 prints them.
const std::string kPrefix = "host:812:820 [0] NCCL INFO ";
const std::string kBanner = kPrefix + "NET/Weft : Weft 0.1.0, net plugin ABI v11, 1 planes\n";
const std::string kUsesWeft = kPrefix + "Using network Weft\n";
const std::string kWeftChannel = kPrefix + "Channel 00/0 : 1[0] -> 0[0] [send] via NET/Weft/0\n";

TEST(Log, WeftRunIsProven) {
  const LogFindings log = read_log(kBanner + kUsesWeft + kWeftChannel + kWeftChannel);
  EXPECT_EQ(log.network, "Weft");
  EXPECT_EQ(log.network_channels, 2);
  EXPECT_EQ(log.other_channels, 0);
  EXPECT_TRUE(check_log(log, "Weft", 0).is_ok());
  EXPECT_FALSE(check_log(log, "Socket", 0).is_ok());
}

TEST(Log, FallbackIsFound) {
  const std::string text = kPrefix + "Using network Socket\n" + kPrefix +
                           "Channel 00/0 : 1[0] -> 0[0] [receive] via NET/Socket/0\n";
  const Status status = check_log(read_log(text), "Weft", 3);
  ASSERT_FALSE(status.is_ok());
  EXPECT_NE(status.message().find("Rank 3"), std::string::npos);
  EXPECT_NE(status.message().find("Socket"), std::string::npos);
  EXPECT_TRUE(check_log(read_log(text), "Socket", 3).is_ok());
}

TEST(Log, OneChannelOverAnotherWayIsFound) {
  for (const char* way : {"via SHM/direct/direct", "via P2P/CUMEM", "via NET/Socket/0"}) {
    const std::string channel = kPrefix + "Channel 01/0 : 1[0] -> 0[0] [send] " + way + "\n";
    const Status status = check_log(read_log(kBanner + kUsesWeft + kWeftChannel + channel), "Weft", 0);
    ASSERT_FALSE(status.is_ok()) << way;
    EXPECT_NE(status.message().find(way), std::string::npos);
  }
}

TEST(Log, MissingPiecesAreFound) {
  EXPECT_FALSE(check_log(read_log(""), "Weft", 0).is_ok());
  EXPECT_FALSE(check_log(read_log(kUsesWeft + kWeftChannel), "Weft", 0).is_ok()) << "no banner";
  EXPECT_FALSE(check_log(read_log(kBanner + kUsesWeft), "Weft", 0).is_ok()) << "no channel";
}

TEST(Counters, CountEveryByteOnce) {
  EXPECT_EQ(*bytes_sent_in_counters(R"({"connections":[{"paths":[{"bytes_sent":3},{"bytes_sent":4}]},
                                        {"paths":[{"bytes_sent":5}]}]})"),
            12u);
  EXPECT_EQ(*bytes_sent_in_counters(
                R"({"connections":[{"bytes_sent":7,"paths":[{"bytes_sent":3},{"bytes_sent":4}]}]})"),
            7u);
  EXPECT_EQ(*bytes_sent_in_counters(R"({"totals":{"bytes_sent":9},"connections":[{"bytes_sent":2}]})"), 9u);
  EXPECT_EQ(*bytes_sent_in_counters("{}"), 0u);
  EXPECT_FALSE(bytes_sent_in_counters("{\"bytes_sent\":").is_ok());
}

TEST(Counters, MissingFilesAreAnError) {
  EXPECT_FALSE(bytes_sent_in_counter_files("/nonexistent", "weft-").is_ok());
}

TEST(Environment, MakesEachRankANodeOfItsOwnAndKeepsTheUsersChoices) {
  RunOptions options;
  options.plugin = "/somewhere/libnccl-net-weft.so";
  options.output_directory = "/tmp";
  char keep[] = "PATH=/bin", interfaces[] = "NCCL_SOCKET_IFNAME=eth0", stale[] = "NCCL_NET=IB";
  char* const inherited[] = {keep, interfaces, stale, nullptr};
  const auto has = [](const std::vector<std::string>& all, const std::string& entry) {
    return std::count(all.begin(), all.end(), entry);
  };
  const auto first = rank_environment(options, 0, inherited);
  const auto second = rank_environment(options, 1, inherited);
  EXPECT_EQ(has(first, "NCCL_HOSTID=r0"), 1);
  EXPECT_EQ(has(second, "NCCL_HOSTID=r1"), 1);
  EXPECT_EQ(has(first, "NCCL_NET=Weft"), 1);
  EXPECT_EQ(has(first, "NCCL_NET_PLUGIN=/somewhere/libnccl-net-weft.so"), 1);
  EXPECT_EQ(has(first, keep), 1);
  EXPECT_EQ(has(first, interfaces), 1);
  EXPECT_EQ(has(first, "NCCL_SOCKET_IFNAME=lo"), 0);
  EXPECT_EQ(has(first, stale), 0);
  options.transport = Transport::kSocket;
  EXPECT_EQ(has(rank_environment(options, 0, inherited), "NCCL_NET=Socket"), 1);
}

}  // namespace
}  // namespace weft::gputest
