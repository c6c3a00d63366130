#include "transport/tcp/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cassert>
#include <cstring>

namespace weft::tcp {

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string terminated(text);
  if (terminated.find('\0') != std::string::npos) return std::nullopt;
  IpAddress result;
  if (inet_pton(AF_INET, terminated.c_str(), result.bytes.data()) == 1) return result;
  result.family = Family::kIpv6;
  if (inet_pton(AF_INET6, terminated.c_str(), result.bytes.data()) == 1) return result;
  return std::nullopt;
}

std::optional<IpAddress> IpAddress::from_sockaddr(const sockaddr* address) {
  IpAddress result;
  if (address == nullptr) return std::nullopt;
  if (address->sa_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof in);
    std::memcpy(result.bytes.data(), &in.sin_addr, 4);
    return result;
  }
  if (address->sa_family != AF_INET6) return std::nullopt;
  sockaddr_in6 in6;
  std::memcpy(&in6, address, sizeof in6);
  result.family = Family::kIpv6;
  std::memcpy(result.bytes.data(), &in6.sin6_addr, 16);
  if (result.is_ipv4_mapped()) {
    IpAddress plain;
    std::copy_n(result.bytes.begin() + 12, 4, plain.bytes.begin());
    return plain;
  }
  if (result.is_link_local()) result.scope_id = in6.sin6_scope_id;
  return result;
}

socklen_t IpAddress::to_sockaddr(std::uint16_t port, sockaddr_storage* storage) const {
  std::memset(storage, 0, sizeof *storage);
  if (family == Family::kIpv4) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, bytes.data(), 4);
    std::memcpy(storage, &in, sizeof in);
    return sizeof in;
  }
  sockaddr_in6 in6{};
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(port);
  in6.sin6_scope_id = scope_id;
  std::memcpy(&in6.sin6_addr, bytes.data(), 16);
  std::memcpy(storage, &in6, sizeof in6);
  return sizeof in6;
}

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family == Family::kIpv4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  std::string result = text;
  if (scope_id != 0) result += "%" + std::to_string(scope_id);
  return result;
}

std::string IpAddress::to_string_with_port(std::uint16_t port) const {
  const std::string host = family == Family::kIpv4 ? to_string() : "[" + to_string() + "]";
  return host + ":" + std::to_string(port);
}

bool IpAddress::is_unspecified() const {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0; });
}

bool IpAddress::is_loopback() const {
  if (family == Family::kIpv4) return bytes[0] == 127;
  return std::all_of(bytes.begin(), bytes.end() - 1, [](std::uint8_t b) { return b == 0; }) && bytes[15] == 1;
}

bool IpAddress::is_link_local() const {
  if (family == Family::kIpv4) return bytes[0] == 169 && bytes[1] == 254;
  return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

bool IpAddress::is_unique_local() const {
  return family == Family::kIpv6 && (bytes[0] & 0xfe) == 0xfc;
}

bool IpAddress::is_multicast() const {
  if (family == Family::kIpv6) return bytes[0] == 0xff;
  return (bytes[0] & 0xf0) == 0xe0 ||
         std::all_of(bytes.begin(), bytes.begin() + 4, [](std::uint8_t b) { return b == 0xff; });
}

bool IpAddress::is_ipv4_mapped() const {
  return family == Family::kIpv6 &&
         std::all_of(bytes.begin(), bytes.begin() + 10, [](std::uint8_t b) { return b == 0; }) &&
         bytes[10] == 0xff && bytes[11] == 0xff;
}

bool IpAddress::shares_prefix(const IpAddress& other, int prefix_length) const {
  assert(prefix_length >= 0);
  if (family != other.family || prefix_length > bits()) return false;
  const auto whole = static_cast<std::size_t>(prefix_length / 8);
  if (!std::equal(bytes.begin(), bytes.begin() + whole, other.bytes.begin())) return false;
  const int rest = prefix_length % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff << (8 - rest));
  return ((bytes[whole] ^ other.bytes[whole]) & mask) == 0;
}

}  // namespace weft::tcp
