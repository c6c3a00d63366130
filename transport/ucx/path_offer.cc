#include "transport/ucx/path_offer.h"

#include <algorithm>

#include "transport/tcp/byte_cursor.h"

namespace weft::ucx {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kFixedBytes = 4;

}  // namespace

bool has_offer(const std::vector<tcp::HandshakeOption>& options) {
  return std::any_of(options.begin(), options.end(),
                     [](const tcp::HandshakeOption& option) { return option.type == kPathOfferOption; });
}

std::optional<PathOffer> find_offer(const std::vector<tcp::HandshakeOption>& options) {
  for (const tcp::HandshakeOption& option : options)
    if (option.type == kPathOfferOption) return decode_offer(option.value);
  return std::nullopt;
}

std::vector<std::byte> encode(const PathOffer& offer) {
  std::vector<std::byte> bytes(kFixedBytes + offer.address.size() +
                               std::min(offer.device.size(), kMaxDeviceNameBytes));
  tcp::ByteWriter out(bytes);
  out.u8(kVersion);
  out.u8(0);
  out.u16(static_cast<std::uint16_t>(offer.address.size()));
  out.bytes(offer.address);
  out.bytes(std::as_bytes(std::span(offer.device)).first(out.room()));
  return bytes;
}

std::optional<PathOffer> decode_offer(std::span<const std::byte> bytes) {
  tcp::ByteReader in(bytes);
  const std::uint8_t version = in.u8();
  const std::uint8_t zero = in.u8();
  const std::size_t address_bytes = in.u16();
  const auto address = in.bytes(address_bytes);
  if (in.overrun() || version != kVersion || zero != 0) return std::nullopt;
  if (address.empty() || address.size() > kMaxAddressBytes || in.left() > kMaxDeviceNameBytes)
    return std::nullopt;
  PathOffer offer;
  offer.address.assign(address.begin(), address.end());
  for (std::byte byte : in.bytes(in.left())) {
    const char letter = static_cast<char>(byte);
    if (letter <= ' ' || letter > '~') return std::nullopt;
    offer.device.push_back(letter);
  }
  return offer;
}

}  // namespace weft::ucx
