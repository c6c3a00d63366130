// Both sides of the handshake against each other and against a hostile peer.
#include "transport/tcp/handshake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>

#include "tests/tcp/handshake_fixture.h"

namespace weft::tcp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSecretText[] = "a secret of the job";

struct Sides {
  explicit Sides(const std::string& client_secret_text = "", const std::string& server_secret_text = "",
                 const Hello& hello = full_hello())
      : client_secret(client_secret_text),
        server_secret(server_secret_text),
        client(client_secret, hello, "10.0.0.2:4711"),
        server(server_secret, nonce_of(1), "10.0.0.1:5000") {}

  // Up to the server's decision.
  void introduce(std::size_t piece = 4096) {
    carry(server, client, piece);
    carry(client, server, piece);
  }
  void finish(std::size_t piece = 4096) {
    introduce(piece);
    ASSERT_EQ(server.state(), HandshakeState::kDecision) << server.status().message();
    ASSERT_TRUE(server.accept(full_welcome()).is_ok());
    carry(server, client, piece);
  }

  HandshakeSecret client_secret, server_secret;
  ClientHandshake client;
  ServerHandshake server;
};

class WithAndWithoutSecret : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Handshake, WithAndWithoutSecret, ::testing::Values("", kSecretText));

TEST_P(WithAndWithoutSecret, BothSidesLearnEverything) {
  Sides sides(GetParam(), GetParam());
  sides.finish();
  EXPECT_EQ(sides.client.state(), HandshakeState::kDone) << sides.client.status().message();
  EXPECT_EQ(sides.server.state(), HandshakeState::kDone);
  EXPECT_EQ(sides.server.hello(), full_hello());
  EXPECT_EQ(sides.client.welcome(), full_welcome());
  EXPECT_TRUE(sides.client.status().is_ok());
  EXPECT_FALSE(sides.client.refusal().has_value());
}

TEST_P(WithAndWithoutSecret, WorksByteByByte) {
  for (const std::size_t piece : {1, 3, 7, 8, 9, 43, 44, 45}) {
    Sides sides(GetParam(), GetParam());
    sides.finish(piece);
    EXPECT_EQ(sides.client.state(), HandshakeState::kDone) << piece;
    EXPECT_EQ(sides.client.welcome(), full_welcome());
  }
}

TEST_P(WithAndWithoutSecret, LeavesTheDataPathsBytesAlone) {
  Sides sides(GetParam(), GetParam());
  carry(sides.server, sides.client);
  Bytes to_server = take_output(sides.client);
  const std::size_t hello_bytes = to_server.size();
  to_server.resize(hello_bytes + 100, std::byte{0xee});
  EXPECT_EQ(sides.server.feed(to_server), hello_bytes);
  EXPECT_EQ(sides.server.feed(std::span(to_server).subspan(hello_bytes)), 0u);
  ASSERT_TRUE(sides.server.accept(full_welcome()).is_ok());
  Bytes to_client = take_output(sides.server);
  const std::size_t welcome_bytes = to_client.size();
  to_client.resize(welcome_bytes + 100, std::byte{0xee});
  EXPECT_EQ(sides.client.feed(to_client), welcome_bytes);
  EXPECT_EQ(sides.client.state(), HandshakeState::kDone);
  EXPECT_EQ(sides.client.feed(to_client), 0u);
}

TEST_P(WithAndWithoutSecret, RefusalReachesTheClientWithItsReason) {
  Sides sides(GetParam(), GetParam());
  sides.introduce();
  sides.server.refuse(RefusalCode::kLimit, "1024 connections\x1b[0m" + std::string(300, 'y'));
  EXPECT_EQ(sides.server.state(), HandshakeState::kFailed);
  EXPECT_EQ(sides.server.status().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(sides.server.status().message(),
              AllOf(HasSubstr("10.0.0.1:5000"), HasSubstr("1024 connections?[0m")));
  carry(sides.server, sides.client);
  ASSERT_EQ(sides.client.state(), HandshakeState::kFailed);
  EXPECT_EQ(sides.client.refusal(), RefusalCode::kLimit);
  EXPECT_EQ(sides.client.status().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(sides.client.status().message(),
              AllOf(HasSubstr("10.0.0.2:4711"), HasSubstr("1024 connections?[0m")));
}

TEST_P(WithAndWithoutSecret, EveryRefusalCodeArrives) {
  for (std::uint8_t code = 1; code <= kLastRefusalCode; ++code) {
    Sides sides(GetParam(), GetParam());
    sides.introduce();
    sides.server.refuse(static_cast<RefusalCode>(code), "");
    carry(sides.server, sides.client);
    EXPECT_EQ(sides.client.refusal(), static_cast<RefusalCode>(code));
    EXPECT_NE(sides.client.status().code(), StatusCode::kOk);
    EXPECT_THAT(sides.client.status().message(),
                HasSubstr(std::string(to_string(static_cast<RefusalCode>(code)))));
    EXPECT_THAT(sides.client.status().message(), Not(HasSubstr("unknown code")));
  }
}

struct SecretCase {
  const char* client;
  const char* server;
  RefusalCode code;
  const char* server_says;
};

class SecretsThatDiffer : public ::testing::TestWithParam<SecretCase> {};
INSTANTIATE_TEST_SUITE_P(
    Handshake, SecretsThatDiffer,
    ::testing::Values(SecretCase{"alpha-one", "beta-two", RefusalCode::kSecretDiffers, "differs from"},
                      SecretCase{"alpha-one", "alpha-onf", RefusalCode::kSecretDiffers, "differs from"},
                      SecretCase{"", "beta-two", RefusalCode::kSecretRequired, "shows no WEFT_SECRET"},
                      SecretCase{"alpha-one", "", RefusalCode::kSecretUnexpected, "none is set here"}));

TEST_P(SecretsThatDiffer, FailOnBothSidesWithoutLeaking) {
  const SecretCase& c = GetParam();
  Sides sides(c.client, c.server);
  sides.introduce();
  ASSERT_EQ(sides.server.state(), HandshakeState::kFailed);
  EXPECT_EQ(sides.server.status().code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(sides.server.status().message(), AllOf(HasSubstr(c.server_says), HasSubstr("10.0.0.1:5000")));
  EXPECT_EQ(sides.server.hello(), Hello{}) << "nothing of a stranger's HELLO gets to the caller";

  Bytes refusal = take_output(sides.server);
  const auto decoded = decode_welcome(refusal);
  ASSERT_TRUE(decoded.is_ok());
  EXPECT_FALSE(decoded->sealed) << "a seal would be material to guess the secret with";
  sides.client.feed(refusal);
  ASSERT_EQ(sides.client.state(), HandshakeState::kFailed);
  EXPECT_EQ(sides.client.status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(sides.client.refusal(), c.code);
  for (const Status& status : {sides.client.status(), sides.server.status()}) {
    EXPECT_THAT(status.message(),
                AllOf(HasSubstr("WEFT_SECRET"), Not(HasSubstr("alpha")), Not(HasSubstr("beta"))));
  }
}

TEST_P(SecretsThatDiffer, AreNamedEvenIfTheServerJustCloses) {
  Sides sides(GetParam().client, GetParam().server);
  carry(sides.server, sides.client);
  sides.client.closed();
  ASSERT_EQ(sides.client.state(), HandshakeState::kFailed);
  if (GetParam().code == RefusalCode::kSecretDiffers) return;  // the client cannot know
  EXPECT_EQ(sides.client.status().code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(sides.client.status().message(), HasSubstr("WEFT_SECRET"));
}

TEST(HandshakeSecrets, AServerThatKnowsNoSecretCannotAccept) {
  // It skips the check and answers as if there were no secrets at all.
  Sides sides(kSecretText, "");
  carry(sides.server, sides.client);
  take_output(sides.client);
  sides.client.feed(*encode(full_welcome(), false));
  EXPECT_EQ(sides.client.state(), HandshakeState::kFailed);
  EXPECT_EQ(sides.client.status().code(), StatusCode::kPermissionDenied);
}

TEST(HandshakeSecrets, AServerWithAForgedSealCannotAccept) {
  Sides sides(kSecretText, kSecretText);
  carry(sides.server, sides.client);
  take_output(sides.client);
  sides.client.feed(*encode(full_welcome(), true));
  EXPECT_EQ(sides.client.state(), HandshakeState::kFailed);
  EXPECT_EQ(sides.client.status().code(), StatusCode::kPermissionDenied);
}

TEST(HandshakeSecrets, AClientWithoutSecretDistrustsASealedAnswer) {
  Sides sides("", "");
  carry(sides.server, sides.client);
  take_output(sides.client);
  sides.client.feed(*encode(full_welcome(), true));
  EXPECT_EQ(sides.client.state(), HandshakeState::kFailed);
}

TEST(HandshakeSecrets, ReplayOfAHelloFailsAgainstAnotherChallenge) {
  Sides first(kSecretText, kSecretText);
  carry(first.server, first.client);
  const Bytes recorded = take_output(first.client);
  first.server.feed(recorded);
  ASSERT_EQ(first.server.state(), HandshakeState::kDecision);

  ServerHandshake second(first.server_secret, nonce_of(9), "10.0.0.66:1");
  second.feed(recorded);
  EXPECT_EQ(second.state(), HandshakeState::kFailed);
  EXPECT_EQ(second.status().code(), StatusCode::kPermissionDenied);
}

TEST(HandshakeSecrets, ReplayOfAWelcomeFailsAgainstAnotherHello) {
  Sides first(kSecretText, kSecretText);
  first.introduce();
  ASSERT_TRUE(first.server.accept(full_welcome()).is_ok());
  const Bytes recorded = take_output(first.server);

  Hello other = full_hello();
  other.nonce = nonce_of(8);
  Sides second(kSecretText, kSecretText, other);
  carry(second.server, second.client);  // the same challenge as the first
  second.client.feed(recorded);
  EXPECT_EQ(second.client.state(), HandshakeState::kFailed);
  EXPECT_EQ(second.client.status().code(), StatusCode::kPermissionDenied);
}

TEST(HandshakeSecrets, RolesSealDifferently) {
  const HandshakeSecret secret(kSecretText);
  const Bytes text(10, std::byte{1});
  const Mac client = secret.seal(Role::kClient, {text}), server = secret.seal(Role::kServer, {text});
  EXPECT_NE(client, server);
  EXPECT_TRUE(secret.verify(Role::kClient, {text}, client));
  EXPECT_FALSE(secret.verify(Role::kServer, {text}, client)) << "a message sent back to its author";
  EXPECT_FALSE(secret.verify(Role::kClient, {text}, std::span(client).first(31)));
  EXPECT_FALSE(HandshakeSecret("another").verify(Role::kClient, {text}, client));
  // Pieces make no difference, so what matters is that every message states its own length.
  EXPECT_EQ(secret.seal(Role::kClient, {std::span(text).first(4), std::span(text).subspan(4)}), client);
}

TEST(HandshakeSecrets, TheSealIsHmacSha256UnderABlake2bKey) {
  // Made by Python's hashlib and hmac: BLAKE2b-256 of the secret, keyed with the role's label, is the HMAC's
  // key. A changed derivation is a new handshake version and not an accident.
  const unsigned char expected[] = {0xed, 0xdc, 0x64, 0x2d, 0x78, 0x91, 0x71, 0x75, 0x1b, 0x2b, 0xcf,
                                    0x00, 0xb5, 0xd7, 0x7b, 0x2e, 0x8f, 0xc0, 0x8a, 0x7f, 0x00, 0x4b,
                                    0xa5, 0x08, 0xf2, 0xbc, 0xa8, 0x04, 0xbd, 0xfb, 0xff, 0x5c};
  const Mac mac = HandshakeSecret(kSecretText).seal(Role::kClient, {Bytes(3, std::byte{'x'})});
  EXPECT_EQ(std::memcmp(mac.data(), expected, sizeof expected), 0);
  EXPECT_FALSE(HandshakeSecret("").is_set());
}

TEST(HandshakeSecrets, EveryBitOfASealedHandshakeCounts) {
  Sides reference(kSecretText, kSecretText);
  const Bytes challenge = take_output(reference.server);
  reference.client.feed(challenge);
  const Bytes hello = take_output(reference.client);
  reference.server.feed(hello);
  ASSERT_TRUE(reference.server.accept(full_welcome()).is_ok());
  const Bytes welcome = take_output(reference.server);

  for (std::size_t bit = 0; bit < hello.size() * 8; ++bit) {
    Bytes damaged = hello;
    damaged[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    ServerHandshake server(reference.server_secret, nonce_of(1), "peer");
    server.feed(damaged);
    server.closed();
    ASSERT_EQ(server.state(), HandshakeState::kFailed) << "HELLO bit " << bit;
  }
  for (std::size_t bit = 0; bit < welcome.size() * 8; ++bit) {
    Bytes damaged = welcome;
    damaged[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    ClientHandshake client(reference.client_secret, full_hello(), "peer");
    client.feed(challenge);
    client.feed(damaged);
    client.closed();
    ASSERT_EQ(client.state(), HandshakeState::kFailed) << "WELCOME bit " << bit;
  }
  // A changed challenge makes a HELLO that the server does not take.
  for (std::size_t bit = 0; bit < challenge.size() * 8; ++bit) {
    Bytes damaged = challenge;
    damaged[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    ClientHandshake client(reference.client_secret, full_hello(), "peer");
    client.feed(damaged);
    client.closed();
    ServerHandshake server(reference.server_secret, nonce_of(1), "peer");
    server.feed(client.output());
    server.closed();
    ASSERT_EQ(server.state(), HandshakeState::kFailed) << "CHALLENGE bit " << bit;
  }
}

TEST_P(WithAndWithoutSecret, EveryTruncationEndsInAnError) {
  Sides reference(GetParam(), GetParam());
  const Bytes challenge = take_output(reference.server);
  reference.client.feed(challenge);
  const Bytes hello = take_output(reference.client);
  reference.server.feed(hello);
  ASSERT_TRUE(reference.server.accept(full_welcome()).is_ok());
  const Bytes welcome = take_output(reference.server);

  for (std::size_t kept = 0; kept < hello.size(); ++kept) {
    ServerHandshake server(reference.server_secret, nonce_of(1), "peer");
    EXPECT_EQ(server.feed(std::span(hello).first(kept)), kept);
    ASSERT_EQ(server.state(), HandshakeState::kInProgress);
    server.closed();
    ASSERT_EQ(server.state(), HandshakeState::kFailed);
  }
  Bytes to_client = challenge;
  to_client.insert(to_client.end(), welcome.begin(), welcome.end());
  for (std::size_t kept = 0; kept < to_client.size(); ++kept) {
    ClientHandshake client(reference.client_secret, full_hello(), "peer");
    EXPECT_EQ(client.feed(std::span(to_client).first(kept)), kept);
    ASSERT_EQ(client.state(), HandshakeState::kInProgress);
    client.closed();
    ASSERT_EQ(client.state(), HandshakeState::kFailed);
    ASSERT_FALSE(client.status().message().empty());
  }
}

TEST(Handshake, StrangersAreTurnedAwayEarly) {
  const HandshakeSecret none("");
  ServerHandshake server(none, nonce_of(1), "10.0.0.9:80");
  take_output(server);
  const std::string request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  server.feed(std::as_bytes(std::span(request)));
  EXPECT_EQ(server.state(), HandshakeState::kFailed);
  EXPECT_THAT(server.status().message(), AllOf(HasSubstr("10.0.0.9:80"), HasSubstr("no Weft handshake")));
  EXPECT_TRUE(server.output().empty()) << "what is not Weft gets no answer";

  ClientHandshake client(none, full_hello(), "10.0.0.9:22");
  const std::string banner = "SSH-2.0-OpenSSH_9.2\r\n";
  client.feed(std::as_bytes(std::span(banner)));
  EXPECT_EQ(client.state(), HandshakeState::kFailed);
  EXPECT_THAT(client.status().message(), HasSubstr("another program"));
}

TEST(Handshake, AnotherVersionIsNamedOnBothSides) {
  Sides sides;
  Bytes challenge = take_output(sides.server);
  Bytes newer = challenge;
  newer[4] = std::byte{9};
  ClientHandshake client(sides.client_secret, full_hello(), "peer");
  client.feed(newer);
  EXPECT_THAT(client.status().message(), HasSubstr("version 9"));

  sides.client.feed(challenge);
  Bytes hello = take_output(sides.client);
  hello[4] = std::byte{9};
  sides.server.feed(hello);
  EXPECT_THAT(sides.server.status().message(), HasSubstr("version 9"));
  const auto answer = decode_welcome(take_output(sides.server));
  ASSERT_TRUE(answer.is_ok());
  EXPECT_EQ(answer->message.code, RefusalCode::kVersion);
}

TEST(Handshake, CriticalOptionsAreRefusedAndOthersPassedOver) {
  Hello hello = full_hello();
  hello.options.push_back({kCriticalOption | 12, {}});
  Sides sides("", "", hello);
  sides.introduce();
  EXPECT_EQ(sides.server.state(), HandshakeState::kFailed);
  carry(sides.server, sides.client);
  EXPECT_EQ(sides.client.refusal(), RefusalCode::kUnsupportedOption);
  EXPECT_THAT(sides.client.status().message(), HasSubstr("option 12"));

  Sides other;
  other.introduce();
  Welcome welcome = full_welcome();
  welcome.options = {{kCriticalOption | 13, {}}};
  ASSERT_TRUE(other.server.accept(welcome).is_ok());
  carry(other.server, other.client);
  EXPECT_EQ(other.client.state(), HandshakeState::kFailed);
  EXPECT_THAT(other.client.status().message(), HasSubstr("option 13"));
}

TEST(Handshake, TheAnswerMustFitTheQuestion) {
  Sides wrong_path;
  wrong_path.introduce();
  Welcome welcome = full_welcome();
  welcome.path_index = 6;
  ASSERT_TRUE(wrong_path.server.accept(welcome).is_ok());
  carry(wrong_path.server, wrong_path.client);
  EXPECT_EQ(wrong_path.client.status().code(), StatusCode::kProtocolError);

  Sides larger_chunks;
  larger_chunks.introduce();
  welcome = full_welcome();
  welcome.parameters.chunk_limit_bytes = full_hello().parameters.chunk_limit_bytes + 1;
  ASSERT_TRUE(larger_chunks.server.accept(welcome).is_ok());
  carry(larger_chunks.server, larger_chunks.client);
  EXPECT_EQ(larger_chunks.client.status().code(), StatusCode::kProtocolError);
}

TEST(Handshake, AnImpossibleWelcomeIsTheCallersToMend) {
  Sides sides;
  sides.introduce();
  Welcome welcome = full_welcome();
  welcome.parameters.chunk_limit_bytes = 1;
  EXPECT_EQ(sides.server.accept(welcome).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(sides.server.state(), HandshakeState::kDecision);
  EXPECT_TRUE(sides.server.accept(full_welcome()).is_ok());
}

TEST(Handshake, AnImpossibleHelloFailsWithoutBeingSent) {
  Hello hello = full_hello();
  hello.total_paths = 0;
  Sides sides("", "", hello);
  carry(sides.server, sides.client);
  EXPECT_EQ(sides.client.status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(sides.client.output().empty());
}

TEST(Handshake, ClosedIsNoErrorOnceDone) {
  Sides sides;
  sides.finish();
  sides.client.closed();
  sides.server.closed();
  EXPECT_EQ(sides.client.state(), HandshakeState::kDone);
  EXPECT_EQ(sides.server.state(), HandshakeState::kDone);
}

TEST(Handshake, WhatAPeerCanMakeUsHoldIsBounded) {
  static_assert(sizeof(MessageAssembler) < kMaxHandshakeMessageBytes + 256);
  // A header that promises the longest message; nothing beyond it is ever taken.
  const HandshakeSecret none("");
  ServerHandshake server(none, nonce_of(1), "peer");
  Bytes flood(100000, std::byte{0});
  const Bytes hello = *encode(full_hello(), false);
  std::copy_n(hello.begin(), kHandshakeHeaderBytes, flood.begin());
  flood[6] = static_cast<std::byte>(kMaxHandshakeMessageBytes & 0xff);
  flood[7] = static_cast<std::byte>(kMaxHandshakeMessageBytes >> 8);
  EXPECT_EQ(server.feed(flood), kMaxHandshakeMessageBytes);
  EXPECT_EQ(server.state(), HandshakeState::kFailed);
  EXPECT_EQ(server.feed(flood), 0u);
}

TEST(Handshake, RandomBytesNeverGetPast) {
  std::mt19937 random(3);
  const HandshakeSecret secret(kSecretText);
  for (int round = 0; round < 2000; ++round) {
    Sides sides(kSecretText, kSecretText);
    const Bytes challenge = take_output(sides.server);
    sides.client.feed(challenge);
    const Bytes original = take_output(sides.client);
    Bytes hello = original;
    for (unsigned changes = 1 + random() % 20; changes > 0; --changes) {
      hello[random() % hello.size()] = static_cast<std::byte>(random());
    }
    for (std::size_t at = 0; at < hello.size();) {
      const std::size_t piece = std::min<std::size_t>(1 + random() % 64, hello.size() - at);
      const std::size_t taken = sides.server.feed(std::span(hello).subspan(at, piece));
      if (taken < piece) break;
      at += taken;
    }
    ASSERT_EQ(sides.server.state() == HandshakeState::kDecision, hello == original);
  }
}

}  // namespace
}  // namespace weft::tcp
