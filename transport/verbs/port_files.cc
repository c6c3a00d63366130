#include "transport/verbs/port_files.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include "transport/engine/pci_path.h"

namespace weft::verbs {
namespace {

std::optional<std::string> first_line(const std::string& file) {
  std::ifstream opened(file);
  std::string line;
  if (!std::getline(opened, line)) return std::nullopt;
  return line;
}

std::optional<int> number_in(const std::string& file) {
  std::ifstream opened(file);
  int number = 0;
  if (!(opened >> number)) return std::nullopt;
  return number;
}

GidType type_of(const std::optional<std::string>& text, LinkLayer link_layer) {
  if (text && text->find("v2") != std::string::npos) return GidType::kRoceV2;
  // "IB/RoCE v1" is one word for both; kernels before 4.5 had v1 only and no such file.
  return link_layer == LinkLayer::kEthernet ? GidType::kRoceV1 : GidType::kInfiniBand;
}

std::vector<GidEntry> read_gids(const std::string& port_folder, LinkLayer link_layer) {
  std::vector<GidEntry> table;
  for (int index = 0; index < kMaxGidEntries; ++index) {
    const std::string number = std::to_string(index);
    const auto text = first_line(port_folder + "/gids/" + number);
    if (!text) {
      // The end of the table; a single entry may be unreadable while it changes.
      if (!std::filesystem::exists(port_folder + "/gids/" + number)) break;
      continue;
    }
    const auto bytes = parse_gid(*text);
    if (!bytes || is_unset(*bytes)) continue;
    table.push_back({index, *bytes,
                     type_of(first_line(port_folder + "/gid_attrs/types/" + number), link_layer),
                     first_line(port_folder + "/gid_attrs/ndevs/" + number).value_or("")});
  }
  return table;
}

// Of the interfaces that hang off the device, the one of this port. A function with two ports (old ConnectX)
// has one for each, told apart by dev_port, which counts from 0.
std::string netdev_of_device(const std::string& device_folder, const std::string& sys, int port) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(device_folder + "/device/net", error)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (number_in(sys + "/class/net/" + name + "/dev_port").value_or(0) == port - 1) return name;
  }
  return names.size() == 1 ? names.front() : "";
}

GidBytes bytes_of(const sockaddr* address) {
  GidBytes bytes{};
  if (address->sa_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof in);
    bytes[10] = bytes[11] = 0xff;
    std::memcpy(bytes.data() + 12, &in.sin_addr, 4);
  } else {
    sockaddr_in6 in6;
    std::memcpy(&in6, address, sizeof in6);
    std::memcpy(bytes.data(), &in6.sin6_addr, bytes.size());
  }
  return bytes;
}

}  // namespace

PortFiles read_port_files(const std::string& device, int port, LinkLayer link_layer, const std::string& sys) {
  const std::string folder = sys + "/class/infiniband/" + device;
  const std::string port_folder = folder + "/ports/" + std::to_string(port);
  PortFiles files;
  files.gids = read_gids(port_folder, link_layer);
  files.rate_mbps = parse_rate(first_line(port_folder + "/rate").value_or(""));

  // The first entry is made from the MAC of the port's own interface, also where that is a bond, which the
  // device's folder does not have. Software devices name theirs as their parent.
  if (!files.gids.empty()) files.netdev = files.gids.front().netdev;
  if (files.netdev.empty()) files.netdev = netdev_of_device(folder, sys, port);
  if (files.netdev.empty()) files.netdev = first_line(folder + "/parent").value_or("");

  files.pci_path = engine::pci_function_of(folder + "/device");
  if (files.pci_path.empty() && !files.netdev.empty()) {
    files.pci_path = engine::pci_function_of(sys + "/class/net/" + files.netdev + "/device");
  }
  if (!files.pci_path.empty()) {
    files.numa_node = std::max(-1, number_in(files.pci_path + "/numa_node").value_or(-1));
  }
  return files;
}

int parse_rate(const std::string& text) {
  std::istringstream words(text);
  words.imbue(std::locale::classic());
  double gigabits = 0;
  std::string unit;
  if (!(words >> gigabits >> unit) || unit != "Gb/sec" || gigabits <= 0 || gigabits > 1e6) return 0;
  return static_cast<int>(std::lround(gigabits * 1000));
}

int link_speed_mbps(unsigned width_code, unsigned speed_code) {
  constexpr struct {
    unsigned code;
    int value;
  } kLanes[] = {{1, 1}, {2, 4}, {4, 8}, {8, 12}, {16, 2}},
    kLaneMbps[] = {{1, 2500},   {2, 5000},   {4, 10000},    {8, 10000},   {16, 14000},
                   {32, 25000}, {64, 50000}, {128, 100000}, {256, 200000}};
  int lanes = 0, lane_mbps = 0;
  for (const auto& width : kLanes)
    if (width.code == width_code) lanes = width.value;
  for (const auto& speed : kLaneMbps)
    if (speed.code == speed_code) lane_mbps = speed.value;
  return lanes * lane_mbps;
}

std::vector<NetdevAddress> netdev_addresses() {
  ifaddrs* raw = nullptr;
  if (getifaddrs(&raw) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> list(raw, freeifaddrs);
  std::vector<NetdevAddress> addresses;
  for (const ifaddrs* item = raw; item != nullptr; item = item->ifa_next) {
    if (item->ifa_addr == nullptr) continue;
    if (item->ifa_addr->sa_family != AF_INET && item->ifa_addr->sa_family != AF_INET6) continue;
    const std::string label = item->ifa_name;  // eth0:1 is a label of eth0
    addresses.push_back({label.substr(0, label.find(':')), bytes_of(item->ifa_addr)});
  }
  return addresses;
}

}  // namespace weft::verbs
