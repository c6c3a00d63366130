#include "transport/bootstrap/handshake.h"

#include <sodium.h>

#include <cstring>
#include <string>

namespace weft::bootstrap {
namespace {

// Puts and takes fields one after the other.
template <std::size_t N>
class Writer {
 public:
  template <typename Bytes>
  Writer& bytes(const Bytes& source) {
    std::memcpy(out_.data() + at_, source.data(), source.size());
    at_ += source.size();
    return *this;
  }
  template <typename Number>
  Writer& number(Number value) {
    for (std::size_t i = 0; i < sizeof(Number); ++i) {
      out_[at_++] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff);
    }
    return *this;
  }
  std::array<std::byte, N> done() const { return out_; }

 private:
  std::array<std::byte, N> out_{};
  std::size_t at_ = 0;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> in) : in_(in) {}
  bool has_magic() {
    const bool same = std::memcmp(in_.data(), kMagic.data(), kMagic.size()) == 0;
    in_ = in_.subspan(kMagic.size());
    return same;
  }
  template <typename Bytes>
  void bytes(Bytes& target) {
    std::memcpy(target.data(), in_.data(), target.size());
    in_ = in_.subspan(target.size());
  }
  template <typename Number>
  Number number() {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(Number); ++i)
      value |= std::to_integer<std::uint64_t>(in_[i]) << (8 * i);
    in_ = in_.subspan(sizeof(Number));
    return static_cast<Number>(value);
  }

 private:
  std::span<const std::byte> in_;
};

std::optional<Verdict> verdict_from(std::uint32_t number) {
  if (number > static_cast<std::uint32_t>(Verdict::kWrongSecret)) return std::nullopt;
  return static_cast<Verdict>(number);
}

// HMAC-SHA256 over several pieces, under a key of any length.
class Hmac {
 public:
  explicit Hmac(std::span<const std::byte> key) {
    crypto_auth_hmacsha256_init(&state_, reinterpret_cast<const unsigned char*>(key.data()), key.size());
  }
  Hmac& add(std::span<const std::byte> bytes) {
    crypto_auth_hmacsha256_update(&state_, reinterpret_cast<const unsigned char*>(bytes.data()),
                                  bytes.size());
    return *this;
  }
  Hmac& add(std::string_view text) { return add(std::as_bytes(std::span(text))); }
  Mac done() {
    static_assert(sizeof(Mac) == crypto_auth_hmacsha256_BYTES);
    Mac mac;
    crypto_auth_hmacsha256_final(&state_, reinterpret_cast<unsigned char*>(mac.data()));
    return mac;
  }

 private:
  crypto_auth_hmacsha256_state state_{};
};

}  // namespace

std::array<std::byte, Hello::kBytes> Hello::encode() const {
  return Writer<kBytes>().bytes(kMagic).number(rank).number(size).bytes(job).bytes(nonce).done();
}

std::optional<Hello> Hello::decode(std::span<const std::byte> bytes) {
  if (bytes.size() != kBytes) return std::nullopt;
  Reader reader(bytes);
  if (!reader.has_magic()) return std::nullopt;
  Hello hello;
  hello.rank = reader.number<std::uint32_t>();
  hello.size = reader.number<std::uint32_t>();
  reader.bytes(hello.job);
  reader.bytes(hello.nonce);
  return hello;
}

std::array<std::byte, Answer::kBytes> Answer::encode() const {
  return Writer<kBytes>()
      .bytes(kMagic)
      .number(static_cast<std::uint32_t>(verdict))
      .number(size)
      .bytes(nonce)
      .bytes(proof)
      .done();
}

std::optional<Answer> Answer::decode(std::span<const std::byte> bytes) {
  if (bytes.size() != kBytes) return std::nullopt;
  Reader reader(bytes);
  if (!reader.has_magic()) return std::nullopt;
  const auto verdict = verdict_from(reader.number<std::uint32_t>());
  if (!verdict) return std::nullopt;
  Answer answer;
  answer.verdict = *verdict;
  answer.size = reader.number<std::uint32_t>();
  reader.bytes(answer.nonce);
  reader.bytes(answer.proof);
  return answer;
}

std::array<std::byte, Welcome::kBytes> Welcome::encode() const {
  return Writer<kBytes>()
      .bytes(kMagic)
      .number(static_cast<std::uint32_t>(verdict))
      .number(std::uint32_t{0})
      .done();
}

std::optional<Welcome> Welcome::decode(std::span<const std::byte> bytes) {
  if (bytes.size() != kBytes) return std::nullopt;
  Reader reader(bytes);
  if (!reader.has_magic()) return std::nullopt;
  const auto verdict = verdict_from(reader.number<std::uint32_t>());
  if (!verdict) return std::nullopt;
  return Welcome{*verdict};
}

std::array<std::byte, FrameHeader::kBytes> FrameHeader::encode() const {
  return Writer<kBytes>()
      .number(kMagicNumber)
      .number(static_cast<std::uint32_t>(kind))
      .number(call)
      .number(payload_bytes)
      .bytes(mac)
      .done();
}

std::optional<FrameHeader> FrameHeader::decode(std::span<const std::byte> bytes) {
  if (bytes.size() != kBytes) return std::nullopt;
  Reader reader(bytes);
  if (reader.number<std::uint32_t>() != kMagicNumber) return std::nullopt;
  const auto kind = reader.number<std::uint32_t>();
  if (kind > static_cast<std::uint32_t>(Kind::kError)) return std::nullopt;
  FrameHeader header;
  header.kind = static_cast<Kind>(kind);
  header.call = reader.number<std::uint64_t>();
  header.payload_bytes = reader.number<std::uint64_t>();
  reader.bytes(header.mac);
  return header;
}

std::array<std::byte, 32> hash_of_job(std::string_view job_id) {
  std::array<std::byte, 32> hash;
  crypto_generichash(reinterpret_cast<unsigned char*>(hash.data()), hash.size(),
                     reinterpret_cast<const unsigned char*>(job_id.data()), job_id.size(), nullptr, 0);
  return hash;
}

Nonce random_nonce() {
  Nonce nonce;
  randombytes_buf(nonce.data(), nonce.size());
  return nonce;
}

Mac proof_of(Role role, std::string_view secret, const Hello& hello, const Nonce& answer_nonce) {
  return Hmac(std::as_bytes(std::span(secret)))
      .add(role == Role::kRankZero ? "weft bootstrap: rank 0" : "weft bootstrap: a rank")
      .add(hello.encode())
      .add(answer_nonce)
      .done();
}

Mac session_key(std::string_view secret, const Hello& hello, const Nonce& answer_nonce) {
  return Hmac(std::as_bytes(std::span(secret)))
      .add("weft bootstrap: session")
      .add(hello.encode())
      .add(answer_nonce)
      .done();
}

Mac mac_of(Role sender, const Mac& session_key, const FrameHeader& header,
           std::span<const std::byte> payload) {
  FrameHeader without_mac = header;
  without_mac.mac = {};
  return Hmac(session_key)
      .add(sender == Role::kRankZero ? "0" : "n")
      .add(without_mac.encode())
      .add(payload)
      .done();
}

bool equal(const Mac& a, const Mac& b) {
  return sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace weft::bootstrap
