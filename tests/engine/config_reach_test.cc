// Every field of Config reaches where it acts. One was lost once on its way from Config to the endpoint, and
// nothing failed.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <thread>

#include "compression/slot_format.h"
#include "tests/engine/loopback.h"
#include "transport/fabric.h"
#include "transport/link_settings.h"

namespace weft::loopback {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Does not compile when a field is added or removed: add a test of where the new one acts, then its name
// here.
[[maybe_unused]] void every_field_has_a_test_below(const Config& config) {
  const auto& [transport, interfaces, near, address_family, paths_per_plane, max_paths, chunk_bytes,
               peer_timeout, path_timeout, connect_timeout, bootstrap_timeout, secret, payload_checksum,
               compression, stats_file, stats_interval, log_level, rdma, unknown_variables, nccl_remarks] =
      config;
  // bootstrap_timeout is for programs to hand on: tests/bench/exit_status_test.cc.
  // The fields of rdma: tests/verbs/settings_test.cc.
  (void)unknown_variables;
}

// Nothing here is a default of Config, EndpointConfig or LinkParameters.
Config unusual() {
  Config config;
  config.paths_per_plane = 3;
  config.max_paths = 7;
  config.chunk_bytes = 128 * 1024;
  config.peer_timeout = milliseconds(1234);
  config.path_timeout = milliseconds(56);
  config.payload_checksum = true;
  config.compression = CompressionChoice::kDense;
  return config;
}

TEST(ConfigReaches, TheEndpointAndTheBackend) {
  tcp::LinkParameters agreed;
  agreed.chunk_limit_bytes = 64 * 1024;
  agreed.payload_checksum = true;
  const LinkSettings settings = link_settings(unusual(), agreed, true, 6, 2);
  const auto& [endpoint, terms] = settings;
  const auto& [payload_checksum, backend_peer_timeout, without_coding] = terms;
  EXPECT_TRUE(payload_checksum);
  EXPECT_EQ(backend_peer_timeout, milliseconds(1234));
  EXPECT_FALSE(without_coding.agreed) << "only TCP codes: coding_terms()";
  const auto& [path_planes, standby_planes, connects, chunk_bytes, peer_timeout, path_timeout, first_backoff,
               largest_backoff, good_probes_needed, window_slack] = endpoint;
  using multipath::PlaneId;
  EXPECT_THAT(path_planes,
              ElementsAre(PlaneId{0}, PlaneId{0}, PlaneId{0}, PlaneId{1}, PlaneId{1}, PlaneId{1}));
  EXPECT_EQ(standby_planes, 0u) << "of the interfaces, not of Config: tests/engine/device_distance_test.cc";
  EXPECT_TRUE(connects);
  EXPECT_EQ(chunk_bytes, 64u * 1024);
  EXPECT_EQ(peer_timeout, milliseconds(1234));
  EXPECT_EQ(path_timeout, milliseconds(56));
  // No variable sets these.
  const multipath::EndpointConfig defaults;
  EXPECT_EQ(first_backoff, defaults.first_backoff);
  EXPECT_EQ(largest_backoff, defaults.largest_backoff);
  EXPECT_EQ(good_probes_needed, defaults.good_probes_needed);
  EXPECT_EQ(window_slack, milliseconds(16));
  EXPECT_FALSE(link_settings(unusual(), {}, false, 6, 2).endpoint.connects);
  EXPECT_FALSE(link_settings(unusual(), {}, false, 6, 2).terms.payload_checksum)
      << "as agreed, not as asked for";
}

TEST(ConfigReaches, WhatBothEndsAgreeOn) {
  const auto& [chunk_limit_bytes, payload_checksum] = offered_parameters(unusual());
  EXPECT_EQ(chunk_limit_bytes, 128u * 1024);
  EXPECT_TRUE(payload_checksum);
  const Config defaults;
  // The smaller chunk, and a checksum if either end wants one.
  EXPECT_EQ(agreed_parameters(defaults, offered_parameters(unusual())).chunk_limit_bytes, 128u * 1024);
  EXPECT_EQ(agreed_parameters(unusual(), offered_parameters(defaults)).chunk_limit_bytes, 128u * 1024);
  EXPECT_TRUE(agreed_parameters(defaults, offered_parameters(unusual())).payload_checksum);
  EXPECT_TRUE(agreed_parameters(unusual(), offered_parameters(defaults)).payload_checksum);
  EXPECT_FALSE(agreed_parameters(defaults, offered_parameters(defaults)).payload_checksum);
}

TEST(ConfigReaches, WhatIsCoded) {
  const LinkSettings settings = link_settings(unusual(), {}, true, 6, 2);
  const auto [sends, agreed, largest_chunk_bytes, peers_version] =
      coding_terms(unusual(), settings, compression::kSlotVersion);
  EXPECT_EQ(sends, CompressionChoice::kDense);
  EXPECT_TRUE(agreed);
  EXPECT_EQ(largest_chunk_bytes, settings.endpoint.chunk_bytes);
  EXPECT_EQ(peers_version, compression::kSlotVersion);
  std::vector<tcp::HandshakeOption> offer, none, later{{kCodingOption, {std::byte{99}}}};
  offer_coding(unusual(), offer);
  EXPECT_THAT(offer, SizeIs(1));
  const Config off;
  Config choosing;
  choosing.compression = CompressionChoice::kAuto;
  offer_coding(off, none);
  EXPECT_THAT(none, SizeIs(0));
  EXPECT_EQ(offered_coding(offer), compression::kSlotVersion);
  EXPECT_EQ(offered_coding(none), std::nullopt);
  EXPECT_EQ(offered_coding(later), 99);
  EXPECT_EQ(offered_coding({{kCodingOption, {}}}), std::nullopt);
  EXPECT_TRUE(coding_terms(choosing, settings, offered_coding(offer)).agreed);
  EXPECT_FALSE(coding_terms(off, settings, offered_coding(offer)).agreed);
  EXPECT_FALSE(coding_terms(choosing, settings, std::nullopt).agreed);
  const tcp::CodingTerms unlike = coding_terms(choosing, settings, offered_coding(later));
  EXPECT_FALSE(unlike.agreed) << "a version that this Weft does not decode";
  EXPECT_EQ(unlike.peers_version, 99);
}

TEST(ConfigReaches, TheNumberOfPaths) {
  const auto paths = [](int per_plane, int most, std::size_t planes) {
    Config config;
    config.paths_per_plane = per_plane;
    config.max_paths = most;
    const PathPlan plan = plan_paths(config, planes, false);
    return std::pair(plan.planes, plan.per_plane);
  };
  EXPECT_EQ(paths(3, 7, 1), std::pair(std::size_t{1}, std::size_t{3}));
  EXPECT_EQ(paths(3, 7, 2), std::pair(std::size_t{2}, std::size_t{3}));
  EXPECT_EQ(paths(3, 7, 3), std::pair(std::size_t{3}, std::size_t{2}));
  EXPECT_EQ(paths(3, 7, 9), std::pair(std::size_t{7}, std::size_t{1}));
  EXPECT_EQ(paths(3, 7, 0).first, 0u);
  EXPECT_EQ(paths(0, 16, 2), std::pair(std::size_t{2}, std::size_t{4}));
  EXPECT_EQ(plan_paths(Config(), 1, true).per_plane, 1u);
  Config three;
  three.paths_per_plane = 3;
  EXPECT_EQ(plan_paths(three, 1, true).per_plane, 3u);
}

TEST(ConfigReaches, AConnectionsPaths) {
  Config settings = config();
  settings.paths_per_plane = 3;
  settings.max_paths = 2;
  auto context = make_context(settings);
  auto listener = listen(*context);
  Pair pair = connect(*context, *listener);
  ASSERT_TRUE(pair.connected && pair.accepted);
  EXPECT_THAT(pair.connected->statistics().paths, SizeIs(2));
  EXPECT_THAT(pair.accepted->statistics().paths, SizeIs(2));
}

TEST(ConfigReaches, TheChoiceOfInterfaces) {
  Config settings;
  settings.interfaces = "=lo";
  settings.address_family = 4;
  const auto chosen = choose_interfaces(settings);
  ASSERT_TRUE(chosen.is_ok()) << chosen.status().message();
  ASSERT_EQ(chosen->taken.size(), 1u);
  EXPECT_EQ(chosen->taken[0].name, "lo");
  EXPECT_EQ(chosen->taken[0].address.to_string().rfind("127.", 0), 0u);
  settings.address_family = 6;
  const auto six = choose_interfaces(settings);
  if (six) {
    EXPECT_EQ(six->taken[0].address.to_string(), "::1");
  } else {
    EXPECT_THAT(six.status().message(), HasSubstr("6"));
  }
  settings.interfaces = "^lo";
  settings.address_family = 0;
  const auto others = choose_interfaces(settings);
  if (others) {
    for (const auto& one : others->taken) EXPECT_NE(one.name, "lo");
  }
}

TEST(ConfigReaches, TheTimeToConnect) {
  Config settings = config();
  settings.connect_timeout = milliseconds(123);
  Address gone;
  {
    auto context = make_context(settings);
    gone = listen(*context)->address();
  }
  auto context = make_context(settings);
  auto connector = context->connect(gone);
  ASSERT_TRUE(connector.is_ok());
  const auto polled = poll_until_settled(**connector);
  ASSERT_FALSE(polled.is_ok());
  EXPECT_THAT(polled.status().message(), HasSubstr("within 123 ms"));
}

TEST(ConfigReaches, TheSecretOfBothEnds) {
  Config settings = config();
  settings.secret = "one";
  auto one = make_context(settings);
  settings.secret = "other";
  auto other = make_context(settings);
  auto listener = listen(*one);
  auto connector = other->connect(listener->address());
  ASSERT_TRUE(connector.is_ok());
  Result<std::unique_ptr<Connection>> polled{Status(StatusCode::kUnreachable, "")};
  ASSERT_TRUE(repeat_until([&] {
    EXPECT_TRUE(listener->accept().is_ok());
    polled = (*connector)->poll();
    return !polled || *polled;
  }));
  EXPECT_EQ(polled.status().code(), StatusCode::kPermissionDenied);
}

TEST(ConfigReaches, TheLogAndItsLevel) {
  Config settings = config();
  settings.unknown_variables = {"WEFT_ONE", "WEFT_OTHER"};
  LogBook warnings, errors;
  settings.log_level = LogLevel::kWarn;
  make_context(settings, &warnings).reset();
  EXPECT_THAT(warnings.text(), AllOf(HasSubstr("WEFT_ONE, WEFT_OTHER"), HasSubstr("docs/environment.md")));
  settings.log_level = LogLevel::kError;
  make_context(settings, &errors).reset();
  EXPECT_EQ(errors.text(), "");
}

TEST(ConfigReaches, TheFileOfCountersAndHowOftenItIsWritten) {
  const std::string name = testing::TempDir() + "weft_reach_" + std::to_string(::getpid());
  Config settings = config();
  settings.stats_file = name;
  settings.stats_interval = milliseconds(1);
  {
    auto context = make_context(settings);
    EXPECT_TRUE(repeat_until([&] { return std::filesystem::exists(name); }));
  }
  std::filesystem::remove(name);
  settings.stats_interval = milliseconds(0);
  {
    auto context = make_context(settings);
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_FALSE(std::filesystem::exists(name));
  }
  EXPECT_TRUE(std::filesystem::exists(name));
  std::filesystem::remove(name);
}

}  // namespace
}  // namespace weft::loopback
