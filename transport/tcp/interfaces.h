// Which network interfaces this machine has and which of them become planes.
//
// list_interfaces() asks the kernel; select_interfaces() decides on a list that may as well come from a test.
// Values; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "transport/engine/interface_filter.h"
#include "transport/tcp/ip_address.h"
#include "weft/status.h"

namespace weft::tcp {

inline constexpr int kDefaultSpeedMbps = 10000;  // where the kernel does not know: virtual devices, link down
inline constexpr std::size_t kMaxInterfaces = 32;

// One address of one interface.
struct InterfaceAddress {
  std::string name;
  unsigned index = 0;        // the kernel's number, which is also the scope of link-local addresses
  bool has_address = false;  // false for the single entry of an interface without any IP address
  IpAddress address;
  int prefix_length = 0;
  bool is_up = false;  // up and running: switched on, and a carrier is there
  bool is_loopback = false;
  int speed_mbps = kDefaultSpeedMbps;
  std::string pci_path;  // real path of the PCI function's folder in /sys; empty for virtual interfaces
  bool standby = false;  // far from what the process works with (engine/device_distance.h)
};

// Every address of every interface of this network namespace, interfaces in natural order of their names
// (eth2 before eth10), addresses in the kernel's order. Interfaces that are down are listed too. kInternal
// where the kernel refuses; the folder is a parameter for tests only.
Result<std::vector<InterfaceAddress>> list_interfaces(const std::string& class_net_folder = "/sys/class/net");

// The planes: at most one address for each interface that is up, in the order of `all`.
//
// - `filter` picks or excludes names. Unless it picks by name, interfaces come in tiers, and only the first
// tier
//   that has any is used: ordinary ones; ordinary ones with nothing but link-local addresses; docker* and
//   virbr*; loopback.
// - `address_family` 0 takes IPv4 where an interface has it, else IPv6; 4 and 6 take that family only. Within
// IPv6,
//   global before unique-local; link-local last.
// - An address that an earlier interface already has is not taken again.
// - At most kMaxInterfaces, the first ones.
//
// kBadConfiguration where nothing is left; the message names filter and family, lists what exists and says
// which variable to change.
Result<std::vector<InterfaceAddress>> select_interfaces(std::span<const InterfaceAddress> all,
                                                        const engine::InterfaceFilter& filter,
                                                        int address_family);

// CLASS_NET_FOLDER/NAME/speed in Mb/s, kDefaultSpeedMbps where it is missing, unreadable or not positive.
int interface_speed_mbps(const std::string& class_net_folder, const std::string& name);

// The real path of CLASS_NET_FOLDER/NAME/device, cut back to its last component that is a PCI function
// (0000:3b:00.1): virtio and auxiliary devices hang below theirs. Empty where there is none.
std::string interface_pci_path(const std::string& class_net_folder, const std::string& name);

}  // namespace weft::tcp
