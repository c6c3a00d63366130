#include "transport/ucx/device_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace weft::ucx {
namespace {

constexpr int kGidsLookedAt = 16;

const tcp::InterfaceAddress* find_interface(const std::string& name, int address_family,
                                            std::span<const tcp::InterfaceAddress> host) {
  const tcp::InterfaceAddress* found = nullptr;
  for (const tcp::InterfaceAddress& one : host) {
    const bool family_fits = address_family == 0 || static_cast<int>(one.address.family) == address_family;
    if (one.name != name || !one.has_address || !one.is_up || !family_fits) continue;
    if (found == nullptr || (found->address.is_link_local() && !one.address.is_link_local())) found = &one;
  }
  return found;
}

void add_once(std::vector<std::string>& names, std::string name) {
  if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end())
    names.push_back(std::move(name));
}

}  // namespace

// "#      resource 3  :  md 1  dev 3  flags -- rc_verbs/rxe_a0:1", a line for each pair of transport and
// device.
std::vector<DeviceName> parse_devices(const std::string& printed) {
  std::vector<DeviceName> devices;
  std::istringstream lines(printed);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, kind, last;
    if (!(words >> hash >> kind) || hash != "#" || kind != "resource") continue;
    for (std::string word; words >> word;) last = word;
    const std::size_t slash = last.find('/');
    if (slash == std::string::npos || slash == 0 || slash + 1 == last.size()) continue;
    const std::string name = last.substr(slash + 1);
    auto found = std::find_if(devices.begin(), devices.end(),
                              [&](const DeviceName& device) { return device.name == name; });
    if (found == devices.end()) found = devices.insert(devices.end(), DeviceName{name, {}});
    found->transports.push_back(last.substr(0, slash));
  }
  return devices;
}

Result<std::vector<ChosenDevice>> choose_devices(
    std::span<const DeviceName> devices, std::span<const tcp::InterfaceAddress> host,
    std::span<const tcp::InterfaceAddress> selected, int address_family,
    const std::function<std::vector<std::string>(const std::string&)>& netdevs) {
  std::vector<ChosenDevice> chosen;
  std::vector<DeviceName> homeless;
  const auto is_taken = [&](const tcp::InterfaceAddress& interface) {
    return std::any_of(chosen.begin(), chosen.end(), [&](const ChosenDevice& one) {
      return one.interface.address.same_address(interface.address);
    });
  };
  std::string names;
  for (const DeviceName& device : devices) {
    names += (names.empty() ? "" : ", ") + device.name;
    if (device.is_tcp()) continue;
    const tcp::InterfaceAddress* own = nullptr;
    for (const std::string& netdev : netdevs(device.name)) {
      if (own == nullptr) own = find_interface(netdev, address_family, host);
    }
    if (own == nullptr || is_taken(*own)) {
      homeless.push_back(device);
    } else {
      chosen.push_back({device, *own});
    }
  }
  for (const DeviceName& device : homeless) {
    auto guest =
        std::find_if(selected.begin(), selected.end(), [&](const auto& one) { return !is_taken(one); });
    if (guest != selected.end()) chosen.push_back({device, *guest});
  }
  for (const DeviceName& device : devices) {
    if (!device.is_tcp() || (!chosen.empty() && !chosen.front().device.is_tcp())) continue;
    auto own = std::find_if(selected.begin(), selected.end(),
                            [&](const auto& one) { return one.name == device.name; });
    if (own != selected.end() && !is_taken(*own)) chosen.push_back({device, *own});
  }
  if (chosen.size() > kMaxDevices) chosen.resize(kMaxDevices);
  if (!chosen.empty()) return chosen;
  return Status(StatusCode::kUnreachable,
                fmt::format("paths over UCX are dialled over IP interfaces, and none that WEFT_IF and "
                            "WEFT_FAMILY leave is that of a network device of UCX's ({})",
                            names.empty() ? "there is none" : names));
}

std::vector<std::string> netdevs_of(const std::string& device, const std::string& sys) {
  std::vector<std::string> names;
  const std::size_t colon = device.rfind(':');
  if (colon == std::string::npos) return names;
  const std::filesystem::path base =
      std::filesystem::path(sys) / "class/infiniband" / device.substr(0, colon);
  for (int i = 0; i < kGidsLookedAt; ++i) {
    std::ifstream file(base / "ports" / device.substr(colon + 1) / "gid_attrs/ndevs" / std::to_string(i));
    std::string name;
    if (file >> name) add_once(names, name);
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(base / "device/net", error))
    add_once(names, entry.path().filename().string());
  return names;
}

}  // namespace weft::ucx
