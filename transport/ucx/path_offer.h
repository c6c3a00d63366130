// What the two ends of a path tell each other in the TCP handshake, as a handshake option: where the worker
// can be reached that each has made for it.
//
//   0 version   1 zero   2 bytes of the address (u16)   4 UCX's address of the worker   .. device, the rest,
//   printable ASCII
//
// Numbers are little-endian. The device's name and all lengths are checked; the address is UCX's own and
// opaque, and UCX believes what it reads there. So whoever may connect must be trusted, or WEFT_SECRET be
// set. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "transport/tcp/handshake_message.h"

namespace weft::ucx {

inline constexpr std::size_t kMaxAddressBytes = 184;
inline constexpr std::size_t kMaxDeviceNameBytes = 32;

struct PathOffer {
  std::vector<std::byte> address;  // not empty
  std::string device;              // mlx5_0:1, for logs and statistics

  bool operator==(const PathOffer&) const = default;
};

// The handshake option that carries an offer in HELLO and WELCOME.
inline constexpr std::uint16_t kPathOfferOption = 4;

bool has_offer(const std::vector<tcp::HandshakeOption>& options);
// Nothing where there is none, or none that can be read.
std::optional<PathOffer> find_offer(const std::vector<tcp::HandshakeOption>& options);

std::vector<std::byte> encode(const PathOffer& offer);
std::optional<PathOffer> decode_offer(std::span<const std::byte> bytes);

}  // namespace weft::ucx
