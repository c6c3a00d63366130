// The messages with which a rank joins rank 0, and the frames that follow. Pure: bytes in, bytes out.
//
//   rank          rank 0
//   Hello    →             rank, size, job, a nonce
//            ←    Answer   a verdict, a nonce, a proof that rank 0 knows the secret
//   Proof    →             a proof that the rank knows it
//            ←    Welcome  the verdict on that
//   Frame   ⇄    Frame    each with an HMAC under a key of this session
//
// Proofs and keys are HMAC-SHA256 under the job's secret, which may be empty: then they only catch accidents.
// All numbers are little-endian. Every message has a fixed size and begins with a magic number, so that a
// foreign server or client is known by its first bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace weft::bootstrap {

using Mac = std::array<std::byte, 32>;
using Nonce = std::array<std::byte, 32>;

inline constexpr std::array<char, 8> kMagic{'W', 'E', 'F', 'T', 'B', 'S', 'T', '1'};

enum class Verdict : std::uint32_t {
  kJoined = 0,
  kOtherJob = 1,
  kOtherSize = 2,
  kRankTaken = 3,
  kRankOutOfRange = 4,
  kWrongSecret = 5,
};

// magic[8] rank[4] size[4] job[32] nonce[32]
struct Hello {
  static constexpr std::size_t kBytes = 80;
  std::uint32_t rank = 0;
  std::uint32_t size = 0;
  std::array<std::byte, 32> job{};  // a hash of the job id
  Nonce nonce{};

  std::array<std::byte, kBytes> encode() const;
  static std::optional<Hello> decode(std::span<const std::byte> bytes);
};

// magic[8] verdict[4] size[4] nonce[32] proof[32]
struct Answer {
  static constexpr std::size_t kBytes = 80;
  Verdict verdict = Verdict::kJoined;
  std::uint32_t size = 0;
  Nonce nonce{};
  Mac proof{};

  std::array<std::byte, kBytes> encode() const;
  static std::optional<Answer> decode(std::span<const std::byte> bytes);
};

// magic[8] verdict[4] zero[4]
struct Welcome {
  static constexpr std::size_t kBytes = 16;
  Verdict verdict = Verdict::kJoined;

  std::array<std::byte, kBytes> encode() const;
  static std::optional<Welcome> decode(std::span<const std::byte> bytes);
};

// magic[4] kind[4] call[8] payload size[8] mac[32], then the payload
struct FrameHeader {
  static constexpr std::size_t kBytes = 56;
  static constexpr std::uint32_t kMagicNumber = 0x46425457;  // "WTBF"
  enum class Kind : std::uint32_t { kData = 0, kError = 1 };
  Kind kind = Kind::kData;
  std::uint64_t call = 0;  // the how-manieth collective call
  std::uint64_t payload_bytes = 0;
  Mac mac{};

  std::array<std::byte, kBytes> encode() const;
  static std::optional<FrameHeader> decode(std::span<const std::byte> bytes);
};

// Which end made a MAC: one that is sent back to its maker proves nothing.
enum class Role : unsigned char { kRankZero, kRank };

std::array<std::byte, 32> hash_of_job(std::string_view job_id);
Nonce random_nonce();

Mac proof_of(Role role, std::string_view secret, const Hello& hello, const Nonce& answer_nonce);
Mac session_key(std::string_view secret, const Hello& hello, const Nonce& answer_nonce);
Mac mac_of(Role sender, const Mac& session_key, const FrameHeader& header,
           std::span<const std::byte> payload);
bool equal(const Mac& a, const Mac& b);  // in constant time

}  // namespace weft::bootstrap
