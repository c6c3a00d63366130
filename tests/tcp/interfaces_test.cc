// Which interfaces become planes, on lists made here; and the kernel's own list, for what holds on every
// machine.
#include "transport/tcp/interfaces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace weft::tcp {
namespace {

using engine::InterfaceFilter;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

InterfaceAddress on(const std::string& name, const char* address, int prefix_length = 24) {
  InterfaceAddress entry;
  entry.name = name;
  entry.is_up = true;
  entry.is_loopback = name == "lo";
  entry.has_address = true;
  entry.prefix_length = prefix_length;
  const auto parsed = IpAddress::parse(address);
  EXPECT_TRUE(parsed.has_value()) << address;
  entry.address = parsed.value_or(IpAddress{});
  return entry;
}

InterfaceAddress down(InterfaceAddress entry) {
  entry.is_up = false;
  return entry;
}

InterfaceFilter filter(const char* text) {
  return InterfaceFilter::parse(text).value();
}

std::vector<std::string> selected(const std::vector<InterfaceAddress>& all, const char* text, int family) {
  const auto result = select_interfaces(all, filter(text), family);
  if (!result.is_ok()) return {"error"};
  std::vector<std::string> lines;
  for (const InterfaceAddress& entry : *result) lines.push_back(entry.name + " " + entry.address.to_string());
  return lines;
}

const std::vector<InterfaceAddress> kLoopback = {on("lo", "127.0.0.1", 8), on("lo", "::1", 128)};

std::vector<InterfaceAddress> with_loopback(std::vector<InterfaceAddress> others) {
  others.insert(others.begin(), kLoopback.begin(), kLoopback.end());
  return others;
}

struct SelectCase {
  const char* what;
  std::vector<InterfaceAddress> all;
  const char* filter;
  int family;
  std::vector<std::string> expected;
};

class Selects : public ::testing::TestWithParam<SelectCase> {};

TEST_P(Selects, Planes) {
  const SelectCase& c = GetParam();
  EXPECT_THAT(selected(c.all, c.filter, c.family), ElementsAreArray(c.expected)) << c.what;
}

const std::vector<InterfaceAddress> kTwoPortsAndDocker =
    with_loopback({on("docker0", "172.17.0.1", 16), on("eth0", "10.0.0.1"), on("eth0", "fd00::1", 64),
                   on("eth1", "10.0.1.1")});

INSTANTIATE_TEST_SUITE_P(
    Table, Selects,
    ::testing::Values(
        SelectCase{
            "loopback and docker stay out", kTwoPortsAndDocker, "", 0, {"eth0 10.0.0.1", "eth1 10.0.1.1"}},
        SelectCase{"an exclusion does not let them in", kTwoPortsAndDocker, "^eth1", 0, {"eth0 10.0.0.1"}},
        SelectCase{"docker before loopback when nothing else is left",
                   kTwoPortsAndDocker,
                   "^eth",
                   0,
                   {"docker0 172.17.0.1"}},
        SelectCase{"loopback last", kTwoPortsAndDocker, "^eth,docker", 0, {"lo 127.0.0.1"}},
        SelectCase{"loopback when named", kTwoPortsAndDocker, "=lo", 0, {"lo 127.0.0.1"}},
        SelectCase{"named ones next to ordinary ones, in the list's order",
                   kTwoPortsAndDocker,
                   "eth0,lo,docker",
                   0,
                   {"lo 127.0.0.1", "docker0 172.17.0.1", "eth0 10.0.0.1"}},
        SelectCase{"IPv6 only", kTwoPortsAndDocker, "", 6, {"eth0 fd00::1"}},
        SelectCase{"IPv6 loopback", kTwoPortsAndDocker, "lo", 6, {"lo ::1"}},
        SelectCase{"IPv4 only", kTwoPortsAndDocker, "", 4, {"eth0 10.0.0.1", "eth1 10.0.1.1"}},
        SelectCase{"only loopback exists", kLoopback, "", 0, {"lo 127.0.0.1"}},
        SelectCase{"IPv6 where an interface has nothing else",
                   {on("eth0", "10.0.0.1"), on("eth1", "fd00::1", 64)},
                   "",
                   0,
                   {"eth0 10.0.0.1", "eth1 fd00::1"}},
        SelectCase{"IPv4 first even if the kernel lists it last",
                   {on("eth0", "2001:db8::1", 64), on("eth0", "10.0.0.1")},
                   "",
                   0,
                   {"eth0 10.0.0.1"}},
        SelectCase{"global before unique-local before link-local",
                   {on("eth0", "fe80::1", 64), on("eth0", "fd00::1", 64), on("eth0", "2001:db8::1", 64)},
                   "",
                   0,
                   {"eth0 2001:db8::1"}},
        SelectCase{"the first of several addresses",
                   {on("eth0", "10.0.0.2"), on("eth0", "10.0.0.3")},
                   "",
                   0,
                   {"eth0 10.0.0.2"}},
        SelectCase{"link-local is left out beside better ones",
                   {on("cali1", "fe80::1", 64), on("eth0", "10.0.0.1")},
                   "",
                   0,
                   {"eth0 10.0.0.1"}},
        SelectCase{"link-local when there is nothing else",
                   with_loopback({on("ib0", "fe80::1", 64)}),
                   "",
                   0,
                   {"ib0 fe80::1"}},
        SelectCase{"link-local when named",
                   {on("eth0", "10.0.0.1"), on("ib0", "fe80::1", 64)},
                   "ib,eth",
                   0,
                   {"eth0 10.0.0.1", "ib0 fe80::1"}},
        SelectCase{"IPv4 link-local counts as such",
                   {on("eth0", "169.254.1.1", 16), on("eth1", "10.0.0.1")},
                   "",
                   0,
                   {"eth1 10.0.0.1"}},
        SelectCase{"down ones never",
                   {down(on("eth0", "10.0.0.1")), on("eth1", "10.0.1.1")},
                   "",
                   0,
                   {"eth1 10.0.1.1"}},
        SelectCase{"an address that two interfaces have is used once",
                   {on("eth0", "10.0.0.1"), on("eth1", "10.0.0.1")},
                   "",
                   0,
                   {"eth0 10.0.0.1"}},
        SelectCase{"the second interface falls back to its next address",
                   {on("eth0", "10.0.0.1"), on("eth1", "10.0.0.1"), on("eth1", "fd00::1", 64)},
                   "",
                   0,
                   {"eth0 10.0.0.1", "eth1 fd00::1"}},
        SelectCase{"virbr as docker",
                   {on("virbr0", "192.168.122.1"), on("eth0", "10.0.0.1")},
                   "",
                   0,
                   {"eth0 10.0.0.1"}},
        SelectCase{"unspecified and multicast addresses never",
                   {on("eth0", "0.0.0.0"), on("eth1", "ff02::1"), on("eth2", "10.0.0.1")},
                   "",
                   0,
                   {"eth2 10.0.0.1"}}));

TEST(SelectInterfaces, KeepsScopeApart) {
  // The same link-local address on two interfaces is two addresses.
  InterfaceAddress a = on("ib0", "fe80::1", 64), b = on("ib1", "fe80::1", 64);
  a.address.scope_id = 2;
  b.address.scope_id = 3;
  EXPECT_THAT(selected({a, b}, "", 0), ElementsAre("ib0 fe80::1%2", "ib1 fe80::1%3"));
}

TEST(SelectInterfaces, TakesAtMostItsLimit) {
  std::vector<InterfaceAddress> many;
  for (std::size_t i = 0; i < kMaxInterfaces + 5; ++i) {
    many.push_back(on("eth" + std::to_string(i), ("10.0." + std::to_string(i) + ".1").c_str()));
  }
  const auto result = select_interfaces(many, InterfaceFilter(), 0);
  ASSERT_TRUE(result.is_ok());
  ASSERT_EQ(result->size(), kMaxInterfaces);
  EXPECT_EQ(result->back().name, "eth" + std::to_string(kMaxInterfaces - 1));
}

TEST(SelectInterfaces, ErrorNamesFilterInterfacesAndVariable) {
  InterfaceAddress bare;
  bare.name = "eth2";
  const std::vector<InterfaceAddress> all = {on("eth0", "10.0.0.1"), on("eth0", "fd00::1", 64),
                                             down(on("eth1", "10.0.1.1")), bare};
  const auto unknown = select_interfaces(all, filter("ib"), 0);
  ASSERT_FALSE(unknown.is_ok());
  EXPECT_EQ(unknown.status().code(), StatusCode::kBadConfiguration);
  EXPECT_EQ(
      unknown.status().message(),
      "no network interface is up and has an IPv4 or IPv6 address among those that WEFT_IF=\"ib\" (or "
      "NCCL_SOCKET_IFNAME) allows. Interfaces here: eth0 (10.0.0.1/24 fd00::1/64), eth1 (down, 10.0.1.1/24), "
      "eth2 (down, no address). Set WEFT_IF to one of them, or unset it.");

  const auto wrong_family = select_interfaces(std::vector{on("eth0", "10.0.0.1")}, InterfaceFilter(), 6);
  ASSERT_FALSE(wrong_family.is_ok());
  EXPECT_THAT(wrong_family.status().message(), HasSubstr("IPv6 address."));
  EXPECT_THAT(wrong_family.status().message(), HasSubstr("Unset WEFT_FAMILY=6 (or NCCL_SOCKET_FAMILY)"));

  const auto both = select_interfaces(std::vector{on("eth0", "10.0.0.1")}, filter("ib"), 6);
  ASSERT_FALSE(both.is_ok());
  EXPECT_THAT(both.status().message(), HasSubstr("or unset it; or unset WEFT_FAMILY=6"));

  const auto nothing = select_interfaces({}, InterfaceFilter(), 0);
  ASSERT_FALSE(nothing.is_ok());
  EXPECT_THAT(nothing.status().message(), HasSubstr("Interfaces here: none. Bring one up"));
}

// A /sys/class/net of our own making.
class FakeSysfs : public ::testing::Test {
 protected:
  FakeSysfs() {
    char pattern[] = "/tmp/weft_sysfs_XXXXXX";
    const char* made = mkdtemp(pattern);
    EXPECT_NE(made, nullptr);
    root_ = std::filesystem::canonical(made);
    std::filesystem::create_directories(class_net());
  }
  ~FakeSysfs() override { std::filesystem::remove_all(root_); }

  std::string class_net() const { return (root_ / "class/net").string(); }

  void add(const std::string& name, const std::string& speed, const std::string& device) {
    const auto folder = root_ / "devices" / device;
    std::filesystem::create_directories(folder);
    std::filesystem::create_directories(root_ / "class/net" / name);
    if (!speed.empty()) std::ofstream(root_ / "class/net" / name / "speed") << speed << "\n";
    if (!device.empty())
      std::filesystem::create_directory_symlink(folder, root_ / "class/net" / name / "device");
  }
  std::string device_path(const std::string& device) const { return (root_ / "devices" / device).string(); }

  std::filesystem::path root_;
};

TEST_F(FakeSysfs, SpeedIsTenGigabitWhereUnknown) {
  add("eth0", "100000", "");
  add("eth1", "-1", "");
  add("eth2", "4294967295", "");
  add("eth3", "", "");
  add("eth4", "fast", "");
  add("eth5", "0", "");
  EXPECT_EQ(interface_speed_mbps(class_net(), "eth0"), 100000);
  for (const char* name : {"eth1", "eth2", "eth3", "eth4", "eth5", "absent"}) {
    EXPECT_EQ(interface_speed_mbps(class_net(), name), kDefaultSpeedMbps) << name;
  }
}

TEST_F(FakeSysfs, PciPathIsThatOfTheFunction) {
  add("eth0", "", "pci0000:00/0000:00:01.0/0000:3b:00.1");
  add("eth1", "", "pci0000:00/0000:00:05.0/virtio1");
  add("eth2", "", "pci10000:e1/10000:e1:02.0/mlx5_core.eth.3/deep");
  add("eth3", "", "platform/soc/ethernet.0");
  add("eth4", "", "");
  EXPECT_EQ(interface_pci_path(class_net(), "eth0"), device_path("pci0000:00/0000:00:01.0/0000:3b:00.1"));
  EXPECT_EQ(interface_pci_path(class_net(), "eth1"), device_path("pci0000:00/0000:00:05.0"));
  EXPECT_EQ(interface_pci_path(class_net(), "eth2"), device_path("pci10000:e1/10000:e1:02.0"));
  EXPECT_EQ(interface_pci_path(class_net(), "eth3"), "");
  EXPECT_EQ(interface_pci_path(class_net(), "eth4"), "");
  EXPECT_EQ(interface_pci_path(class_net(), "absent"), "");
}

TEST(ListInterfaces, FindsLoopbackOnThisMachine) {
  const auto all = list_interfaces();
  ASSERT_TRUE(all.is_ok()) << all.status().message();
  bool found = false;
  for (const InterfaceAddress& entry : *all) {
    EXPECT_FALSE(entry.name.empty());
    EXPECT_GT(entry.speed_mbps, 0);
    if (!entry.is_loopback) continue;
    found = true;
    if (entry.has_address && entry.address.is_loopback()) {
      EXPECT_EQ(entry.prefix_length, entry.address.family == Family::kIpv4 ? 8 : 128);
    }
    EXPECT_EQ(entry.pci_path, "");
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace weft::tcp
