// Which interface of this process talks to which endpoint of a listener: tcp/pairing.h, put to use.
// Values; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "transport/fabric.h"
#include "transport/tcp/dial.h"
#include "transport/tcp/pairing.h"

namespace weft {

std::vector<tcp::NetworkAddress> networks(std::span<const tcp::InterfaceAddress> interfaces);
std::vector<tcp::NetworkAddress> networks(std::span<const tcp::Endpoint> endpoints);

struct PairedRoute {
  tcp::PathRoute route;
  std::size_t local = 0;   // index into the interfaces
  std::size_t remote = 0;  // index into the endpoints
};
// One a plane.
std::vector<PairedRoute> pair_routes(const Fabric& fabric, std::span<const tcp::InterfaceAddress> local,
                                     std::span<const tcp::Endpoint> remote);
// Whether all of them end on this host.
bool stay_within_host(const Fabric& fabric, std::span<const tcp::PathRoute> routes);

}  // namespace weft
