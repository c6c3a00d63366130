#include "transport/routes.h"

#include <algorithm>
#include <cstdint>

namespace weft {

std::vector<tcp::NetworkAddress> networks(std::span<const tcp::InterfaceAddress> interfaces) {
  std::vector<tcp::NetworkAddress> result;
  for (const auto& one : interfaces) result.push_back({one.address, one.prefix_length});
  return result;
}

std::vector<tcp::NetworkAddress> networks(std::span<const tcp::Endpoint> endpoints) {
  std::vector<tcp::NetworkAddress> result;
  for (const auto& one : endpoints) result.push_back({one.address, one.prefix_length});
  return result;
}

std::vector<PairedRoute> pair_routes(const Fabric& fabric, std::span<const tcp::InterfaceAddress> local,
                                     std::span<const tcp::Endpoint> remote) {
  std::vector<PairedRoute> routes;
  for (const tcp::AddressPair& pair : tcp::pair_addresses(networks(local), networks(remote))) {
    PairedRoute paired;
    paired.local = static_cast<std::size_t>(pair.local);
    paired.remote = static_cast<std::size_t>(pair.remote);
    paired.route.local = local[paired.local];
    paired.route.remote = remote[paired.remote];
    paired.route.bind_to_device =
        tcp::should_bind_to_device(paired.route.local, paired.route.remote.address, fabric.host_addresses());
    paired.route.plane = static_cast<std::uint8_t>(routes.size());
    routes.push_back(std::move(paired));
  }
  return routes;
}

bool stay_within_host(const Fabric& fabric, std::span<const tcp::PathRoute> routes) {
  return std::all_of(routes.begin(), routes.end(), [&](const tcp::PathRoute& route) {
    return tcp::is_address_of_host(route.remote.address, fabric.host_addresses());
  });
}

}  // namespace weft
