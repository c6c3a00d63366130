// Every field of RdmaConfig reaches where it acts.
#include "transport/verbs/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft::verbs {
namespace {

// Does not compile when a field is added or removed: add a test of where the new one acts, then its name
// here.
[[maybe_unused]] void every_field_has_a_test(const RdmaConfig& config) {
  // relaxed_ordering: registrar_test.cc. disabled, gpu_direct and mrc are for whoever chooses the transport.
  const auto& [disabled, devices, gid_index, traffic_class, service_level, timeout, retry_count,
               relaxed_ordering, gpu_direct, mrc, mrc_ev_profile, mrc_cc_profile] = config;
  (void)disabled;
}

Config unusual() {
  Config config;
  config.address_family = 6;
  config.rdma.devices = "=mlx5_7:2";
  config.rdma.gid_index = 5;
  config.rdma.traffic_class = 106;
  config.rdma.service_level = 9;
  config.rdma.timeout = 18;
  config.rdma.retry_count = 2;
  return config;
}

TEST(VerbsSettings, ThePortsThatAreWanted) {
  const auto wish = port_wish(unusual());
  ASSERT_TRUE(wish.is_ok()) << wish.status().message();
  EXPECT_TRUE(wish->filter.matches("mlx5_7", 2));
  EXPECT_FALSE(wish->filter.matches("mlx5_7", 1));
  EXPECT_EQ(wish->address_family, 6);
  EXPECT_EQ(wish->gid_index, 5);
  EXPECT_FALSE(port_wish(Config())->gid_index.has_value());
  Config first = unusual();
  first.rdma.gid_index = 0;
  EXPECT_EQ(port_wish(first)->gid_index, 0);
  Config wrong;
  wrong.rdma.devices = "^";
  EXPECT_FALSE(port_wish(wrong).is_ok());
}

TEST(VerbsSettings, TheQueuePairs) {
  const auto [traffic_class, service_level, timeout, retry_count] = queue_pair_settings(unusual());
  EXPECT_EQ(traffic_class, 106);
  EXPECT_EQ(service_level, 9);
  EXPECT_EQ(timeout, 18);
  EXPECT_EQ(retry_count, 2);
}

TEST(VerbsSettings, TheProfilesOfMrc) {
  EXPECT_EQ(mrc_profiles(Config()).ways, std::nullopt);
  EXPECT_EQ(mrc_profiles(Config()).congestion, std::nullopt);
  Config config;
  config.rdma.mrc_ev_profile = 0;
  config.rdma.mrc_cc_profile = 7;
  EXPECT_EQ(mrc_profiles(config).ways, 0u);
  EXPECT_EQ(mrc_profiles(config).congestion, 7u);
}

}  // namespace
}  // namespace weft::verbs
