#include "transport/multipath/frame.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "transport/multipath/crc32c.h"

namespace weft::multipath {
namespace {

static_assert(std::endian::native == std::endian::little, "frames are copied as they stand in memory");

struct Wire {
  std::uint8_t magic[2];
  std::uint8_t version;
  std::uint8_t type;
  std::uint8_t flags;
  std::uint8_t chunk_shift;
  std::uint16_t slot;
  std::uint32_t epoch;
  std::uint32_t length;
  std::uint64_t offset;
  std::uint64_t message_bytes;
  std::uint32_t path_sequence;
  std::uint32_t account_incarnation;
  std::uint32_t tag;
  std::uint32_t payload_checksum;
  std::uint32_t path_acknowledged;
  std::uint32_t credit_seen;
  std::uint32_t credit_number;
  std::uint32_t header_checksum;
};
static_assert(sizeof(Wire) == kHeaderBytes);
static_assert(offsetof(Wire, header_checksum) == 60);

// A coded frame says how long its chunk is only by where it lies in the message.
bool take_coded_length(FrameHeader& header) {
  constexpr unsigned kLargestShift = 30;
  if (header.type != FrameType::kData || (header.flags & kFlagTruncated) != 0) return false;
  if (header.chunk_shift > kLargestShift || header.offset >= header.message_bytes) return false;
  header.coded_length = header.length;
  header.length = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(std::uint64_t{1} << header.chunk_shift, header.message_bytes - header.offset));
  return header.coded_length != 0 && header.coded_length < header.length;
}

}  // namespace

void encode(const FrameHeader& header, std::span<std::byte, kHeaderBytes> out) {
  Wire wire{{'W', 'F'},
            kFrameVersion,
            static_cast<std::uint8_t>(header.type),
            header.flags,
            header.chunk_shift,
            header.slot,
            header.epoch,
            header.wire_length(),
            header.offset,
            header.message_bytes,
            header.path_sequence,
            header.account_incarnation,
            header.tag,
            header.payload_checksum,
            header.path_acknowledged,
            header.credit_seen,
            0,
            0};
  if (header.flags & kFlagCredit) {
    wire.offset = header.credit_capacity;
    wire.account_incarnation = header.credit_tag;
    wire.credit_number = header.credit_number;
  }
  wire.header_checksum = crc32c(0, &wire, offsetof(Wire, header_checksum));
  std::memcpy(out.data(), &wire, sizeof wire);
}

FrameError decode(std::span<const std::byte, kHeaderBytes> bytes, FrameHeader& header, bool may_be_coded) {
  Wire wire;
  std::memcpy(&wire, bytes.data(), sizeof wire);
  if (wire.magic[0] != 'W' || wire.magic[1] != 'F') return FrameError::kMagic;
  if (wire.version != kFrameVersion) return FrameError::kVersion;
  if (wire.header_checksum != crc32c(0, &wire, offsetof(Wire, header_checksum))) return FrameError::kChecksum;
  if (wire.type < static_cast<std::uint8_t>(FrameType::kData) ||
      wire.type > static_cast<std::uint8_t>(FrameType::kPathDownConfirm))
    return FrameError::kType;
  const int known_flags = may_be_coded ? kAllFlags : kAllFlags & ~kFlagCoded;
  if ((wire.flags & ~known_flags) != 0) return FrameError::kFlags;
  const bool is_data = wire.type == static_cast<std::uint8_t>(FrameType::kData);
  const bool has_credit = wire.flags & kFlagCredit;
  if (has_credit && !is_data) return FrameError::kCredit;
  if (wire.credit_number != 0 && !has_credit) return FrameError::kReserved;
  if (wire.length != 0 && !is_data) return FrameError::kLength;
  header.type = static_cast<FrameType>(wire.type);
  header.flags = wire.flags;
  header.chunk_shift = wire.chunk_shift;
  header.slot = wire.slot;
  header.epoch = wire.epoch;
  header.length = wire.length;
  header.coded_length = 0;
  header.offset = has_credit ? 0 : wire.offset;
  header.message_bytes = wire.message_bytes;
  header.path_sequence = wire.path_sequence;
  header.account_incarnation = has_credit ? 0 : wire.account_incarnation;
  header.tag = wire.tag;
  header.payload_checksum = wire.payload_checksum;
  header.path_acknowledged = wire.path_acknowledged;
  header.credit_seen = wire.credit_seen;
  header.credit_number = wire.credit_number;
  header.credit_tag = has_credit ? wire.account_incarnation : 0;
  header.credit_capacity = has_credit ? wire.offset : 0;
  if ((header.flags & kFlagCoded) != 0 && !take_coded_length(header)) return FrameError::kCoded;
  return FrameError::kNone;
}

const char* to_string(FrameError error) {
  switch (error) {
    case FrameError::kNone:
      return "no error";
    case FrameError::kMagic:
      return "it does not begin with Weft's magic bytes";
    case FrameError::kVersion:
      return "it has another frame version";
    case FrameError::kChecksum:
      return "its header checksum is wrong";
    case FrameError::kType:
      return "its frame type is unknown";
    case FrameError::kFlags:
      return "it sets unknown flags";
    case FrameError::kReserved:
      return "its reserved field is not zero";
    case FrameError::kLength:
      return "only data frames may have a payload";
    case FrameError::kCredit:
      return "only data frames may carry a clear-to-send";
    case FrameError::kCoded:
      return "a coded payload that cannot be: only a chunk has one, and it is smaller than the chunk";
  }
  return "unknown";
}

}  // namespace weft::multipath
