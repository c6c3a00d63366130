// Which devices stand by, on trees of folders like those of /sys.
#include "transport/engine/device_distance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace weft::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

// Two sockets. Node 0: a GPU and a NIC below one switch, and a NIC on another root port. Node 1: two NICs.
class DeviceDistance : public ::testing::Test {
 protected:
  DeviceDistance() {
    std::string pattern = (fs::temp_directory_path() / "weft-sys-XXXXXX").string();
    root_ = fs::canonical(mkdtemp(pattern.data()));
    gpu_ = add("pci0000:3a/0000:3a:00.0/0000:3b:00.0/0000:3c:00.0/0000:3d:00.0", 0);
    same_switch_ = add("pci0000:3a/0000:3a:00.0/0000:3b:00.0/0000:3c:01.0/0000:3e:00.0", 0);
    same_node_ = add("pci0000:3a/0000:3a:02.0/0000:40:00.0", 0);
    other_node_ = add("pci0000:80/0000:80:01.0/0000:81:00.0", 1);
    also_other_ = add("pci0000:80/0000:80:02.0/0000:82:00.0", 1);
  }
  ~DeviceDistance() override { fs::remove_all(root_); }

  std::string add(const std::string& below, int node) {
    const fs::path folder = root_ / "devices" / below;
    fs::create_directories(folder);
    std::ofstream(folder / "numa_node") << node << "\n";
    fs::create_directories(root_ / "bus/pci/devices");
    fs::create_directory_symlink(folder, root_ / "bus/pci/devices" / folder.filename());
    return folder.string();
  }
  void add_node(int node, const std::string& cpus) {
    const fs::path folder = root_ / "devices/system/node" / ("node" + std::to_string(node));
    fs::create_directories(folder);
    std::ofstream(folder / "cpulist") << cpus << "\n";
  }
  Result<std::vector<bool>> find(const std::string& near, std::vector<std::string> devices) {
    return find_far_devices(near, devices, root_.string());
  }

  fs::path root_;
  std::string gpu_, same_switch_, same_node_, other_node_, also_other_;
};

TEST_F(DeviceDistance, IsThatOfThePciTree) {
  EXPECT_EQ(distance(gpu_, same_switch_), Distance::kSwitch);
  EXPECT_EQ(distance(gpu_, same_node_), Distance::kNode);
  EXPECT_EQ(distance(gpu_, other_node_), Distance::kSystem);
  EXPECT_EQ(distance(other_node_, also_other_), Distance::kNode);
  const std::string nowhere = add("pci0000:90/0000:90:00.0/0000:91:00.0", -1);
  EXPECT_EQ(distance(nowhere, add("pci0000:a0/0000:a0:00.0/0000:a1:00.0", -1)), Distance::kSystem)
      << "unknown nodes are not one node";
}

TEST_F(DeviceDistance, OfAGpuTheNearestAreUsed) {
  EXPECT_THAT(*find("0000:3d:00.0", {same_node_, same_switch_, other_node_}), ElementsAre(true, false, true));
  EXPECT_THAT(*find("0000:3d:00.0", {same_node_, other_node_}), ElementsAre(false, true));
  EXPECT_THAT(*find("0000:3d:00.0", {other_node_, also_other_}), ElementsAre(false, false)) << "never all";
  EXPECT_THAT(*find("0000:3d:00.0", {"", same_switch_, other_node_}), ElementsAre(false, false, true))
      << "a bond or a bridge has no place";
  EXPECT_THAT(*find("00000000:3D:00.0", {same_switch_, other_node_}), ElementsAre(false, true))
      << "as nvidia-smi writes it";
}

TEST_F(DeviceDistance, AnUnknownGpuIsRefused) {
  const auto found = find("0000:77:00.0", {same_node_});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.status().code(), StatusCode::kBadConfiguration);
  EXPECT_THAT(found.status().message(), HasSubstr("WEFT_NEAR=0000:77:00.0"));
}

TEST_F(DeviceDistance, OffMeansNone) {
  EXPECT_THAT(*find("off", {same_node_, other_node_}), ElementsAre(false, false));
}

class BoundProcess : public DeviceDistance {
 protected:
  BoundProcess() {
    CPU_ZERO(&before_);
    sched_getaffinity(0, sizeof before_, &before_);
    for (unsigned i = 0; i < CPU_SETSIZE; ++i)
      if (CPU_ISSET(i, &before_)) cpus_.push_back(i);
  }
  ~BoundProcess() override { sched_setaffinity(0, sizeof before_, &before_); }
  void bind_to(unsigned cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  }
  cpu_set_t before_;
  std::vector<unsigned> cpus_;
};

TEST_F(BoundProcess, StaysOnItsNode) {
  // The node of the first processor that this test may use has that one only.
  add_node(0, std::to_string(cpus_[0]));
  add_node(1, "1000-1003,1008");
  EXPECT_THAT(*find("auto", {same_node_, other_node_, ""}), ElementsAre(false, true, false));
  EXPECT_THAT(*find("auto", {other_node_, also_other_}), ElementsAre(false, false)) << "never all";
  add_node(1, std::to_string(cpus_[0]) + ",1000");
  EXPECT_THAT(*find("auto", {same_node_, other_node_}), ElementsAre(false, false)) << "bound to nothing";
}

TEST_F(BoundProcess, ByItsAffinity) {
  if (cpus_.size() < 2) GTEST_SKIP() << "one processor only";
  add_node(0, std::to_string(cpus_[0]));
  add_node(1, std::to_string(cpus_[1]));
  EXPECT_THAT(*find("auto", {same_node_, other_node_}), ElementsAre(false, false));
  bind_to(cpus_[1]);
  EXPECT_THAT(*find("auto", {same_node_, other_node_}), ElementsAre(true, false));
}

TEST_F(DeviceDistance, AMachineOfOneNodeHasNoFarDevices) {
  add_node(0, "0-1023");
  EXPECT_THAT(*find("auto", {same_node_, other_node_}), ElementsAre(false, false));
  fs::remove_all(root_ / "devices/system");
  EXPECT_THAT(*find("auto", {same_node_, other_node_}), ElementsAre(false, false)) << "no NUMA at all";
}

}  // namespace
}  // namespace weft::engine
