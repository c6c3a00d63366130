#include "transport/tcp/address_codec.h"

#include <algorithm>
#include <string>

#include "transport/multipath/crc32c.h"
#include "transport/tcp/handshake_message.h"

namespace weft::tcp {
namespace {

constexpr std::uint32_t kAddressMagic = 0x41544657;  // "WFTA"
constexpr std::uint8_t kAddressVersion = 1;
constexpr int kCarriersShift = 4;
constexpr std::uint8_t kFamilyMask = 15;
constexpr std::size_t kEndpointsAt = 16;
constexpr std::size_t kChecksumAt = Address::kBytes - 4;
static_assert(kEndpointsAt + kMaxIpv4InAddress * 8 <= kChecksumAt);
static_assert(kEndpointsAt + kMaxIpv6InAddress * 20 <= kChecksumAt);

std::uint32_t checksum(std::span<const std::byte> bytes) {
  return multipath::crc32c(0, bytes.data(), kChecksumAt);
}

std::span<std::byte> address_bytes(Endpoint* endpoint) {
  return std::as_writable_bytes(std::span(endpoint->address.bytes))
      .first(endpoint->address.family == Family::kIpv4 ? 4 : 16);
}

Status unusable(const std::string& why) {
  return {StatusCode::kInvalidArgument, "this is not the address of a Weft listener: " + why + ". Pass all " +
                                            std::to_string(Address::kBytes) +
                                            " bytes of Listener::address() to connect() unchanged."};
}

}  // namespace

bool is_possible_endpoint(const Endpoint& endpoint) {
  const IpAddress& address = endpoint.address;
  return endpoint.prefix_length >= 0 && endpoint.prefix_length <= address.bits() &&
         !address.is_unspecified() && !address.is_multicast() && !address.is_ipv4_mapped();
}

std::size_t encoded_bytes(const Endpoint& endpoint) {
  return endpoint.address.family == Family::kIpv4 ? 8 : 20;
}

void write_endpoint(const Endpoint& endpoint, ByteWriter* writer) {
  Endpoint copy = endpoint;
  writer->u8(static_cast<std::uint8_t>(static_cast<std::uint8_t>(copy.address.family) |
                                       (copy.carriers ^ kByTcp) << kCarriersShift));
  writer->u8(static_cast<std::uint8_t>(copy.prefix_length));
  writer->u16(copy.port);
  writer->bytes(address_bytes(&copy));
}

bool read_endpoint(ByteReader* reader, Endpoint* endpoint) {
  *endpoint = {};
  const std::uint8_t first = reader->u8();
  const std::uint8_t family = first & kFamilyMask;
  endpoint->carriers = (first >> kCarriersShift) ^ kByTcp;
  const bool has_carrier = endpoint->carriers != 0 && (endpoint->carriers & ~kAllCarriers) == 0;
  if ((family != 4 && family != 6) || !has_carrier) return false;
  endpoint->address.family = static_cast<Family>(family);
  endpoint->prefix_length = reader->u8();
  endpoint->port = reader->u16();
  reader->copy_to(address_bytes(endpoint));
  return !reader->overrun() && is_possible_endpoint(*endpoint);
}

Result<Address> encode_address(std::uint64_t listener_id, std::span<const Endpoint> endpoints,
                               std::size_t left_out) {
  Address address;
  const std::span<std::byte> bytes(address.bytes);
  ByteWriter body(bytes.subspan(kEndpointsAt, kChecksumAt - kEndpointsAt));
  std::uint8_t count = 0;
  for (const Endpoint& endpoint : endpoints) {
    if (!is_possible_endpoint(endpoint) || endpoint.port == 0) {
      return Status(StatusCode::kInvalidArgument, "nobody can connect to " +
                                                      endpoint.address.to_string_with_port(endpoint.port) +
                                                      "/" + std::to_string(endpoint.prefix_length));
    }
    if (encoded_bytes(endpoint) > body.room()) {
      ++left_out;
      continue;
    }
    write_endpoint(endpoint, &body);
    ++count;
  }
  if (count == 0) return Status(StatusCode::kInvalidArgument, "a listener needs at least one endpoint");
  if (count + left_out > kMaxHandshakeEndpoints)
    return Status(StatusCode::kInvalidArgument, "a listener has too many endpoints");

  ByteWriter head(bytes.first(kEndpointsAt));
  head.u32(kAddressMagic);
  head.u8(kAddressVersion);
  head.u8(count);
  head.u8(static_cast<std::uint8_t>(left_out));
  head.u8(0);
  head.u64(listener_id);
  ByteWriter(bytes.subspan(kChecksumAt)).u32(checksum(bytes));
  return address;
}

Result<ListenerAddress> decode_address(const Address& address) {
  const std::span<const std::byte> bytes(address.bytes);
  const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
  if (std::all_of(bytes.begin(), bytes.end(), is_zero)) return unusable("it is empty");

  ByteReader reader(bytes);
  if (reader.u32() != kAddressMagic) return unusable("it begins with other bytes");
  if (ByteReader(bytes.subspan(kChecksumAt)).u32() != checksum(bytes)) {
    return unusable("its checksum does not fit, so it was damaged or cut on its way here");
  }
  const std::uint8_t version = reader.u8();
  if (version != kAddressVersion) {
    return unusable("it has version " + std::to_string(version) + " and this Weft speaks version " +
                    std::to_string(kAddressVersion) + "; run the same Weft on both sides");
  }
  const std::uint8_t count = reader.u8();
  ListenerAddress result;
  result.left_out = reader.u8();
  const std::uint8_t reserved = reader.u8();
  result.listener_id = reader.u64();
  if (count == 0 || count > kMaxIpv4InAddress || count + result.left_out > kMaxHandshakeEndpoints ||
      reserved != 0)
    return unusable("its header is malformed");

  ByteReader body(bytes.subspan(kEndpointsAt, kChecksumAt - kEndpointsAt));
  for (int i = 0; i < count; ++i) {
    Endpoint endpoint;
    if (!read_endpoint(&body, &endpoint) || endpoint.port == 0)
      return unusable("endpoint " + std::to_string(i) + " is malformed");
    result.endpoints.push_back(endpoint);
  }
  const auto rest = body.bytes(body.left());
  if (!std::all_of(rest.begin(), rest.end(), is_zero))
    return unusable("there are bytes behind its endpoints");
  return result;
}

}  // namespace weft::tcp
