// What a path over verbs puts beside the 64-byte frame header of transport/multipath/frame.h.
//
// A SEND carries one frame: the header; where it announces a receive, the place behind it; and the payload of
// a small data frame. The peer's receive buffers hold kMessageBytes.
//
//   place   0 address (u64)   8 flags   9 number of keys   10 zero (u16)   12 keys (u32 each), one a plane,
//   in order
//
// Larger payloads are written to their place (RDMA WRITE) in front of the SEND with their header, and so are
// all that go to a place of kNoCpuAccess. Further
// chunks of a message of which this path has carried a header already need none: WRITE_WITH_IMM, and the
// immediate says which chunk it was.
//
//   immediate   bits 0..13 low bits of the path sequence   14..23 chunk   24..31 slot
//
// Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "transport/multipath/endpoint.h"
#include "transport/multipath/frame.h"

namespace weft::verbs {

inline constexpr std::size_t kMaxPlanes = 16;  // tcp::kMostDialledPlanes
inline constexpr std::size_t kMessageBytes = 256;
inline constexpr std::size_t kPlaceFixedBytes = 12;
inline constexpr std::size_t kMaxPlaceBytes = kPlaceFixedBytes + 4 * kMaxPlanes;
// A payload of this size travels behind its header, whatever else does. A receive that holds no more needs no
// key.
inline constexpr std::size_t kSmallPayloadBytes = kMessageBytes - multipath::kHeaderBytes - kMaxPlaceBytes;
static_assert(kSmallPayloadBytes >= 64);

// Where an announced receive lies in its owner's memory.
struct Place {
  static constexpr std::uint8_t kNoCpuAccess = 1;  // a GPU's memory: payloads must be written, small ones too
  static constexpr std::uint8_t kAllFlags = 1;

  std::uint64_t address = 0;
  std::uint8_t flags = 0;
  std::uint8_t key_count = 0;  // none where the receive holds no more than kSmallPayloadBytes
  std::array<std::uint32_t, kMaxPlanes> keys{};

  std::size_t encoded_bytes() const { return kPlaceFixedBytes + 4 * std::size_t{key_count}; }
  bool operator==(const Place&) const = default;
};

// `out` has encoded_bytes() at least.
void encode(const Place& place, std::byte* out);
// The place at the beginning of `bytes`; nothing where they are too few, or it is none that a peer may send.
std::optional<Place> decode_place(std::span<const std::byte> bytes);

// Whether a data frame with `inside` bytes of payload behind its header may be put there: null, or what the
// peer did wrong. Nothing of a landing in device memory may be copied or looked at by the CPU.
const char* check_payload(const multipath::FrameHeader& header, std::size_t inside,
                          const multipath::Landing& landing);

struct Immediate {
  static constexpr std::uint32_t kSequenceMask = (1u << 14) - 1;

  std::uint8_t slot = 0;
  std::uint16_t chunk = 0;
  std::uint16_t sequence = 0;  // low bits

  bool operator==(const Immediate&) const = default;
};
static_assert(multipath::kSlots <= 1u << 8 && multipath::kMaxChunksPerMessage <= 1u << 10);
static_assert(multipath::kPathWindowFrames < Immediate::kSequenceMask / 2);

constexpr std::uint32_t pack(const Immediate& immediate) {
  return std::uint32_t{immediate.slot} << 24 | std::uint32_t{immediate.chunk} << 14 |
         (immediate.sequence & Immediate::kSequenceMask);
}
constexpr Immediate unpack(std::uint32_t packed) {
  return {static_cast<std::uint8_t>(packed >> 24), static_cast<std::uint16_t>(packed >> 14 & 0x3FF),
          static_cast<std::uint16_t>(packed & Immediate::kSequenceMask)};
}

// The flow label of a path: the UDP source port of RoCE v2 is made of 14 bits, the label folded. Within
// these, two incarnations of whatever paths of one connection differ for 2^14 labels on end.
constexpr std::uint32_t flow_label(std::uint32_t connection_salt, std::size_t path,
                                   std::uint32_t incarnation) {
  constexpr std::uint32_t kFolded = (1u << 14) - 1;
  constexpr std::uint32_t kSpread =
      0x278D;  // odd, so distinct numbers stay distinct; neighbours land far apart
  return (connection_salt +
          (static_cast<std::uint32_t>(path) + incarnation * multipath::kMaxPaths) * kSpread) &
         kFolded;
}

}  // namespace weft::verbs
