#include "transport/tcp/interfaces.h"

#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>

#include "transport/engine/natural_order.h"
#include "transport/engine/pci_path.h"

namespace weft::tcp {
namespace {

int prefix_length_of(const sockaddr* netmask, Family family) {
  if (netmask == nullptr) return family == Family::kIpv4 ? 32 : 128;
  IpAddress mask;
  // The kernel leaves the family of a mask unset at times, so it is taken from the address.
  if (family == Family::kIpv4) {
    const auto* in = reinterpret_cast<const std::uint8_t*>(netmask) + 4;
    std::copy_n(in, 4, mask.bytes.begin());
  } else {
    const auto* in6 = reinterpret_cast<const std::uint8_t*>(netmask) + 8;
    std::copy_n(in6, 16, mask.bytes.begin());
  }
  int bits = 0;
  for (const std::uint8_t byte : mask.bytes) {
    bits += std::countl_one(byte);
    if (byte != 0xff) break;
  }
  return bits;
}

// The device behind an address label such as eth0:1.
std::string device_name(const char* label) {
  const std::string_view text(label);
  return std::string(text.substr(0, text.find(':')));
}

bool is_bridge_of_containers(std::string_view name) {
  return name.starts_with("docker") || name.starts_with("virbr");
}

bool family_allowed(const IpAddress& address, int address_family) {
  return address_family == 0 || address_family == static_cast<int>(address.family);
}

bool usable(const InterfaceAddress& entry, int address_family) {
  return entry.is_up && entry.has_address && family_allowed(entry.address, address_family) &&
         !entry.address.is_unspecified() && !entry.address.is_multicast();
}

// Smaller is better.
int preference(const IpAddress& address) {
  if (address.is_link_local()) return address.family == Family::kIpv4 ? 3 : 4;
  if (address.family == Family::kIpv4) return 0;
  return address.is_unique_local() ? 2 : 1;
}

constexpr int kTiers = 4;

int tier(const InterfaceAddress& entry) {
  if (entry.is_loopback) return 3;
  if (is_bridge_of_containers(entry.name)) return 2;
  return entry.address.is_link_local() ? 1 : 0;
}

// The best address of each interface among `candidates`, no address twice.
std::vector<InterfaceAddress> one_for_each_interface(std::vector<InterfaceAddress> candidates) {
  std::vector<std::string> order;
  for (const InterfaceAddress& entry : candidates) {
    if (std::find(order.begin(), order.end(), entry.name) == order.end()) order.push_back(entry.name);
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const InterfaceAddress& a, const InterfaceAddress& b) {
                     return preference(a.address) < preference(b.address);
                   });
  std::vector<InterfaceAddress> chosen;
  for (const std::string& name : order) {
    const auto best = std::find_if(candidates.begin(), candidates.end(), [&](const InterfaceAddress& entry) {
      return entry.name == name &&
             std::none_of(chosen.begin(), chosen.end(),
                          [&](const InterfaceAddress& taken) { return taken.address == entry.address; });
    });
    if (best != candidates.end() && chosen.size() < kMaxInterfaces) chosen.push_back(*best);
  }
  return chosen;
}

std::string describe(std::span<const InterfaceAddress> all) {
  if (all.empty()) return "none";
  std::string text;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const InterfaceAddress& entry = all[i];
    const bool continued = i > 0 && all[i - 1].name == entry.name;
    if (!continued) text += (i > 0 ? "), " : "") + entry.name + " (" + (entry.is_up ? "" : "down, ");
    if (continued) text += " ";
    text += entry.has_address ? entry.address.to_string() + "/" + std::to_string(entry.prefix_length)
                              : "no address";
  }
  return text + ")";
}

Status nothing_left(std::span<const InterfaceAddress> all, const engine::InterfaceFilter& filter,
                    int address_family) {
  std::string wanted = "no network interface is up and has an ";
  wanted +=
      address_family == 0 ? "IPv4 or IPv6 address" : "IPv" + std::to_string(address_family) + " address";
  std::string advice;
  if (!filter.text().empty()) {
    wanted += " among those that WEFT_IF=\"" + filter.text() + "\" (or NCCL_SOCKET_IFNAME) allows";
    advice = "Set WEFT_IF to one of them, or unset it";
  }
  if (address_family != 0) {
    advice += advice.empty() ? "Unset" : "; or unset";
    advice +=
        " WEFT_FAMILY=" + std::to_string(address_family) + " (or NCCL_SOCKET_FAMILY) to allow both families";
  }
  if (advice.empty()) advice = "Bring one up (ip link set NAME up) and give it an address (ip address add)";
  return {StatusCode::kBadConfiguration,
          wanted + ". Interfaces here: " + describe(all) + ". " + advice + "."};
}

}  // namespace

Result<std::vector<InterfaceAddress>> list_interfaces(const std::string& class_net_folder) {
  ifaddrs* raw = nullptr;
  if (getifaddrs(&raw) != 0) {
    return Status(StatusCode::kInternal,
                  "cannot list network interfaces: getifaddrs: " + std::generic_category().message(errno));
  }
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> list(raw, freeifaddrs);

  std::map<std::string, std::vector<InterfaceAddress>, decltype(&engine::natural_less)> by_name(
      &engine::natural_less);
  for (const ifaddrs* item = raw; item != nullptr; item = item->ifa_next) {
    InterfaceAddress entry;
    entry.name = device_name(item->ifa_name);
    std::vector<InterfaceAddress>& entries = by_name[entry.name];
    const auto address = IpAddress::from_sockaddr(item->ifa_addr);
    if (!address && !entries.empty()) continue;
    entry.is_up = (item->ifa_flags & IFF_UP) != 0 && (item->ifa_flags & IFF_RUNNING) != 0;
    entry.is_loopback = (item->ifa_flags & IFF_LOOPBACK) != 0;
    if (address) {
      entry.has_address = true;
      entry.address = *address;
      entry.prefix_length = prefix_length_of(item->ifa_netmask, address->family);
      if (!entries.empty() && !entries.front().has_address) entries.clear();
    }
    entries.push_back(entry);
  }

  std::vector<InterfaceAddress> result;
  for (auto& [name, entries] : by_name) {
    const unsigned index = if_nametoindex(name.c_str());
    const int speed_mbps = interface_speed_mbps(class_net_folder, name);
    const std::string pci_path = interface_pci_path(class_net_folder, name);
    for (InterfaceAddress& entry : entries) {
      entry.index = index;
      entry.speed_mbps = speed_mbps;
      entry.pci_path = pci_path;
      result.push_back(std::move(entry));
    }
  }
  return result;
}

Result<std::vector<InterfaceAddress>> select_interfaces(std::span<const InterfaceAddress> all,
                                                        const engine::InterfaceFilter& filter,
                                                        int address_family) {
  std::vector<InterfaceAddress> candidates;
  for (const InterfaceAddress& entry : all) {
    if (usable(entry, address_family) && filter.matches(entry.name)) candidates.push_back(entry);
  }
  if (candidates.empty()) return nothing_left(all, filter, address_family);
  if (filter.picks_by_name()) return one_for_each_interface(std::move(candidates));

  int best_tier = kTiers;
  for (const InterfaceAddress& entry : candidates) best_tier = std::min(best_tier, tier(entry));
  std::erase_if(candidates, [&](const InterfaceAddress& entry) { return tier(entry) != best_tier; });
  return one_for_each_interface(std::move(candidates));
}

int interface_speed_mbps(const std::string& class_net_folder, const std::string& name) {
  std::ifstream file(class_net_folder + "/" + name + "/speed");
  int speed_mbps = 0;
  // The kernel writes -1, or 4294967295 in older releases, for "unknown"; the latter does not fit and fails
  // to read.
  if (!(file >> speed_mbps) || speed_mbps <= 0) return kDefaultSpeedMbps;
  return speed_mbps;
}

std::string interface_pci_path(const std::string& class_net_folder, const std::string& name) {
  return engine::pci_function_of(class_net_folder + "/" + name + "/device");
}

}  // namespace weft::tcp
