// The header that stands in front of everything on a path: 64 bytes, little-endian, the last four a CRC32C of
// the other 60. A data frame's payload follows it.
//
//   0 magic 'W' 'F'   2 version   3 type   4 flags   5 chunk shift   6 slot        (u16)
//   8 epoch           12 payload length    16 offset (u64)           24 message bytes (u64)
//  32 path sequence   36 account incarn.   40 tag                    44 payload checksum
//  48 path acknowledged   52 credit seen   56 credit number          60 header checksum
//
// A data frame that is a whole message needs neither an offset nor an account, so it may carry a
// clear-to-send along (kFlagCredit): the receive's capacity stands at 16, its tag at 36, the low half of its
// number at 56. An answer and the receive for the next request are one frame then. Elsewhere 56 is zero.
//
// A coded data frame (kFlagCoded) has at 12 the bytes that follow on the wire, a slot of
// compression/FORMAT.md that is smaller than the chunk. The chunk's own length follows from message bytes,
// offset and chunk shift.
//
// The last row is feedback and stands in every frame. Its counters only grow (modulo 2^32), so a lost or
// repeated frame does no harm: the next one says it all again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "transport/multipath/types.h"

namespace weft::multipath {

inline constexpr std::size_t kHeaderBytes = 64;
inline constexpr std::uint8_t kFrameVersion = 1;

enum class FrameType : std::uint8_t {
  kData = 1,         // slot, epoch, offset, length, message bytes, chunk shift, path sequence
  kClearToSend = 2,  // slot, epoch, tag; message bytes = capacity of the receive
  kFeedback = 3,     // nothing but the feedback fields
  kPathDown =
      4,  // slot = path, epoch = incarnation: it and all before are fenced at this end. The final account of
          // what landed: path sequence and offset (a bit mask beyond it) for `account_incarnation`
  kProbe = 5,            // path sequence = number of the probe
  kProbeReply = 6,       // path sequence = number of the probe that it answers
  kGoodbye = 7,          // the sender has closed the connection on purpose
  kPathDownConfirm = 8,  // slot = path, epoch = incarnation of the path-down that was processed
};

enum FrameFlags : std::uint8_t {
  kFlagResent = 1,     // this chunk was on a path that failed; for statistics
  kFlagTruncated = 2,  // the send did not fit the receive: no payload, message bytes = what was to be sent
  kFlagChecksum = 4,   // payload checksum is valid
  kFlagCredit = 8,     // a data frame that carries a clear-to-send along
  kFlagCoded = 16,     // a data frame whose payload is coded; the backend codes and decodes it
  kAllFlags = 31,
};

struct FrameHeader {
  FrameType type = FrameType::kFeedback;
  std::uint8_t flags = 0;
  std::uint8_t chunk_shift = 0;  // log2 of the chunk size of this message
  std::uint16_t slot = 0;
  std::uint32_t epoch = 0;
  std::uint32_t length = 0;        // of the chunk, coded or not
  std::uint32_t coded_length = 0;  // with kFlagCoded: of what follows on the wire
  std::uint64_t offset = 0;
  std::uint64_t message_bytes = 0;
  std::uint32_t path_sequence = 0;
  std::uint32_t account_incarnation = 0;
  std::uint32_t tag = 0;
  std::uint32_t payload_checksum = 0;
  std::uint32_t path_acknowledged = 0;  // data frames received in order on this path incarnation
  std::uint32_t credit_seen = 0;        // clear-to-sends received in order
  // With kFlagCredit: the receive that is announced, by the low half of its number.
  std::uint32_t credit_number = 0;
  std::uint32_t credit_tag = 0;
  std::uint64_t credit_capacity = 0;

  std::uint32_t wire_length() const { return (flags & kFlagCoded) != 0 ? coded_length : length; }
};

// Messages are numbered by the receives they meet; number = epoch * kSlots + slot.
constexpr std::uint64_t message_number(std::uint32_t epoch, std::uint16_t slot) {
  return std::uint64_t{epoch} * kSlots + slot;
}

void encode(const FrameHeader& header, std::span<std::byte, kHeaderBytes> out);

enum class FrameError : std::uint8_t {
  kNone,
  kMagic,
  kVersion,
  kChecksum,
  kType,
  kFlags,
  kReserved,
  kLength,
  kCredit,
  kCoded
};
const char* to_string(FrameError error);

// Checks what can be checked without knowing the connection: magic, version, checksum, type, flags, and that
// only data frames have a payload or carry a clear-to-send. Everything else is the endpoint's to judge. Where
// the ends have not agreed on coded payloads, kFlagCoded is a flag that nobody knows.
FrameError decode(std::span<const std::byte, kHeaderBytes> bytes, FrameHeader& header,
                  bool may_be_coded = false);

}  // namespace weft::multipath
