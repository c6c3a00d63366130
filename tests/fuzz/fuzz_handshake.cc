// A hostile peer in the handshake, in both roles, with and without a secret.
//
// Input: one byte of settings, one byte (how large the pieces are that arrive), then what the peer sends.
// Settings: bit 0 we are the client; bit 1 we have a secret; bit 2 the peer knows it, so its last message
// gets a right length and seal; bit 3 we refuse.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tests/fuzz/require.h"
#include "transport/tcp/handshake.h"

using namespace weft::tcp;
using weft::fuzz::require;

namespace {

using Bytes = std::vector<std::byte>;

// Deliberately never destroyed: one for all inputs.
const HandshakeSecret& the_secret() {
  static const auto* secret = new HandshakeSecret("known to both");
  return *secret;
}
const HandshakeSecret& no_secret() {
  static const auto* secret = new HandshakeSecret("");
  return *secret;
}

Nonce fixed_nonce() {
  Nonce nonce;
  nonce.fill(std::byte{0x42});
  return nonce;
}

// Right length, flag and seal for a message whose content is the fuzzer's.
void seal(Role author, std::span<const std::byte> before, std::span<const std::byte> before_that,
          Bytes* message) {
  if (message->size() < kHandshakeHeaderBytes + 4 + sizeof(Mac) ||
      message->size() > kMaxHandshakeMessageBytes)
    return;
  (*message)[6] = static_cast<std::byte>(message->size() & 0xff);
  (*message)[7] = static_cast<std::byte>(message->size() >> 8);
  (*message)[8] |= std::byte{1};
  const auto content = std::span<const std::byte>(*message).first(message->size() - sizeof(Mac));
  const Mac mac = the_secret().seal(author, {before_that, before, content});
  std::copy(mac.begin(), mac.end(), message->end() - sizeof(Mac));
}

template <typename Side>
void feed_in_pieces(Side& side, std::span<const std::byte> bytes, std::size_t piece) {
  std::size_t taken_in_all = 0;
  while (!bytes.empty()) {
    const auto next = bytes.first(std::min(piece, bytes.size()));
    const HandshakeState before = side.state();
    const std::size_t taken = side.feed(next);
    taken_in_all += taken;
    require(taken <= next.size(), "it takes no more than it is given");
    require(before == HandshakeState::kInProgress || taken == 0, "it takes nothing once it is over");
    require(taken_in_all <= kMaxHandshakeBytes, "what it takes is bounded");
    if (taken < next.size()) {
      require(side.state() != HandshakeState::kInProgress, "it leaves bytes only when it is over");
      break;
    }
    bytes = bytes.subspan(next.size());
  }
  require(side.output().size() <= kMaxHandshakeBytes, "what it says is bounded");
  require((side.state() == HandshakeState::kFailed) == !side.status().is_ok(), "a failure has a status");
}

void be_server(std::uint8_t settings, std::size_t piece, Bytes message) {
  const bool has_secret = (settings & 2) != 0, peer_knows = (settings & 4) != 0;
  ServerHandshake server(has_secret ? the_secret() : no_secret(), fixed_nonce(), "fuzzer");
  if (has_secret && peer_knows) seal(Role::kClient, server.output(), {}, &message);
  feed_in_pieces(server, message, piece);
  require(server.state() != HandshakeState::kDone, "nobody is accepted without a decision");
  if (server.state() == HandshakeState::kDecision) {
    require(!has_secret || peer_knows, "a stranger does not get to the decision");
    require(encode(server.hello(), false).is_ok(), "a HELLO that was taken keeps all limits");
    if ((settings & 8) != 0) {
      server.refuse(RefusalCode::kLimit, "full");
    } else {
      Welcome welcome;
      welcome.path_index = server.hello().path_index;
      welcome.parameters = server.hello().parameters;
      require(server.accept(welcome).is_ok(), "a HELLO that was taken can be answered");
    }
  }
  server.closed();
  require(server.state() == HandshakeState::kDone || server.state() == HandshakeState::kFailed, "it ends");
}

void be_client(std::uint8_t settings, std::size_t piece, Bytes message) {
  const bool has_secret = (settings & 2) != 0, peer_knows = (settings & 4) != 0;
  Hello hello;
  hello.nonce = fixed_nonce();
  hello.endpoints = {{*IpAddress::parse("10.0.0.1"), 0, 24}};
  ClientHandshake client(has_secret ? the_secret() : no_secret(), hello, "fuzzer");
  // A challenge of the fuzzer's if there is enough for one, and a right one before it otherwise.
  Bytes challenge = encode(Challenge{fixed_nonce(), has_secret});
  feed_in_pieces(client, challenge, piece);
  require(!client.output().empty(), "a right challenge is answered");
  if (has_secret && peer_knows) seal(Role::kServer, client.output(), challenge, &message);
  feed_in_pieces(client, message, piece);
  if (client.state() == HandshakeState::kDone) {
    require(!has_secret || peer_knows, "a stranger cannot accept");
    require(client.welcome().code == RefusalCode::kNone, "only an acceptance is the end");
    require(encode(client.welcome(), false).is_ok(), "a WELCOME that was taken keeps all limits");
  }
  client.closed();
  require(client.state() == HandshakeState::kDone || client.state() == HandshakeState::kFailed, "it ends");

  ClientHandshake from_the_start(has_secret ? the_secret() : no_secret(), hello, "fuzzer");
  feed_in_pieces(from_the_start, message, piece);
}

template <typename Message>
void expect_one_encoding(std::span<const std::byte> bytes, const weft::Result<Decoded<Message>>& decoded) {
  if (!decoded.is_ok()) return;
  const auto again = encode(decoded->message, decoded->sealed);
  require(again.is_ok(), "what decodes encodes");
  const std::size_t content = bytes.size() - sizeof(Mac);
  require(
      again->size() == bytes.size() && std::equal(again->begin(), again->begin() + content, bytes.begin()),
      "a message has one encoding");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::uint8_t settings = data[0];
  const std::size_t piece = data[1] == 0 ? 65536 : data[1];
  const auto rest = std::as_bytes(std::span(data, size)).subspan(2);
  expect_one_encoding(rest, decode_hello(rest));
  expect_one_encoding(rest, decode_welcome(rest));
  const auto challenge = decode_challenge(rest);
  if (challenge.is_ok())
    require(std::ranges::equal(encode(*challenge), rest), "a challenge has one encoding");
  const Bytes message(rest.begin(), rest.end());
  (settings & 1) != 0 ? be_client(settings, piece, message) : be_server(settings, piece, message);
  return 0;
}
