#include "transport/verbs/wire.h"

#include <bit>
#include <cstring>

namespace weft::verbs {

static_assert(std::endian::native == std::endian::little, "places are copied as they stand in memory");

void encode(const Place& place, std::byte* out) {
  std::memcpy(out, &place.address, 8);
  out[8] = static_cast<std::byte>(place.flags);
  out[9] = static_cast<std::byte>(place.key_count);
  out[10] = out[11] = std::byte{0};
  std::memcpy(out + kPlaceFixedBytes, place.keys.data(), 4 * std::size_t{place.key_count});
}

std::optional<Place> decode_place(std::span<const std::byte> bytes) {
  if (bytes.size() < kPlaceFixedBytes) return std::nullopt;
  Place place;
  std::memcpy(&place.address, bytes.data(), 8);
  place.flags = static_cast<std::uint8_t>(bytes[8]);
  place.key_count = static_cast<std::uint8_t>(bytes[9]);
  if (place.key_count > kMaxPlanes || (place.flags & ~Place::kAllFlags) != 0 || bytes[10] != std::byte{0} ||
      bytes[11] != std::byte{0} || bytes.size() < place.encoded_bytes())
    return std::nullopt;
  std::memcpy(place.keys.data(), bytes.data() + kPlaceFixedBytes, 4 * std::size_t{place.key_count});
  return place;
}

const char* check_payload(const multipath::FrameHeader& header, std::size_t inside,
                          const multipath::Landing& landing) {
  if (inside != 0 && inside != header.length) return "a payload that its header does not speak of";
  if (landing.verdict != multipath::LandingVerdict::kPlace || landing.memory == MemoryKind::kHost)
    return nullptr;
  if (inside != 0) return "a payload behind its header that had to be written to device memory";
  if (header.flags & multipath::kFlagChecksum) return "a payload checksum of what lies in device memory";
  return nullptr;
}

}  // namespace weft::verbs
