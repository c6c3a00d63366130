#include "transport/verbs/path_offer.h"

#include <algorithm>

#include "transport/tcp/byte_cursor.h"
#include "transport/verbs/mrc_immediate.h"

namespace weft::verbs {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kFixedBytes = 32;
constexpr std::size_t kInboxBytes = 16;
constexpr std::uint16_t kLeastImmediates = 2 * kMrcKeptForCredit;
constexpr std::uint32_t kLargest24Bits = (1u << 24) - 1;
constexpr std::uint8_t kLargestMtu = 5;

}  // namespace

bool has_offer(const std::vector<tcp::HandshakeOption>& options, std::uint16_t type) {
  return std::any_of(options.begin(), options.end(),
                     [=](const tcp::HandshakeOption& option) { return option.type == type; });
}

std::optional<PathOffer> find_offer(const std::vector<tcp::HandshakeOption>& options) {
  for (const tcp::HandshakeOption& option : options)
    if (option.type == kPathOfferOption || option.type == kMrcPathOfferOption)
      return decode_offer(option.value, option.type == kMrcPathOfferOption);
  return std::nullopt;
}

bool leads_to(const QueueAddress& queue, const tcp::IpAddress& dialled) {
  if (queue.link_layer != LinkLayer::kEthernet) return true;
  const auto address = tcp::IpAddress::parse(gid_text(queue.gid));
  return address && address->same_address(dialled);
}

std::vector<std::byte> encode(const PathOffer& offer) {
  const std::size_t in_front = offer.inbox ? kInboxBytes : 0;
  std::vector<std::byte> bytes(in_front + kFixedBytes +
                               std::min(offer.queue.device.size(), kMaxDeviceNameBytes));
  tcp::ByteWriter out(bytes);
  if (offer.inbox) {
    out.u64(offer.inbox->address);
    out.u32(offer.inbox->key);
    out.u16(offer.inbox->immediates);
    out.u16(0);
  }
  out.u8(kVersion);
  out.u8(offer.queue.mtu);
  out.u8(static_cast<std::uint8_t>(offer.queue.link_layer));
  out.u8(0);
  out.u32(offer.queue.queue_pair);
  out.u32(offer.queue.first_packet);
  out.u16(offer.queue.lid);
  out.u16(0);
  out.bytes(std::as_bytes(std::span(offer.queue.gid)));
  out.bytes(std::as_bytes(std::span(offer.queue.device)).first(out.room()));
  return bytes;
}

std::optional<PathOffer> decode_offer(std::span<const std::byte> bytes, bool has_inbox) {
  tcp::ByteReader in(bytes);
  PathOffer offer;
  std::uint32_t zeros = 0;
  if (has_inbox) {
    offer.inbox.emplace();
    offer.inbox->address = in.u64();
    offer.inbox->key = in.u32();
    offer.inbox->immediates = in.u16();
    zeros |= in.u16();
    if (offer.inbox->immediates < kLeastImmediates) return std::nullopt;
  }
  const std::uint8_t version = in.u8();
  offer.queue.mtu = in.u8();
  const std::uint8_t link_layer = in.u8();
  zeros |= in.u8();
  offer.queue.queue_pair = in.u32();
  offer.queue.first_packet = in.u32();
  offer.queue.lid = in.u16();
  zeros |= in.u16();
  in.copy_to(std::as_writable_bytes(std::span(offer.queue.gid)));
  if (in.overrun() || in.left() > kMaxDeviceNameBytes) return std::nullopt;
  for (std::byte byte : in.bytes(in.left())) {
    const char letter = static_cast<char>(byte);
    if (letter <= ' ' || letter > '~') return std::nullopt;
    offer.queue.device.push_back(letter);
  }
  const bool good_numbers = offer.queue.queue_pair <= kLargest24Bits &&
                            offer.queue.first_packet <= kLargest24Bits && offer.queue.mtu >= 1 &&
                            offer.queue.mtu <= kLargestMtu;
  const bool good_layer = link_layer == static_cast<std::uint8_t>(LinkLayer::kInfiniBand) ||
                          link_layer == static_cast<std::uint8_t>(LinkLayer::kEthernet);
  if (version != kVersion || zeros != 0 || !good_numbers || !good_layer) return std::nullopt;
  offer.queue.link_layer = static_cast<LinkLayer>(link_layer);
  return offer;
}

}  // namespace weft::verbs
