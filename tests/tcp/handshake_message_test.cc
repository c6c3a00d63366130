// The handshake's messages as bytes: round trips, limits, and that nothing malformed decodes.
#include "transport/tcp/handshake_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/tcp/handshake_fixture.h"

namespace weft::tcp {
namespace {

using ::testing::HasSubstr;

Bytes encoded(const Hello& hello, bool sealed = false) {
  return encode(hello, sealed).value();
}
Bytes encoded(const Welcome& welcome, bool sealed = false) {
  return encode(welcome, sealed).value();
}

Hello largest_hello() {
  Hello hello = full_hello();
  hello.endpoints.assign(kMaxHandshakeEndpoints, endpoint("fd00::1", 1, 64));
  hello.options.clear();
  for (std::uint16_t i = 0; i < kMaxHandshakeOptions; ++i) {
    hello.options.push_back({i, Bytes(kMaxHandshakeOptionBytes / kMaxHandshakeOptions)});
  }
  return hello;
}

Welcome largest_welcome() {
  Welcome welcome = full_welcome();
  welcome.text.assign(kMaxRefusalTextBytes, 'x');
  welcome.endpoints.assign(kMaxHandshakeEndpoints, endpoint("fd00::1", 1, 64));
  welcome.options = largest_hello().options;
  return welcome;
}

TEST(HandshakeMessage, RoundTrips) {
  const Challenge challenge{nonce_of(1), true};
  EXPECT_EQ(encode(challenge).size(), kChallengeBytes);
  EXPECT_EQ(*decode_challenge(encode(challenge)), challenge);
  for (const bool sealed : {false, true}) {
    for (const Hello& hello : {full_hello(), Hello{}, largest_hello()}) {
      const auto decoded = decode_hello(encoded(hello, sealed));
      ASSERT_TRUE(decoded.is_ok()) << decoded.status().message();
      EXPECT_EQ(decoded->message, hello);
      EXPECT_EQ(decoded->sealed, sealed);
    }
    for (const Welcome& welcome : {full_welcome(), Welcome{}, largest_welcome()}) {
      const auto decoded = decode_welcome(encoded(welcome, sealed));
      ASSERT_TRUE(decoded.is_ok()) << decoded.status().message();
      EXPECT_EQ(decoded->message, welcome);
      EXPECT_EQ(decoded->sealed, sealed);
    }
  }
}

TEST(HandshakeMessage, TheLargestStaysWithinTheBound) {
  EXPECT_LE(encoded(largest_hello()).size(), kMaxHandshakeMessageBytes);
  EXPECT_LE(encoded(largest_welcome()).size(), kMaxHandshakeMessageBytes);
}

TEST(HandshakeMessage, TheLayoutIsWhatTheHeaderSays) {
  const Bytes hello = encoded(full_hello());
  const auto at = [&](std::size_t i) { return std::to_integer<int>(hello[i]); };
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(hello.data()), 4), "WFTH");
  EXPECT_EQ(at(4), kHandshakeVersion);
  EXPECT_EQ(at(5), 2);
  EXPECT_EQ(at(6) + 256 * at(7), static_cast<int>(hello.size()));
  EXPECT_EQ(at(12), 0x88);
  EXPECT_EQ(at(19), 0x11);
  EXPECT_EQ(at(20), 0x5a);
  EXPECT_EQ(at(36), 3);
  EXPECT_EQ(at(37), 5);
  EXPECT_EQ(at(38), 1);
  EXPECT_EQ(at(39), 8);
  EXPECT_EQ(at(40), 3);
  EXPECT_EQ(hello[48], nonce_of(2)[0]);
  EXPECT_EQ(at(80), 2);  // endpoints
  EXPECT_EQ(at(81), 4);  // the first one's family
}

template <typename Change>
Status encode_changed(Change change) {
  Hello hello = full_hello();
  change(hello);
  return encode(hello, false).status();
}

TEST(HandshakeMessage, OnesOwnMistakesAreRefusedBeforeTheyAreSent) {
  EXPECT_FALSE(encode_changed([](Hello& h) { h.total_paths = 0; }).is_ok());
  EXPECT_FALSE(encode_changed([](Hello& h) { h.total_paths = 65; }).is_ok());
  EXPECT_FALSE(encode_changed([](Hello& h) { h.path_index = 8; }).is_ok());
  EXPECT_FALSE(encode_changed([](Hello& h) { h.plane = 64; }).is_ok());
  EXPECT_FALSE(encode_changed([](Hello& h) { h.purpose = static_cast<PathPurpose>(4); }).is_ok());
  EXPECT_FALSE(
      encode_changed([](Hello& h) { h.parameters.chunk_limit_bytes = kMinChunkLimitBytes - 1; }).is_ok());
  EXPECT_FALSE(
      encode_changed([](Hello& h) { h.parameters.chunk_limit_bytes = kMaxChunkLimitBytes + 1; }).is_ok());
  EXPECT_FALSE(encode_changed([](Hello& h) { h.endpoints.assign(33, h.endpoints[0]); }).is_ok());
  EXPECT_FALSE(encode_changed([](Hello& h) { h.endpoints.push_back(endpoint("0.0.0.0", 0, 0)); }).is_ok());
  EXPECT_FALSE(encode_changed([](Hello& h) {
                 h.options.push_back({9, {}});
               }).is_ok())
      << "types ascend strictly";
  EXPECT_FALSE(encode_changed([](Hello& h) { h.options.push_back({10, Bytes(255)}); }).is_ok());
  Welcome welcome = full_welcome();
  welcome.text.assign(kMaxRefusalTextBytes + 1, 'x');
  EXPECT_FALSE(encode(welcome, false).is_ok());
  welcome.text = "bell\a";
  EXPECT_FALSE(encode(welcome, false).is_ok());
}

TEST(HandshakeMessage, EveryTruncationAndEveryExtraByteIsRefused) {
  const Bytes challenge = encode(Challenge{nonce_of(1), false}), hello = encoded(full_hello()),
              welcome = encoded(full_welcome());
  for (const Bytes& whole : {challenge, hello, welcome}) {
    for (std::size_t kept = 0; kept <= whole.size() + 1; ++kept) {
      if (kept == whole.size()) continue;
      Bytes bytes = whole;
      bytes.resize(kept);
      EXPECT_FALSE(decode_challenge(bytes).is_ok()) << kept;
      EXPECT_FALSE(decode_hello(bytes).is_ok()) << kept;
      EXPECT_FALSE(decode_welcome(bytes).is_ok()) << kept;
      if (kept < kHandshakeHeaderBytes) continue;
      // Also with a length in the header that fits the cut.
      bytes[6] = static_cast<std::byte>(kept & 0xff);
      bytes[7] = static_cast<std::byte>(kept >> 8);
      EXPECT_FALSE(decode_challenge(bytes).is_ok()) << kept;
      EXPECT_FALSE(decode_hello(bytes).is_ok()) << kept;
      EXPECT_FALSE(decode_welcome(bytes).is_ok()) << kept;
    }
  }
}

// One encoding for each message: whatever still decodes after a change must encode to exactly the changed
// bytes.
template <typename Message>
void expect_canonical(const Bytes& bytes, const Result<Decoded<Message>>& decoded, bool sealed) {
  if (!decoded.is_ok() || sealed) return;
  const auto again = encode(decoded->message, false);
  ASSERT_TRUE(again.is_ok()) << again.status().message();
  ASSERT_EQ(*again, bytes);
}

TEST(HandshakeMessage, EveryBitFlipIsRefusedOrMeansExactlyWhatItSays) {
  const Bytes hello = encoded(full_hello()), welcome = encoded(full_welcome());
  for (std::size_t bit = 0; bit < hello.size() * 8; ++bit) {
    Bytes bytes = hello;
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    const auto decoded = decode_hello(bytes);
    if (decoded.is_ok()) {
      EXPECT_TRUE(decoded->sealed || decoded->message != full_hello()) << "bit " << bit << " has no meaning";
      expect_canonical(bytes, decoded, decoded->sealed);
    }
  }
  for (std::size_t bit = 0; bit < welcome.size() * 8; ++bit) {
    Bytes bytes = welcome;
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    const auto decoded = decode_welcome(bytes);
    if (decoded.is_ok()) {
      EXPECT_TRUE(decoded->sealed || decoded->message != full_welcome())
          << "bit " << bit << " has no meaning";
      expect_canonical(bytes, decoded, decoded->sealed);
    }
  }
}

TEST(HandshakeMessage, RandomDamageIsRefusedOrCanonical) {
  std::mt19937 random(7);
  int still_good = 0;
  for (int round = 0; round < 50000; ++round) {
    Bytes bytes = random() % 2 == 0 ? encoded(full_hello()) : encoded(full_welcome());
    for (unsigned changes = 1 + random() % 4; changes > 0; --changes) {
      bytes[8 + random() % (bytes.size() - 8)] =
          static_cast<std::byte>(random() % 4 == 0 ? random() : random() % 8);
    }
    const auto hello = decode_hello(bytes);
    const auto welcome = decode_welcome(bytes);
    expect_canonical(bytes, hello, hello.is_ok() && hello->sealed);
    expect_canonical(bytes, welcome, welcome.is_ok() && welcome->sealed);
    still_good += hello.is_ok() || welcome.is_ok();
  }
  EXPECT_GT(still_good, 100);
}

TEST(HandshakeMessage, TheHeaderAloneStopsNonsense) {
  Bytes header = encoded(full_hello());
  header.resize(kHandshakeHeaderBytes);
  ASSERT_TRUE(decode_header(header).is_ok());
  const auto changed = [&](std::size_t at, unsigned value) {
    Bytes bytes = header;
    bytes[at] = static_cast<std::byte>(value);
    return decode_header(bytes);
  };
  EXPECT_THAT(changed(0, 'G').status().message(), HasSubstr("no Weft handshake"));
  EXPECT_THAT(changed(5, 0).status().message(), HasSubstr("unknown type"));
  EXPECT_THAT(changed(5, 4).status().message(), HasSubstr("unknown type"));
  EXPECT_THAT(changed(7, 0xff).status().message(), HasSubstr("impossible length"));
  const auto newer = changed(4, 2);
  ASSERT_TRUE(newer.is_ok()) << "another version has to be answerable";
  EXPECT_EQ(newer->version, 2);
}

TEST(HandshakeMessage, PrintableKeepsTerminalsSafe) {
  EXPECT_EQ(printable("a\x1b[31m\xc3\xa4\n"), "a?[31m???");
}

}  // namespace
}  // namespace weft::tcp
