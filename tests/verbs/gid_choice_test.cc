// The right GID out of tables as machines have them.
#include "transport/verbs/gid_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

namespace weft::verbs {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

GidBytes gid(const std::string& text) {
  const auto bytes = parse_gid(text);
  EXPECT_TRUE(bytes.has_value()) << text;
  return bytes.value_or(GidBytes{});
}

GidEntry v1(int index, const std::string& address, const std::string& netdev) {
  return {index, gid(address), GidType::kRoceV1, netdev};
}
GidEntry v2(int index, const std::string& address, const std::string& netdev) {
  return {index, gid(address), GidType::kRoceV2, netdev};
}

struct Machine {
  std::vector<GidEntry> table;
  std::vector<NetdevAddress> addresses;
  LinkLayer link_layer = LinkLayer::kEthernet;
  GidWish wish;
};

int index_of(const Machine& machine) {
  const auto chosen = choose_gid(machine.link_layer, machine.table, machine.addresses, machine.wish);
  EXPECT_TRUE(chosen.is_ok()) << chosen.status().message();
  return chosen ? chosen->index : -1;
}

std::string refusal_of(const Machine& machine) {
  const auto chosen = choose_gid(machine.link_layer, machine.table, machine.addresses, machine.wish);
  EXPECT_FALSE(chosen.is_ok());
  return chosen ? "" : chosen.status().message();
}

// A ConnectX port with IPv4 and a global IPv6 address: the address of the MAC comes first, everything once as
// v1 and once as v2.
Machine connectx() {
  Machine machine;
  machine.table = {v1(0, "fe80:0000:0000:0000:0ac0:ebff:fe01:0203", "ens1f0np0"),
                   v2(1, "fe80:0000:0000:0000:0ac0:ebff:fe01:0203", "ens1f0np0"),
                   v1(2, "0000:0000:0000:0000:0000:ffff:0a01:0203", "ens1f0np0"),
                   v2(3, "0000:0000:0000:0000:0000:ffff:0a01:0203", "ens1f0np0"),
                   v1(4, "2001:0db8:0000:0000:0000:0000:0000:0203", "ens1f0np0"),
                   v2(5, "2001:0db8:0000:0000:0000:0000:0000:0203", "ens1f0np0")};
  machine.addresses = {{"lo", gid("127.0.0.1")},
                       {"ens1f0np0", gid("10.1.2.3")},
                       {"ens1f0np0", gid("2001:db8::203")},
                       {"ens1f0np0", gid("fe80::ac0:ebff:fe01:203")}};
  machine.wish.own_netdev = "ens1f0np0";
  return machine;
}

TEST(GidChoice, ConnectXTakesRoceV2OverIpv4) {
  EXPECT_EQ(index_of(connectx()), 3);
}

TEST(GidChoice, TheFamilyThatIsAskedForIsTaken) {
  Machine machine = connectx();
  machine.wish.address_family = 4;
  EXPECT_EQ(index_of(machine), 3);
  machine.wish.address_family = 6;
  EXPECT_EQ(index_of(machine), 5);
}

TEST(GidChoice, TheOrderOfTheTableIsOfNoConsequence) {
  Machine machine = connectx();
  std::reverse(machine.table.begin(), machine.table.end());
  EXPECT_EQ(index_of(machine), 3);
}

TEST(GidChoice, AFixedIndexIsTakenAsItIs) {
  Machine machine = connectx();
  for (int index = 0; index < 6; ++index) {
    machine.wish.fixed_index = index;
    machine.wish.address_family = index % 2 == 0 ? 4 : 6;  // whoever names an index means it
    EXPECT_EQ(index_of(machine), index);
  }
}

TEST(GidChoice, AFixedIndexWithNothingAtItIsRefusedWithTheTable) {
  Machine machine = connectx();
  machine.wish.fixed_index = 6;
  EXPECT_THAT(refusal_of(machine), AllOf(HasSubstr("GID index 6"), HasSubstr("WEFT_IB_GID_INDEX"),
                                         HasSubstr("3: 10.1.2.3 (RoCE v2, ens1f0np0)")));
  machine.table.push_back({6, GidBytes{}, GidType::kRoceV2, "ens1f0np0"});
  EXPECT_THAT(refusal_of(machine), AllOf(HasSubstr("GID index 6"), Not(HasSubstr("6: ::"))));
}

TEST(GidChoice, WithoutAnIpAddressTheLinkLocalOneOfTheMacServes) {
  Machine machine = connectx();
  machine.table.resize(2);
  machine.addresses.clear();  // IPv6 may be switched off: the entry is there all the same
  EXPECT_EQ(index_of(machine), 1);
  machine.wish.address_family = 6;
  EXPECT_EQ(index_of(machine), 1);
}

TEST(GidChoice, NoAddressOfTheFamilyIsRefusedWithTheTable) {
  Machine machine = connectx();
  machine.table.resize(2);
  machine.wish.address_family = 4;
  EXPECT_THAT(refusal_of(machine),
              AllOf(HasSubstr("IPv4"), HasSubstr("WEFT_FAMILY"), HasSubstr("1: fe80::ac0:ebff:fe01:203")));
}

TEST(GidChoice, RoceV1OnlyWhereThereIsNothingElse) {
  Machine machine = connectx();
  std::erase_if(machine.table, [](const GidEntry& entry) { return entry.type == GidType::kRoceV2; });
  EXPECT_EQ(index_of(machine), 2);
  // Even a link-local v2 is better: v1 is not routed and has no UDP port to spread by.
  machine.table.push_back(v2(9, "fe80::ac0:ebff:fe01:203", "ens1f0np0"));
  EXPECT_EQ(index_of(machine), 9);
}

// SoftRoCE knows v2 only.
TEST(GidChoice, SoftRoce) {
  Machine machine;
  machine.table = {v2(0, "fe80:0000:0000:0000:5054:00ff:fe12:3400", "eth1"),
                   v2(1, "0000:0000:0000:0000:0000:ffff:0a0a:0001", "eth1")};
  machine.addresses = {{"eth1", gid("10.10.0.1")}, {"eth1", gid("fe80::5054:ff:fe12:3400")}};
  machine.wish.own_netdev = "eth1";
  EXPECT_EQ(index_of(machine), 1);
}

TEST(GidChoice, InfiniBandTakesItsFirst) {
  Machine machine;
  machine.link_layer = LinkLayer::kInfiniBand;
  machine.table = {{0, gid("fe80:0000:0000:0000:ec0d:9a03:0078:6b0e"), GidType::kInfiniBand, ""},
                   {1, gid("fe80:0000:0000:0000:0014:0500:0000:0001"), GidType::kInfiniBand, ""}};
  EXPECT_EQ(index_of(machine), 0);
  machine.wish.address_family = 4;  // which means nothing to InfiniBand
  EXPECT_EQ(index_of(machine), 0);
  machine.wish.fixed_index = 1;
  EXPECT_EQ(index_of(machine), 1);
}

TEST(GidChoice, AnInfiniBandPortWithoutAnIdentifierYetHasNoGid) {
  Machine machine;
  machine.link_layer = LinkLayer::kInfiniBand;
  machine.table = {{0, gid("fe80:0000:0000:0000:0000:0000:0000:0000"), GidType::kInfiniBand, ""}};
  EXPECT_THAT(refusal_of(machine), HasSubstr("GID table is empty"));
}

// A virtual function in a pod: the table of the hardware also has what other namespaces gave their
// interfaces, in the order in which the addresses came.
TEST(GidChoice, AVirtualFunctionTakesAnAddressOfItsOwnNamespace) {
  Machine machine;
  machine.table = {v1(0, "fe80::b859:9ff:fe11:2233", "eth0"),
                   v2(1, "fe80::b859:9ff:fe11:2233", "eth0"),
                   v2(2, "192.168.7.9", "net1"),  // of a namespace that we are not in
                   v2(4, "169.254.3.3", "eth0"),
                   v2(6, "fd00:10::5", "eth0"),
                   v2(7, "2001:db8:7::5", "eth0"),
                   v2(9, "10.20.0.5", "eth0"),
                   v2(11, "10.20.0.6", "eth0")};
  machine.addresses = {{"eth0", gid("10.20.0.5")},     {"eth0", gid("10.20.0.6")},
                       {"eth0", gid("2001:db8:7::5")}, {"eth0", gid("fd00:10::5")},
                       {"eth0", gid("169.254.3.3")},   {"eth0", gid("fe80::b859:9ff:fe11:2233")}};
  machine.wish.own_netdev = "eth0";
  EXPECT_EQ(index_of(machine), 9);
  machine.wish.address_family = 6;
  EXPECT_EQ(index_of(machine), 7);
  // The first address is withdrawn; its entry lingers.
  machine.wish.address_family = 4;
  machine.addresses.erase(machine.addresses.begin());
  EXPECT_EQ(index_of(machine), 11);
  machine.addresses.erase(machine.addresses.begin());
  EXPECT_EQ(index_of(machine), 4);  // link-local, but there
}

TEST(GidChoice, AnAddressCountsOnItsOwnInterfaceOnly) {
  Machine machine;
  machine.table = {v2(1, "10.0.0.1", "eth7"), v2(3, "10.0.0.2", "eth0")};
  machine.addresses = {{"eth1", gid("10.0.0.1")}, {"eth0", gid("10.0.0.2")}};
  EXPECT_EQ(index_of(machine), 3);
  machine.table[0].netdev = "";  // an old kernel that does not say
  EXPECT_EQ(index_of(machine), 1);
}

TEST(GidChoice, UniqueLocalAfterGlobal) {
  Machine machine;
  machine.table = {v2(1, "fd00::1", "eth0"), v2(3, "2001:db8::1", "eth0")};
  EXPECT_EQ(index_of(machine), 3);
  machine.table.pop_back();
  EXPECT_EQ(index_of(machine), 1);
}

TEST(GidChoice, ThePortsOwnInterfaceBeforeAVlanOnTopOfIt) {
  Machine machine;
  machine.table = {v2(1, "fe80::1", "eth0"), v2(3, "10.7.0.1", "eth0.700"), v2(5, "10.0.0.1", "eth0")};
  machine.addresses = {{"eth0.700", gid("10.7.0.1")}, {"eth0", gid("10.0.0.1")}};
  machine.wish.own_netdev = "eth0";
  EXPECT_EQ(index_of(machine), 5);
  machine.table.pop_back();
  EXPECT_EQ(index_of(machine), 3);  // only the VLAN has an address that is routed
}

TEST(GidChoice, EntriesThatAreFreeAreNotTaken) {
  Machine machine;
  machine.table = {{0, GidBytes{}, GidType::kRoceV2, ""}, v2(1, "10.0.0.1", "eth0")};
  EXPECT_EQ(index_of(machine), 1);
  machine.table.pop_back();
  EXPECT_THAT(refusal_of(machine), HasSubstr("GID table is empty"));
}

TEST(GidText, ReadsAndWrites) {
  EXPECT_EQ(gid_text(gid("0000:0000:0000:0000:0000:ffff:0a01:0203")), "10.1.2.3");
  EXPECT_EQ(gid("10.1.2.3"), gid("::ffff:10.1.2.3"));
  EXPECT_EQ(gid_text(gid("fe80:0000:0000:0000:0002:c903:0001:0203")), "fe80::2:c903:1:203");
  for (const char* wrong : {"", "10.1.2", "fe80", "fe80:::1", "10.1.2.3.4", "fe80::1%eth0"}) {
    EXPECT_FALSE(parse_gid(wrong).has_value()) << wrong;
  }
}

TEST(GidChoice, TheSameAddressIsFoundWhereverItHasMoved) {
  Machine machine = connectx();
  const GidEntry chosen = machine.table[3];
  machine.table[3] = v2(7, "0000:0000:0000:0000:0000:ffff:0a01:0204", "ens1f0np0");
  EXPECT_EQ(find_gid(machine.table, chosen), std::nullopt) << "another address is no substitute";
  machine.table.push_back(v1(8, "0000:0000:0000:0000:0000:ffff:0a01:0203", "ens1f0np0"));
  EXPECT_EQ(find_gid(machine.table, chosen), std::nullopt) << "nor is RoCE v1";
  machine.table.push_back(v2(9, "0000:0000:0000:0000:0000:ffff:0a01:0203", "ens1f0np0"));
  EXPECT_EQ(find_gid(machine.table, chosen)->index, 9);
}

TEST(GidChoice, AnIndexThatAnAddressHandleCannotHoldIsPassedOver) {
  Machine machine = connectx();
  for (GidEntry& entry : machine.table) entry.index += 253;
  EXPECT_EQ(index_of(machine), 254) << "the address of the MAC is what is left";
  EXPECT_EQ(find_gid(machine.table, machine.table[3]), std::nullopt);
}

}  // namespace
}  // namespace weft::verbs
