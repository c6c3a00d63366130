// Names of devices: their order, and their place on the PCI bus.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "transport/engine/natural_order.h"
#include "transport/engine/pci_path.h"

namespace weft::engine {
namespace {

TEST(NaturalOrder, RunsOfDigitsAreNumbers) {
  std::vector<std::string> names = {"mlx5_10",  "mlx5_2", "eth01", "eth1",
                                    "mlx5_2:2", "eth0",   "eth",   "mlx5_0"};
  std::sort(names.begin(), names.end(), natural_less);
  EXPECT_THAT(names, ::testing::ElementsAre("eth", "eth0", "eth01", "eth1", "mlx5_0", "mlx5_2", "mlx5_2:2",
                                            "mlx5_10"));
  EXPECT_FALSE(natural_less("eth1", "eth1"));
}

TEST(PciPath, TellsAFunctionByItsName) {
  for (const char* yes : {"0000:3b:00.1", "10000:e1:00.0", "ffff:FF:1f.7"})
    EXPECT_TRUE(is_pci_function(yes)) << yes;
  for (const char* no :
       {"", "pci0000:3a", "3b:00.1", "0000:3b:00", "0000:3b:00.", "0000:3b:00.1x", "000g:3b:00.1"}) {
    EXPECT_FALSE(is_pci_function(no)) << no;
  }
}

TEST(PciPath, IsTheLastFunctionAboveTheDevice) {
  std::string folder = std::filesystem::temp_directory_path() / "weft-pci-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string function = folder + "/pci0000:3a/0000:3a:00.0/0000:3b:00.1";
  std::filesystem::create_directories(function + "/mlx5_core.rdma.0");
  std::filesystem::create_directory_symlink(function + "/mlx5_core.rdma.0", folder + "/device");
  EXPECT_EQ(pci_function_of(folder + "/device"), std::filesystem::canonical(function).string());
  EXPECT_EQ(pci_function_of(folder + "/pci0000:3a"), "");
  EXPECT_EQ(pci_function_of(folder + "/gone"), "");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace weft::engine
