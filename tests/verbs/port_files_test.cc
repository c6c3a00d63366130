// What is read from /sys, from folders made like those of real machines.
#include "transport/verbs/port_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

namespace weft::verbs {
namespace {

namespace fs = std::filesystem;

class PortFilesTest : public ::testing::Test {
 protected:
  PortFilesTest() : sys_(fs::temp_directory_path() / "weft-sys-XXXXXX") {
    EXPECT_NE(mkdtemp(sys_.data()), nullptr);
    sys_ = fs::canonical(sys_);
  }
  ~PortFilesTest() override { fs::remove_all(sys_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(sys_ + "/" + path).parent_path());
    std::ofstream(sys_ + "/" + path) << text << "\n";
  }
  void link(const std::string& path, const std::string& target) {
    fs::create_directories(fs::path(sys_ + "/" + path).parent_path());
    fs::create_directories(sys_ + "/" + target);
    fs::create_directory_symlink(sys_ + "/" + target, sys_ + "/" + path);
  }
  // An empty `type` leaves the attribute files out, as the kernel does (EINVAL) for free entries.
  void gid(const std::string& port, int index, const std::string& bytes, const std::string& type = "",
           const std::string& netdev = "") {
    const std::string number = std::to_string(index);
    write(port + "/gids/" + number, bytes);
    if (!type.empty()) write(port + "/gid_attrs/types/" + number, type);
    if (!netdev.empty()) write(port + "/gid_attrs/ndevs/" + number, netdev);
  }

  std::string sys_;
};

constexpr const char* kFree = "0000:0000:0000:0000:0000:0000:0000:0000";

TEST_F(PortFilesTest, AConnectXPort) {
  const std::string function = "devices/pci0000:3a/0000:3a:00.0/0000:3b:00.1";
  link("class/infiniband/mlx5_1/device", function);
  write(function + "/numa_node", "1");
  const std::string port = "class/infiniband/mlx5_1/ports/1";
  write(port + "/rate", "400 Gb/sec (4X NDR)");
  gid(port, 0, "fe80:0000:0000:0000:0ac0:ebff:fe01:0203", "IB/RoCE v1", "ens1f1np1");
  gid(port, 1, "fe80:0000:0000:0000:0ac0:ebff:fe01:0203", "RoCE v2", "ens1f1np1");
  gid(port, 2, kFree);
  gid(port, 3, "0000:0000:0000:0000:0000:ffff:0a01:0203", "RoCE v2", "ens1f1np1.700");
  gid(port, 4, kFree);

  const PortFiles files = read_port_files("mlx5_1", 1, LinkLayer::kEthernet, sys_);
  EXPECT_EQ(files.netdev, "ens1f1np1");
  EXPECT_EQ(files.pci_path, sys_ + "/" + function);
  EXPECT_EQ(files.numa_node, 1);
  EXPECT_EQ(files.rate_mbps, 400000);
  const auto mac = parse_gid("fe80::ac0:ebff:fe01:203").value();
  const auto ip = parse_gid("10.1.2.3").value();
  EXPECT_THAT(files.gids, ::testing::ElementsAre(GidEntry{0, mac, GidType::kRoceV1, "ens1f1np1"},
                                                 GidEntry{1, mac, GidType::kRoceV2, "ens1f1np1"},
                                                 GidEntry{3, ip, GidType::kRoceV2, "ens1f1np1.700"}));
}

TEST_F(PortFilesTest, AnInfiniBandPortWithIpoib) {
  const std::string function = "devices/pci0000:5c/0000:5d:00.0";
  link("class/infiniband/mlx5_0/device", function);
  write(function + "/net/ib0/address", "");
  write("class/net/ib0/dev_port", "0");
  write(function + "/numa_node", "-1");
  const std::string port = "class/infiniband/mlx5_0/ports/1";
  write(port + "/rate", "2.5 Gb/sec (1X SDR)");
  gid(port, 0, "fe80:0000:0000:0000:ec0d:9a03:0078:6b0e", "IB/RoCE v1");

  const PortFiles files = read_port_files("mlx5_0", 1, LinkLayer::kInfiniBand, sys_);
  EXPECT_EQ(files.netdev, "ib0");
  EXPECT_EQ(files.numa_node, -1);
  EXPECT_EQ(files.rate_mbps, 2500);
  ASSERT_EQ(files.gids.size(), 1u);
  EXPECT_EQ(files.gids[0].type, GidType::kInfiniBand);
}

TEST_F(PortFilesTest, TheSecondPortOfAFunctionHasItsOwnInterface) {
  link("class/infiniband/mlx4_0/device", "devices/pci0000:00/0000:01:00.0");
  for (const char* name : {"ib0", "ib1"}) {
    write(std::string("devices/pci0000:00/0000:01:00.0/net/") + name + "/address", "");
    write(std::string("class/net/") + name + "/dev_port", std::string(1, name[2]));
  }
  EXPECT_EQ(read_port_files("mlx4_0", 1, LinkLayer::kInfiniBand, sys_).netdev, "ib0");
  EXPECT_EQ(read_port_files("mlx4_0", 2, LinkLayer::kInfiniBand, sys_).netdev, "ib1");
}

TEST_F(PortFilesTest, SoftRoceTakesThePciPathOfItsInterface) {
  write("class/infiniband/rxe0/parent", "eth1");
  link("class/net/eth1/device", "devices/pci0000:00/0000:00:03.0/virtio1");
  write("devices/pci0000:00/0000:00:03.0/numa_node", "0");
  PortFiles files = read_port_files("rxe0", 1, LinkLayer::kEthernet, sys_);
  EXPECT_EQ(files.netdev, "eth1");
  EXPECT_EQ(files.pci_path, sys_ + "/devices/pci0000:00/0000:00:03.0");
  EXPECT_EQ(files.numa_node, 0);
  EXPECT_TRUE(files.gids.empty());

  gid("class/infiniband/rxe0/ports/1", 0, "fe80:0000:0000:0000:5054:00ff:fe12:3400", "RoCE v2", "bond0");
  EXPECT_EQ(read_port_files("rxe0", 1, LinkLayer::kEthernet, sys_).netdev, "bond0");
}

TEST_F(PortFilesTest, AKernelWithoutGidAttributesHasRoceV1) {
  gid("class/infiniband/mlx4_0/ports/1", 0, "fe80:0000:0000:0000:0202:c9ff:fe00:0001");
  const PortFiles files = read_port_files("mlx4_0", 1, LinkLayer::kEthernet, sys_);
  ASSERT_EQ(files.gids.size(), 1u);
  EXPECT_EQ(files.gids[0].type, GidType::kRoceV1);
}

TEST_F(PortFilesTest, WhatIsNotThereIsEmpty) {
  const PortFiles files = read_port_files("mlx5_7", 3, LinkLayer::kEthernet, sys_);
  EXPECT_EQ(files.netdev, "");
  EXPECT_EQ(files.pci_path, "");
  EXPECT_EQ(files.numa_node, -1);
  EXPECT_EQ(files.rate_mbps, 0);
  EXPECT_TRUE(files.gids.empty());
}

TEST_F(PortFilesTest, ATableWithoutAnEndIsNotReadForEver) {
  for (int i = 0; i < kMaxGidEntries + 5; ++i) {
    gid("class/infiniband/x/ports/1", i, "fe80:0000:0000:0000:0202:c9ff:fe00:0001");
  }
  EXPECT_EQ(read_port_files("x", 1, LinkLayer::kEthernet, sys_).gids.size(),
            static_cast<std::size_t>(kMaxGidEntries));
}

TEST(LinkSpeed, IsLanesTimesTheLanesRate) {
  EXPECT_EQ(link_speed_mbps(1, 1), 2500);
  EXPECT_EQ(link_speed_mbps(1, 8), 10000);     // SoftRoCE, 10 Gb/s Ethernet
  EXPECT_EQ(link_speed_mbps(2, 16), 56000);    // 4X FDR
  EXPECT_EQ(link_speed_mbps(1, 32), 25000);    // 25 Gb/s Ethernet
  EXPECT_EQ(link_speed_mbps(2, 32), 100000);   // 4X EDR
  EXPECT_EQ(link_speed_mbps(2, 64), 200000);   // 4X HDR
  EXPECT_EQ(link_speed_mbps(2, 128), 400000);  // 4X NDR
  EXPECT_EQ(link_speed_mbps(2, 256), 800000);  // 4X XDR, in the wide field only
  EXPECT_EQ(link_speed_mbps(8, 1), 30000);
  EXPECT_EQ(link_speed_mbps(16, 64), 100000);
  EXPECT_EQ(link_speed_mbps(3, 32), 0);
  EXPECT_EQ(link_speed_mbps(2, 512), 0);
}

TEST(LinkSpeed, IsReadFromTheKernelsWords) {
  EXPECT_EQ(parse_rate("800 Gb/sec (4X XDR)"), 800000);
  EXPECT_EQ(parse_rate("10 Gb/sec (1X FDR10)"), 10000);
  EXPECT_EQ(parse_rate("2.5 Gb/sec (1X SDR)"), 2500);
  for (const char* wrong : {"", "Gb/sec", "-1 Gb/sec", "10", "10 Mb/sec", "1e99 Gb/sec"}) {
    EXPECT_EQ(parse_rate(wrong), 0) << wrong;
  }
}

TEST(NetdevAddresses, HaveTheLoopbackDevice) {
  const auto addresses = netdev_addresses();
  const bool found = std::any_of(addresses.begin(), addresses.end(), [](const NetdevAddress& one) {
    return one.netdev == "lo" && one.address == parse_gid("127.0.0.1");
  });
  if (addresses.empty()) GTEST_SKIP() << "no network interface has an address here";
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace weft::verbs
