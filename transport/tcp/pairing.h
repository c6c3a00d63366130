// Which local interface talks to which interface of the peer. Each pair is one plane.
//
// Decided by who can reach whom, never by position alone: a host that lists its ports in another order, lacks
// one, or has one more still gets straight pairs. Pure; any thread.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "transport/tcp/interfaces.h"
#include "transport/tcp/ip_address.h"

namespace weft::tcp {

// An address and the network it is in.
struct NetworkAddress {
  IpAddress address;
  int prefix_length = 0;
};

struct AddressPair {
  int local = 0;   // index into the local list
  int remote = 0;  // index into the remote list
  bool same_subnet = false;

  bool operator==(const AddressPair&) const = default;
};

// Pairs as planes, best first:
//
// 1. Pairs within one subnet: each address lies within the other's prefix. Among those of one subnet the i-th
// local
//    goes with the i-th remote. Loopback pairs only with loopback, link-local only with link-local.
// 2. What is left over, as routed pairs of equal family, i-th with i-th; never loopback or link-local.
//
// An address is used once. With lists of different length the rest stays idle: a second pair on one port adds
// no bandwidth. One pair at least comes out whenever two addresses can be paired at all.
//
// Both sides come to the same pairs in the same order, without talking: pair_addresses(b, a) is
// pair_addresses(a, b) with local and remote exchanged.
std::vector<AddressPair> pair_addresses(std::span<const NetworkAddress> local,
                                        std::span<const NetworkAddress> remote);

// For the error where pair_addresses() has no pair: what either side offers, why that does not go together,
// and which variables to set.
std::string explain_no_pair(std::span<const NetworkAddress> local, std::span<const NetworkAddress> remote);

// Whether a connection to `address` stays on this machine. `host` is everything it has (list_interfaces()).
bool is_address_of_host(const IpAddress& address, std::span<const InterfaceAddress> host);

// Whether a socket from `local` to `remote` should be bound to local's device (SO_BINDTODEVICE) on top of its
// address. With two interfaces in one subnet the kernel's routes send everything through the first, whatever
// the source address says. Never towards an
// address of this machine itself, which is reached through loopback only; never beyond the subnet, where the
// device may have no route.
bool should_bind_to_device(const InterfaceAddress& local, const IpAddress& remote,
                           std::span<const InterfaceAddress> host);

}  // namespace weft::tcp
