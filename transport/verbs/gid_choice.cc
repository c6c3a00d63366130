#include "transport/verbs/gid_choice.h"

#include <arpa/inet.h>

#include <algorithm>
#include <tuple>

namespace weft::verbs {
namespace {

constexpr std::size_t kMappedPrefixBytes = 12;
constexpr int kLargestGidIndex = 255;  // what an address handle has room for

const char* type_name(GidType type) {
  switch (type) {
    case GidType::kInfiniBand:
      return "InfiniBand";
    case GidType::kRoceV1:
      return "RoCE v1";
    case GidType::kRoceV2:
      return "RoCE v2";
  }
  return "";
}

bool is_unique_local(const GidBytes& gid) {
  return (gid[0] & 0xfe) == 0xfc;
}

bool is_multicast(const GidBytes& gid) {
  return is_ipv4_mapped(gid) ? (gid[12] & 0xf0) == 0xe0 : gid[0] == 0xff;
}

bool has_address(std::span<const NetdevAddress> addresses, const GidEntry& entry) {
  return std::any_of(addresses.begin(), addresses.end(), [&](const NetdevAddress& one) {
    return one.address == entry.bytes && (entry.netdev.empty() || one.netdev == entry.netdev);
  });
}

// Smaller is better; the numbers of the comment in the header.
auto rank(const GidEntry& entry, std::span<const NetdevAddress> addresses, const GidWish& wish) {
  const bool on_top = !wish.own_netdev.empty() && entry.netdev != wish.own_netdev;
  return std::tuple(entry.type == GidType::kRoceV2 ? 0 : 1, has_address(addresses, entry) ? 0 : 1,
                    is_link_local(entry.bytes) ? 1 : 0, is_ipv4_mapped(entry.bytes) ? 0 : 1,
                    is_unique_local(entry.bytes) ? 1 : 0, on_top ? 1 : 0, entry.index);
}

std::string describe(std::span<const GidEntry> table) {
  std::string text;
  for (const GidEntry& entry : table) {
    if (is_unset(entry.bytes)) continue;
    text += (text.empty() ? "" : ", ") + std::to_string(entry.index) + ": " + gid_text(entry.bytes) + " (" +
            type_name(entry.type) + (entry.netdev.empty() ? "" : ", " + entry.netdev) + ")";
  }
  return text.empty() ? "none" : text;
}

Result<GidEntry> choose_fixed(std::span<const GidEntry> table, int index) {
  for (const GidEntry& entry : table) {
    if (entry.index == index && !is_unset(entry.bytes)) return entry;
  }
  return Status(StatusCode::kUnreachable, "nothing is set at GID index " + std::to_string(index) +
                                              ", which WEFT_IB_GID_INDEX (or NCCL_IB_GID_INDEX) asks for; "
                                              "the table has " +
                                              describe(table) +
                                              ". Unset the variable and Weft chooses the index by itself");
}

}  // namespace

Result<GidEntry> choose_gid(LinkLayer link_layer, std::span<const GidEntry> table,
                            std::span<const NetdevAddress> addresses, const GidWish& wish) {
  if (wish.fixed_index) return choose_fixed(table, *wish.fixed_index);
  std::vector<GidEntry> candidates;
  for (const GidEntry& entry : table) {
    if (is_unset(entry.bytes) || is_multicast(entry.bytes) || entry.index > kLargestGidIndex) continue;
    const int family = is_ipv4_mapped(entry.bytes) ? 4 : 6;
    const bool allowed =
        link_layer != LinkLayer::kEthernet || wish.address_family == 0 || wish.address_family == family;
    if (allowed) candidates.push_back(entry);
  }
  if (candidates.empty()) {
    const bool by_family = link_layer == LinkLayer::kEthernet && wish.address_family != 0;
    return Status(
        StatusCode::kUnreachable,
        by_family ? "no GID stands for an IPv" + std::to_string(wish.address_family) +
                        " address, which WEFT_FAMILY (or NCCL_SOCKET_FAMILY) asks for; the table has " +
                        describe(table) + ". Give the interface such an address, or unset the variable"
                  : "its GID table is empty. Bring the network interface up and give it an address, or, on "
                    "InfiniBand, see whether a subnet manager runs");
  }
  const auto better = [&](const GidEntry& a, const GidEntry& b) {
    if (link_layer != LinkLayer::kEthernet) return a.index < b.index;
    return rank(a, addresses, wish) < rank(b, addresses, wish);
  };
  return *std::min_element(candidates.begin(), candidates.end(), better);
}

std::optional<GidEntry> find_gid(std::span<const GidEntry> table, const GidEntry& wanted) {
  for (const GidEntry& entry : table) {
    if (entry.bytes == wanted.bytes && entry.type == wanted.type && entry.netdev == wanted.netdev &&
        entry.index <= kLargestGidIndex)
      return entry;
  }
  return std::nullopt;
}

bool is_unset(const GidBytes& gid) {
  // A subnet prefix without an interface identifier is what a port shows before it has one.
  return std::all_of(gid.begin() + 8, gid.end(), [](std::uint8_t byte) { return byte == 0; });
}

bool is_ipv4_mapped(const GidBytes& gid) {
  return std::all_of(gid.begin(), gid.begin() + 10, [](std::uint8_t byte) { return byte == 0; }) &&
         gid[10] == 0xff && gid[11] == 0xff;
}

bool is_link_local(const GidBytes& gid) {
  if (is_ipv4_mapped(gid)) return gid[12] == 169 && gid[13] == 254;
  return gid[0] == 0xfe && (gid[1] & 0xc0) == 0x80;
}

std::string gid_text(const GidBytes& gid) {
  char text[INET6_ADDRSTRLEN] = "";
  if (is_ipv4_mapped(gid)) {
    inet_ntop(AF_INET, gid.data() + kMappedPrefixBytes, text, sizeof text);
  } else {
    inet_ntop(AF_INET6, gid.data(), text, sizeof text);
  }
  return text;
}

std::optional<GidBytes> parse_gid(const std::string& text) {
  GidBytes gid{};
  if (inet_pton(AF_INET6, text.c_str(), gid.data()) == 1) return gid;
  if (inet_pton(AF_INET, text.c_str(), gid.data() + kMappedPrefixBytes) != 1) return std::nullopt;
  gid[10] = gid[11] = 0xff;
  return gid;
}

}  // namespace weft::verbs
