// Which of UCX's devices become planes, on lists that stand for machines.
#include "transport/ucx/device_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace weft::ucx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

tcp::InterfaceAddress interface(const std::string& name, const std::string& address, bool up = true) {
  tcp::InterfaceAddress one;
  one.name = name;
  one.has_address = true;
  one.address = *tcp::IpAddress::parse(address);
  one.prefix_length = 24;
  one.is_up = up;
  return one;
}

std::vector<std::string> chosen(const std::vector<DeviceName>& devices,
                                const std::vector<tcp::InterfaceAddress>& host,
                                const std::vector<tcp::InterfaceAddress>& selected, int family = 0) {
  auto result = choose_devices(devices, host, selected, family, [](const std::string& device) {
    if (device == "mlx5_0:1") return std::vector<std::string>{"ib0"};
    if (device == "mlx5_1:1") return std::vector<std::string>{"bond7", "ib1"};
    return std::vector<std::string>{};
  });
  std::vector<std::string> texts;
  if (!result) return {result.status().message()};
  for (const ChosenDevice& one : *result)
    texts.push_back(one.device.name + "@" + one.interface.address.to_string());
  return texts;
}

const DeviceName kTcpEth{"eth0", {"tcp"}}, kTcpIb{"ib0", {"tcp"}},
    kMlx0{"mlx5_0:1", {"rc_verbs", "ud_verbs"}}, kMlx1{"mlx5_1:1", {"rc_verbs"}},
    kGemini{"GEMINI:0", {"ugni_rdma"}};

TEST(DeviceChoice, DevicesAreReadFromWhatUcxPrints) {
  EXPECT_THAT(
      parse_devices(
          "#\n# UCP context\n#\n#     component 1  :  tcp\n#            md 0  :  component 1  tcp \n#\n"
          "#      resource 0  :  md 0  dev 0  flags -- tcp/eth0\n"
          "#      resource 1  :  md 1  dev 1  flags -- rc_verbs/mlx5_0:1\n"
          "#      resource 2  :  md 1  dev 1  flags a- ud_verbs/mlx5_0:1\n#\n"),
      ElementsAre(kTcpEth, kMlx0));
  EXPECT_THAT(parse_devices(""), IsEmpty());
  EXPECT_THAT(parse_devices("# resource\n# resource /\n# resource x/\n# resource /x\nresource 0 tcp/eth0\n"),
              IsEmpty());
}

TEST(DeviceChoice, AnRdmaDeviceIsDialledOverItsOwnInterface) {
  const std::vector host{interface("eth0", "10.9.0.1"), interface("ib0", "10.0.0.1"),
                         interface("ib1", "10.0.1.1")};
  EXPECT_THAT(chosen({kTcpEth, kTcpIb, kMlx0, kMlx1}, host, {host[0]}),
              ElementsAre("mlx5_0:1@10.0.0.1", "mlx5_1:1@10.0.1.1"))
      << "and where there are such, UCX's tcp is left alone";
}

TEST(DeviceChoice, TcpServesWhereNothingElseDoesAndOnChosenInterfacesOnly) {
  const std::vector host{interface("eth0", "10.9.0.1"), interface("ib0", "10.0.0.1")};
  EXPECT_THAT(chosen({kTcpEth, kTcpIb}, host, host), ElementsAre("eth0@10.9.0.1", "ib0@10.0.0.1"));
  EXPECT_THAT(chosen({kTcpEth, kTcpIb}, host, {host[1]}), ElementsAre("ib0@10.0.0.1"));
}

TEST(DeviceChoice, ADeviceWithoutAnInterfaceTakesOneThatNoOtherHas) {
  const std::vector host{interface("ib0", "10.0.0.1"), interface("eth0", "10.9.0.1")};
  EXPECT_THAT(chosen({kMlx0, kGemini}, host, host), ElementsAre("mlx5_0:1@10.0.0.1", "GEMINI:0@10.9.0.1"));
  EXPECT_THAT(chosen({kMlx0, kGemini}, host, {host[0]}), ElementsAre("mlx5_0:1@10.0.0.1"));
}

TEST(DeviceChoice, AnInterfaceThatIsDownOrOfAnotherFamilyServesNobody) {
  const std::vector host{interface("ib0", "10.0.0.1", false), interface("eth0", "10.9.0.1"),
                         interface("ib1", "fe80::1"), interface("ib1", "fd00::1")};
  EXPECT_THAT(chosen({kMlx0}, host, {host[1]}), ElementsAre("mlx5_0:1@10.9.0.1"));
  EXPECT_THAT(chosen({kMlx1}, host, {}), ElementsAre("mlx5_1:1@fd00::1"))
      << "no link-local address if there is another";
  EXPECT_THAT(chosen({kMlx1}, host, {}, 4), ElementsAre(HasSubstr("mlx5_1:1")));
}

TEST(DeviceChoice, WhereNothingIsLeftItIsSaid) {
  EXPECT_THAT(chosen({kTcpEth}, {}, {}), ElementsAre(HasSubstr("network device of UCX's (eth0)")));
  EXPECT_THAT(chosen({}, {}, {}), ElementsAre(HasSubstr("there is none")));
}

TEST(DeviceChoice, InterfacesOfADeviceAreReadFromSys) {
  const std::filesystem::path sys = std::filesystem::path(::testing::TempDir()) / "weft_ucx_sys";
  std::filesystem::remove_all(sys);
  const auto base = sys / "class/infiniband/mlx5_3";
  std::filesystem::create_directories(base / "ports/2/gid_attrs/ndevs");
  std::filesystem::create_directories(base / "device/net/ib4");
  std::ofstream(base / "ports/2/gid_attrs/ndevs/0") << "eth7\n";
  std::ofstream(base / "ports/2/gid_attrs/ndevs/3") << "eth7.100\n";
  std::ofstream(base / "ports/2/gid_attrs/ndevs/4") << "eth7\n";
  EXPECT_THAT(netdevs_of("mlx5_3:2", sys), ElementsAre("eth7", "eth7.100", "ib4"));
  EXPECT_THAT(netdevs_of("mlx5_3:1", sys), ElementsAre("ib4"));
  EXPECT_THAT(netdevs_of("mlx5_4:1", sys), IsEmpty());
  EXPECT_THAT(netdevs_of("eth0", sys), IsEmpty());
  std::filesystem::remove_all(sys);
}

}  // namespace
}  // namespace weft::ucx
