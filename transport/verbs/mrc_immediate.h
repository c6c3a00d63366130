// How frames travel over MRC queue pairs (mrc_library.h), which have no SEND and keep no order. Everything is
// a WRITE_WITH_IMM: messages into a ring of the peer's, payloads to their place. The immediate says what it
// is and the how manyeth on its queue pair, so that the receiver can put things in order again.
//
//   immediate   bits 0..17 detail   18..29 low bits of the work request's number   30..31 kind
//   detail      of a chunk: bits 0..9 the chunk, 10..17 the slot
//               of anything else: low bits of how many work requests of the peer's have been taken (credit)
//
// A receiver posts kMrcReceives receives and has as many places in its ring. A sender never has more
// work requests under way than the peer is known to have taken, less a few, which are kept for work requests
// that say nothing but the credit: so both ends can always be told.
//
// Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "transport/verbs/wire.h"

namespace weft::verbs {

inline constexpr std::uint32_t kMrcReceives = 256;
inline constexpr std::uint32_t kMrcKeptForCredit = 8;
// After so many that were taken and not told of, they are told of by themselves.
inline constexpr std::uint32_t kMrcCreditStep = 64;
static_assert(kMrcCreditStep * (kMrcKeptForCredit - 1) > kMrcReceives,
              "telling of credit never lacks credit");

struct MrcImmediate {
  enum class Kind : std::uint8_t { kMessage, kPayload, kChunk, kCredit };
  static constexpr std::uint32_t kNumberMask = (1u << 12) - 1;
  static constexpr std::uint32_t kDetailMask = (1u << 18) - 1;

  Kind kind = Kind::kMessage;
  std::uint32_t number = 0;  // low bits
  std::uint32_t detail = 0;

  bool operator==(const MrcImmediate&) const = default;
};
static_assert(2 * kMrcReceives <= MrcImmediate::kNumberMask + 1);
static_assert(multipath::kSlots <= 1u << 8 && multipath::kMaxChunksPerMessage <= 1u << 10);

constexpr std::uint32_t pack(const MrcImmediate& immediate) {
  return static_cast<std::uint32_t>(immediate.kind) << 30 |
         (immediate.number & MrcImmediate::kNumberMask) << 18 |
         (immediate.detail & MrcImmediate::kDetailMask);
}
constexpr MrcImmediate unpack_mrc(std::uint32_t packed) {
  return {static_cast<MrcImmediate::Kind>(packed >> 30), packed >> 18 & MrcImmediate::kNumberMask,
          packed & MrcImmediate::kDetailMask};
}

// What came, in the order in which it was posted, out of an order in which it arrived.
template <typename Arrival>
class InOrder {
 public:
  // False: it cannot be, for nobody may have so many under way, or it is there already.
  bool put(std::uint32_t low_bits, const Arrival& arrival) {
    const std::uint32_t ahead = (low_bits - taken_) & MrcImmediate::kNumberMask;
    if (ahead >= kMrcReceives) return false;
    std::optional<Arrival>& place = early_[(taken_ + ahead) % kMrcReceives];
    if (place) return false;
    place = arrival;
    return true;
  }
  // The next one where it has come.
  bool take(Arrival& out) {
    std::optional<Arrival>& place = early_[taken_ % kMrcReceives];
    if (!place) return false;
    out = *place;
    place.reset();
    ++taken_;
    return true;
  }
  // How many have been taken; of the one that was taken last, its number is one less.
  std::uint32_t taken() const { return taken_; }

 private:
  std::array<std::optional<Arrival>, kMrcReceives> early_{};
  std::uint32_t taken_ = 0;
};

// How many work requests a sender may still post.
class MrcCredit {
 public:
  // The peer says how many it has taken, in the low bits; `posted`: how many there have been. False: it
  // cannot have.
  bool heard(std::uint32_t low_bits, std::uint32_t posted) {
    const std::uint32_t more = (low_bits - taken_) & MrcImmediate::kDetailMask;
    if (more > posted - taken_) return false;
    taken_ += more;
    return true;
  }
  std::uint32_t left(std::uint32_t posted) const { return kMrcReceives - (posted - taken_); }

 private:
  std::uint32_t taken_ = 0;
};

}  // namespace weft::verbs
