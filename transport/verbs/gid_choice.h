// Which entry of a port's GID table its queue pairs use. Pure: a table and what is known of the machine go
// in, an entry or the reason why there is none comes out. Values; any thread.
//
// A RoCE port has an entry for each address of its network interfaces (VLANs on top included), each of them
// once as RoCE v1 and once as v2, plus two made from the MAC. The index that is right differs from machine to
// machine and changes with the addresses, so it is chosen anew whenever a queue pair is built. What counts,
// most important first:
//
//   1. RoCE v2 before v1: it is routed, and its UDP source port is what spreads paths over a fabric.
//   2. An address that a network interface of this machine (of this network namespace) has at the moment
//   before one
//      that none has: that of another namespace, or one that is being withdrawn.
//   3. Routable before link-local (fe80::/10, 169.254.0.0/16).
//   4. IPv4-mapped before IPv6 where both are allowed; of IPv6, global before unique-local (fc00::/7).
//   5. The port's own interface before VLANs and other interfaces on top of it.
//   6. The lower index.
//
// On InfiniBand the first entry that is set is right: a subnet is crossed by LID, and higher ones are for
// virtual functions and alias GUIDs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "weft/status.h"

namespace weft::verbs {

// 16 bytes in network order: the GID itself, or the IP address that it stands for (IPv4 as ::ffff:a.b.c.d).
using GidBytes = std::array<std::uint8_t, 16>;

enum class LinkLayer : std::uint8_t { kOther, kInfiniBand, kEthernet };
enum class GidType : std::uint8_t { kInfiniBand, kRoceV1, kRoceV2 };

struct GidEntry {
  int index = 0;
  GidBytes bytes{};
  GidType type = GidType::kInfiniBand;
  std::string netdev;  // whose address it is; empty on InfiniBand and where the kernel does not say

  bool operator==(const GidEntry&) const = default;
};

// One address of one network interface of this namespace.
struct NetdevAddress {
  std::string netdev;
  GidBytes address{};
};

struct GidWish {
  int address_family = 0;  // 0 both, 4 or 6; RoCE only
  std::optional<int>
      fixed_index;         // the user's own choice, WEFT_IB_GID_INDEX: taken if there is anything at it
  std::string own_netdev;  // of the port; empty where it is not known
};

// Entries that are all zero are free and may be left out of `table`. kUnreachable where no entry will do; the
// message says why and what to do, and is meant to stand behind the name of device and port.
Result<GidEntry> choose_gid(LinkLayer link_layer, std::span<const GidEntry> table,
                            std::span<const NetdevAddress> addresses, const GidWish& wish);

// The entry of the same address, type and interface, at whatever index it is now.
std::optional<GidEntry> find_gid(std::span<const GidEntry> table, const GidEntry& wanted);

bool is_unset(const GidBytes& gid);
bool is_ipv4_mapped(const GidBytes& gid);
bool is_link_local(const GidBytes& gid);

// 10.0.0.1 where the GID is IPv4-mapped, else IPv6 text.
std::string gid_text(const GidBytes& gid);
// Reads what the kernel writes, fe80:0000:0000:0000:0202:c9ff:fe1a:2b3c, and every other form of an IPv6
// address; also a dotted IPv4 address, which gives its mapped form.
std::optional<GidBytes> parse_gid(const std::string& text);

}  // namespace weft::verbs
