// The ports of a real RDMA machine: SoftRoCE devices on known networks (tests/rdma_vm: plane P has 10.0.P.1
// and 10.0.P.2, and fd00:0:0:P::1 and ::2).
#include "transport/verbs/port_discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

namespace weft::verbs {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<Port> ports(const PortWish& wish = {}) {
  auto all = list_ports(wish);
  EXPECT_TRUE(all.is_ok()) << all.status().message();
  return all ? *all : std::vector<Port>{};
}

std::vector<std::string> usable_devices(const PortWish& wish = {}) {
  std::vector<std::string> names;
  for (const Port& port : ports(wish))
    if (port.usable) names.push_back(port.device);
  return names;
}

Port port_of(const std::string& device, const PortWish& wish = {}) {
  for (const Port& port : ports(wish))
    if (port.device == device) return port;
  ADD_FAILURE() << device << " is not there";
  return {};
}

void plane(const std::string& what) {
  ASSERT_EQ(system(("plane " + what).c_str()), 0) << what;
}

TEST(PortDiscovery, SoftRoceInFull) {
  const Port port = port_of("rxe_b1");
  EXPECT_TRUE(port.usable) << port.why_not;
  EXPECT_THAT(port.why_not, IsEmpty());
  EXPECT_EQ(port.number, 1);
  EXPECT_EQ(port.link_layer, LinkLayer::kEthernet);
  EXPECT_EQ(port.state, "active");
  EXPECT_EQ(port.active_mtu_bytes, 4096);
  EXPECT_GE(port.speed_mbps, 2500);
  EXPECT_EQ(gid_text(port.gid.bytes), "10.0.1.2");
  EXPECT_EQ(port.gid.type, GidType::kRoceV2);
  EXPECT_EQ(port.gid.netdev, "b1");
  EXPECT_EQ(port.netdev, "b1");
  EXPECT_THAT(port_name(port), AllOf(HasSubstr("rxe_b1 port 1 (RoCE, b1, "), HasSubstr("Mb/s")));
}

TEST(PortDiscovery, AllOfThemInOrder) {
  EXPECT_THAT(usable_devices(), ElementsAre("rxe_a0", "rxe_a1", "rxe_b0", "rxe_b1"));
}

TEST(PortDiscovery, TheUsersChoiceOfDevices) {
  PortWish wish;
  wish.filter = *engine::HcaFilter::parse("^=rxe_a1,rxe_b0:1");
  EXPECT_THAT(usable_devices(wish), ElementsAre("rxe_a0", "rxe_b1"));
  EXPECT_THAT(port_of("rxe_a1", wish).why_not, HasSubstr("WEFT_IB_HCA=\"^=rxe_a1,rxe_b0:1\""));
  wish.filter = *engine::HcaFilter::parse("mlx5");
  const auto none = select_ports(ports(wish));
  ASSERT_FALSE(none.is_ok());
  EXPECT_THAT(none.status().message(),
              AllOf(HasSubstr("rxe_a0 port 1"), HasSubstr("rxe_b1"), HasSubstr("mlx5")));
}

TEST(PortDiscovery, TheUsersChoiceOfGids) {
  PortWish wish;
  wish.address_family = 6;
  EXPECT_EQ(gid_text(port_of("rxe_a0", wish).gid.bytes), "fd00::1");
  wish.address_family = 0;
  wish.gid_index = 0;
  EXPECT_THAT(gid_text(port_of("rxe_a0", wish).gid.bytes), HasSubstr("fe80::"));
  wish.gid_index = 200;
  EXPECT_THAT(port_of("rxe_a0", wish).why_not, AllOf(HasSubstr("GID index 200"), HasSubstr("10.0.0.1")));
}

TEST(PortDiscovery, APortThatIsDownIsListedWithTheReason) {
  plane("a1 down");
  EXPECT_THAT(usable_devices(), ElementsAre("rxe_a0", "rxe_b0"));  // a cable has two ends
  const Port port = port_of("rxe_a1");
  EXPECT_EQ(port.state, "down");
  EXPECT_THAT(port.why_not, AllOf(HasSubstr("its state is down"), HasSubstr("ip link set a1 up")));
  plane("a1 restore");
  EXPECT_TRUE(port_of("rxe_a1").usable) << port_of("rxe_a1").why_not;
}

TEST(PortDiscovery, AnAddressIsKeptWhereverItMovesAndNeverReplaced) {
  const Port port = port_of("rxe_a0");
  ASSERT_EQ(system("ip address add 10.7.0.1/24 dev a0 && ip address del 10.0.0.1/24 dev a0"), 0);
  const auto gone = current_gid(port, {});
  ASSERT_FALSE(gone.is_ok()) << gid_text(gone->bytes);
  EXPECT_THAT(gone.status().message(),
              AllOf(HasSubstr("rxe_a0 port 1"), HasSubstr("10.0.0.1"), HasSubstr("a0")));
  EXPECT_EQ(gid_text(port_of("rxe_a0").gid.bytes), "10.7.0.1") << "who starts now takes what is there";
  ASSERT_EQ(system("ip address add 10.7.0.2/24 dev a0 && ip address add 10.0.0.1/24 dev a0"), 0);
  const auto moved = current_gid(port, {});
  ASSERT_TRUE(moved.is_ok()) << moved.status().message();
  EXPECT_EQ(gid_text(moved->bytes), "10.0.0.1");
  EXPECT_NE(moved->index, port.gid.index);
  ASSERT_EQ(system("ip address del 10.7.0.1/24 dev a0"), 0) << "the second goes with it";
}

}  // namespace
}  // namespace weft::verbs
