// An IPv4 or IPv6 address as a plain value, with the few questions that choosing interfaces and pairing them
// ask. Nothing here resolves names or touches a socket. Values; any thread.
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weft::tcp {

enum class Family : std::uint8_t { kIpv4 = 4, kIpv6 = 6 };

struct IpAddress {
  Family family = Family::kIpv4;
  std::array<std::uint8_t, 16>
      bytes{};                 // network order; an IPv4 address is the first four, the rest stays zero
  std::uint32_t scope_id = 0;  // interface index of a link-local IPv6 address, else 0

  // Dotted quad or IPv6 text without brackets, port or scope; nothing where it is neither.
  static std::optional<IpAddress> parse(std::string_view text);
  // Nothing for other families. An IPv4-mapped IPv6 address becomes the IPv4 address that it stands for.
  static std::optional<IpAddress> from_sockaddr(const sockaddr* address);

  // Fills `storage` and returns the length that connect() and bind() want with it.
  socklen_t to_sockaddr(std::uint16_t port, sockaddr_storage* storage) const;

  // 10.0.0.1, fe80::1%3
  std::string to_string() const;
  // 10.0.0.1:80, [fe80::1%3]:80
  std::string to_string_with_port(std::uint16_t port) const;

  int bits() const { return family == Family::kIpv4 ? 32 : 128; }
  bool is_unspecified() const;
  bool is_loopback() const;      // 127.0.0.0/8, ::1
  bool is_link_local() const;    // 169.254.0.0/16, fe80::/10
  bool is_unique_local() const;  // fc00::/7
  bool is_multicast() const;     // 224.0.0.0/4 (255.255.255.255 too), ff00::/8
  bool is_ipv4_mapped() const;   // ::ffff:0:0/96

  // The same bytes; the scope is left out because it means nothing to another machine.
  bool same_address(const IpAddress& other) const { return family == other.family && bytes == other.bytes; }
  // Whether the first `prefix_length` bits agree. Never across families.
  bool shares_prefix(const IpAddress& other, int prefix_length) const;

  auto operator<=>(const IpAddress&) const = default;
};

// Bits of Endpoint::carriers: the socket itself, or a port of another kind beside the same interface.
enum Carriers : std::uint8_t { kByTcp = 1, kByVerbs = 2, kByUcx = 4, kByMrc = 8, kAllCarriers = 15 };

// Where to connect to, and the network that it is in.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  int prefix_length = 0;
  std::uint8_t carriers = kByTcp;  // what carries the data of paths that are dialled there

  bool operator==(const Endpoint&) const = default;
};

}  // namespace weft::tcp
