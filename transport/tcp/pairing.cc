#include "transport/tcp/pairing.h"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <utility>

namespace weft::tcp {
namespace {

bool in_same_subnet(const NetworkAddress& a, const NetworkAddress& b) {
  return a.address.shares_prefix(b.address, a.prefix_length) &&
         a.address.shares_prefix(b.address, b.prefix_length);
}

bool same_kind(const IpAddress& a, const IpAddress& b) {
  return a.family == b.family && a.is_loopback() == b.is_loopback() && a.is_link_local() == b.is_link_local();
}

struct Candidate {
  AddressPair pair;
  std::pair<IpAddress, IpAddress> addresses;  // the smaller first, so that both sides see the same

  // Equal for the two sides of one pair. Taking the smallest larger index first makes the i-th of a group
  // meet the i-th, and no two candidates that share an address ever compare equal: (i, j) and (i, k) differ
  // in max or min.
  auto order() const {
    return std::make_tuple(!pair.same_subnet, std::max(pair.local, pair.remote),
                           std::min(pair.local, pair.remote), addresses);
  }
};

std::vector<Candidate> candidates(std::span<const NetworkAddress> local,
                                  std::span<const NetworkAddress> remote) {
  std::vector<Candidate> result;
  for (std::size_t i = 0; i < local.size(); ++i) {
    for (std::size_t j = 0; j < remote.size(); ++j) {
      const IpAddress& a = local[i].address;
      const IpAddress& b = remote[j].address;
      if (!same_kind(a, b)) continue;
      const bool same_subnet = a.is_loopback() || in_same_subnet(local[i], remote[j]);
      if (!same_subnet && a.is_link_local()) continue;
      IpAddress low = a, high = b;
      low.scope_id = high.scope_id = 0;
      if (high < low) std::swap(low, high);
      result.push_back({{static_cast<int>(i), static_cast<int>(j), same_subnet}, {low, high}});
    }
  }
  std::sort(result.begin(), result.end(),
            [](const Candidate& a, const Candidate& b) { return a.order() < b.order(); });
  return result;
}

std::string list_addresses(std::span<const NetworkAddress> addresses) {
  std::string text;
  for (const NetworkAddress& one : addresses) {
    if (!text.empty()) text += ", ";
    text += one.address.to_string() + "/" + std::to_string(one.prefix_length);
  }
  return text.empty() ? "none" : text;
}

// "IPv4 and IPv6 link-local": the kinds within which pairs are made.
std::string list_kinds(std::span<const NetworkAddress> addresses) {
  std::set<std::string> kinds;
  for (const NetworkAddress& one : addresses) {
    const std::string family = one.address.family == Family::kIpv4 ? "IPv4" : "IPv6";
    const char* scope = one.address.is_loopback()     ? " loopback"
                        : one.address.is_link_local() ? " link-local"
                                                      : "";
    kinds.insert(family + scope);
  }
  std::string text;
  for (const std::string& kind : kinds) text += (text.empty() ? "" : " and ") + kind;
  return text.empty() ? "no address" : text;
}

bool share_a_family(std::span<const NetworkAddress> local, std::span<const NetworkAddress> remote) {
  return std::any_of(local.begin(), local.end(), [&](const NetworkAddress& a) {
    return std::any_of(remote.begin(), remote.end(),
                       [&](const NetworkAddress& b) { return a.address.family == b.address.family; });
  });
}

// Whether there is an address that other machines could be routed to.
bool has_routable(std::span<const NetworkAddress> addresses) {
  return std::any_of(addresses.begin(), addresses.end(), [](const NetworkAddress& one) {
    return !one.address.is_loopback() && !one.address.is_link_local();
  });
}

}  // namespace

std::vector<AddressPair> pair_addresses(std::span<const NetworkAddress> local,
                                        std::span<const NetworkAddress> remote) {
  std::vector<bool> local_used(local.size()), remote_used(remote.size());
  std::vector<AddressPair> pairs;
  for (const Candidate& candidate : candidates(local, remote)) {
    const auto i = static_cast<std::size_t>(candidate.pair.local);
    const auto j = static_cast<std::size_t>(candidate.pair.remote);
    if (local_used[i] || remote_used[j]) continue;
    local_used[i] = remote_used[j] = true;
    pairs.push_back(candidate.pair);
  }
  return pairs;
}

std::string explain_no_pair(std::span<const NetworkAddress> local, std::span<const NetworkAddress> remote) {
  // Two routable addresses of one family would be a pair.
  const bool families_differ =
      !share_a_family(local, remote) || (has_routable(local) && has_routable(remote));
  std::string advice = "Choose interfaces of the same networks with WEFT_IF on both sides";
  if (local.empty() || remote.empty()) {
    advice += ".";
  } else if (families_differ) {
    advice =
        "Set WEFT_FAMILY to 4 or 6, the same on both sides (with 0 an interface that has both is used with "
        "IPv4 only), and WEFT_IF, where it is set, to interfaces that have such an address.";
  } else {
    advice +=
        ": loopback addresses reach only their own machine, and link-local ones only their own network.";
  }
  return "none of our addresses (" + list_addresses(local) + ") can reach one of the peer's (" +
         list_addresses(remote) + "): we offer " + list_kinds(local) + ", the peer " + list_kinds(remote) +
         ". " + advice;
}

bool is_address_of_host(const IpAddress& address, std::span<const InterfaceAddress> host) {
  return address.is_loopback() || std::any_of(host.begin(), host.end(), [&](const InterfaceAddress& entry) {
           return entry.has_address && entry.address.same_address(address);
         });
}

bool should_bind_to_device(const InterfaceAddress& local, const IpAddress& remote,
                           std::span<const InterfaceAddress> host) {
  if (local.is_loopback || local.address.is_loopback() || remote.is_loopback()) return false;
  if (!local.address.shares_prefix(remote, local.prefix_length)) return false;
  // The scope of such an address names the device already.
  if (remote.family == Family::kIpv6 && remote.is_link_local()) return false;
  if (is_address_of_host(remote, host)) return false;
  bool other_in_subnet = false;
  for (const InterfaceAddress& entry : host) {
    if (!entry.has_address) continue;
    // One that is down counts: it may come up while the connection lives.
    other_in_subnet |= entry.name != local.name && entry.address.shares_prefix(remote, entry.prefix_length);
  }
  return other_in_subnet;
}

}  // namespace weft::tcp
