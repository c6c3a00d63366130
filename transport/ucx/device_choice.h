// Which of UCX's network devices become planes, and over which IP interface the paths of each are dialled.
// Pure, but for netdevs_of(), which reads files; any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "transport/tcp/interfaces.h"
#include "weft/status.h"

namespace weft::ucx {

inline constexpr std::size_t kMaxDevices = 16;

struct DeviceName {
  std::string name;                     // as in UCX_NET_DEVICES: mlx5_0:1, eth2
  std::vector<std::string> transports;  // UCX's: rc_verbs, ud_verbs, tcp

  bool is_tcp() const { return transports.size() == 1 && transports.front() == "tcp"; }
  bool operator==(const DeviceName&) const = default;
};

// Out of what ucp_context_print_info() says: the only place where UCX's own API names the devices of a
// context.
std::vector<DeviceName> parse_devices(const std::string& printed);

struct ChosenDevice {
  DeviceName device;
  tcp::InterfaceAddress interface;
};

// - A device of UCX's tcp is the interface of its name; it serves where nothing better does, and only on
//   interfaces that Weft itself would take (`selected`: by WEFT_IF and WEFT_FAMILY).
// - Any other device is dialled over a network interface of its own, where `netdevs` knows one that is up and
// has
//   an address; else over the first of `selected` that no other device has.
//
// kUnreachable where nothing is left; the message names the devices.
Result<std::vector<ChosenDevice>> choose_devices(
    std::span<const DeviceName> devices, std::span<const tcp::InterfaceAddress> host,
    std::span<const tcp::InterfaceAddress> selected, int address_family,
    const std::function<std::vector<std::string>(const std::string&)>& netdevs);

// The network interfaces of an RDMA device and port ("mlx5_0:1"), Ethernet or IPoIB, best first.
std::vector<std::string> netdevs_of(const std::string& device, const std::string& sys = "/sys");

}  // namespace weft::ucx
