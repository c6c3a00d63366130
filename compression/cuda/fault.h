// What a kernel finds wrong with a slot, as a number: a kernel has no words. fault_words() has them.
#pragma once

#include <cstdint>

namespace weft::compression::cuda {

enum class Fault : std::uint8_t {
  kNone,
  // Of a piece.
  kOutsideSlot,
  kUnknownKind,
  kRawSize,
  kConstantSize,
  kShorterThanTile,
  kShorterThanPlanes,
  kWindowOutside,
  kReservedByte,
  kTooManyEscapes,
  kListLength,
  kEscapeCount,
  // Of the slot.
  kHeader,
  kOtherCoding,
  kPayloadSize,
  kLeftOver,
  kMisaligned,
  // Of the call.
  kDivisor,
};
inline constexpr int kFaults = 18;

// For the host. Of a piece: what the CPU's kernels say.
const char* fault_words(Fault fault);

}  // namespace weft::compression::cuda
