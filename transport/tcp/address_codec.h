// What stands in a weft::Address: where a listener can be reached, and which listener it is.
//
//   0 magic "WFTA"   4 version   5 number of endpoints   6 left out   7 zero   8 listener id (u64)
//  16 endpoints, 8 bytes (IPv4) or 20 bytes (IPv6) each, then zeros     108 CRC32C of the first 108 bytes
//
// Endpoints that do not fit are counted ("left out"); the connector asks the listener for the full list then
// (PathPurpose::kAskEndpoints).
//
// An endpoint: family (4, 6; + 16: not for TCP; + 32: for verbs; + 64: for UCX), prefix length, port (u16),
// 4 or 16 address bytes. Numbers are little-endian, addresses in network order. Scopes are not carried: they
// mean nothing on another machine.
//
// The address comes from anywhere (a file, MPI, NCCL's bootstrap), so nothing in it is trusted. Pure; any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "transport/tcp/byte_cursor.h"
#include "transport/tcp/ip_address.h"
#include "weft/context.h"
#include "weft/status.h"

namespace weft::tcp {

// 92 bytes of endpoints.
inline constexpr std::size_t kMaxIpv4InAddress = 11;
inline constexpr std::size_t kMaxIpv6InAddress = 4;

struct ListenerAddress {
  std::uint64_t listener_id = 0;
  std::vector<Endpoint> endpoints;
  std::size_t left_out = 0;  // that the listener has besides

  bool operator==(const ListenerAddress&) const = default;
};

// Puts in as many endpoints as fit, in their order, passing over those that do not; `left_out` more are not
// even listed. kInvalidArgument where there is none, one that nobody could connect to, or more than a
// handshake can list.
Result<Address> encode_address(std::uint64_t listener_id, std::span<const Endpoint> endpoints,
                               std::size_t left_out = 0);

// At least one endpoint, each one that a connect() may be tried with. kInvalidArgument for anything else.
Result<ListenerAddress> decode_address(const Address& address);

// Whether an interface can have this address and prefix: not unspecified, multicast or IPv4-mapped. The port
// may be 0.
bool is_possible_endpoint(const Endpoint& endpoint);

// One possible endpoint, in the form above; shared with the handshake.
void write_endpoint(const Endpoint& endpoint, ByteWriter* writer);
// False where the bytes run out or are no possible endpoint.
bool read_endpoint(ByteReader* reader, Endpoint* endpoint);
std::size_t encoded_bytes(const Endpoint& endpoint);

}  // namespace weft::tcp
