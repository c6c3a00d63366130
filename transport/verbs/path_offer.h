// What the two ends of a path tell each other in the TCP handshake, as a handshake option: how to reach the
// queue pair that each has made for it. For MRC queue pairs (mrc_immediate.h) it is an option of its own,
// with where to write messages in front:
//
//   0 inbox's address (u64)   8 its key (u32)   12 immediates that may be under way to it (u16)   14 zero
//   (u16)
//
// and then as for RC:
//
//   0 version   1 MTU   2 link layer   3 zero   4 queue pair (u32)   8 first packet sequence
//   number (u32)
//  12 LID (u16)   14 zero (u16)   16 GID[16]   32 device, the rest, printable ASCII
//
// Numbers are little-endian. The bytes come from a peer: nothing in them is trusted. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "transport/tcp/handshake_message.h"
#include "transport/verbs/gid_choice.h"

namespace weft::verbs {

// One end of a path.
struct QueueAddress {
  std::uint32_t queue_pair = 0;    // 24 bits
  std::uint32_t first_packet = 0;  // 24 bits
  std::uint16_t lid = 0;           // InfiniBand
  std::uint8_t mtu = 1;            // 1..5: 256 to 4096 bytes, as in verbs
  LinkLayer link_layer = LinkLayer::kEthernet;
  GidBytes gid{};
  std::string device;  // mlx5_0:1, for logs and statistics

  bool operator==(const QueueAddress&) const = default;
};

// Where an MRC queue pair takes messages.
struct MrcInbox {
  std::uint64_t address = 0;
  std::uint32_t key = 0;
  std::uint16_t immediates = 0;

  bool operator==(const MrcInbox&) const = default;
};

struct PathOffer {
  QueueAddress queue;
  std::optional<MrcInbox> inbox;  // of an MRC queue pair; none: it is RC

  bool operator==(const PathOffer&) const = default;
};

inline constexpr std::size_t kMaxDeviceNameBytes = 64;

// The handshake options that carry an offer in HELLO and WELCOME.
inline constexpr std::uint16_t kPathOfferOption = 3;
inline constexpr std::uint16_t kMrcPathOfferOption = 5;

bool has_offer(const std::vector<tcp::HandshakeOption>& options, std::uint16_t type = kPathOfferOption);
// Nothing where there is none, or none that can be read.
std::optional<PathOffer> find_offer(const std::vector<tcp::HandshakeOption>& options);

// Whether the queue pair's packets go where the handshake went, which has shown that somebody answers there:
// the kernel looks for the neighbour while a queue pair is connected, and may look for seconds where nobody
// does. On InfiniBand, whose addresses are no IP's, always.
bool leads_to(const QueueAddress& queue, const tcp::IpAddress& dialled);

std::vector<std::byte> encode(const PathOffer& offer);
std::optional<PathOffer> decode_offer(std::span<const std::byte> bytes, bool has_inbox = false);
inline tcp::HandshakeOption offer_option(const PathOffer& offer) {
  return {offer.inbox ? kMrcPathOfferOption : kPathOfferOption, encode(offer)};
}

}  // namespace weft::verbs
