#include "transport/tcp/handshake_secret.h"

#include <sodium.h>

#include <cassert>

namespace weft::tcp {
namespace {

static_assert(crypto_auth_hmacsha256_BYTES == sizeof(Mac));
static_assert(crypto_auth_hmacsha256_KEYBYTES == 32);

constexpr std::string_view kLabels[2] = {"weft handshake 1: client to server",
                                         "weft handshake 1: server to client"};

const unsigned char* raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

}  // namespace

HandshakeSecret::HandshakeSecret(std::string_view secret) : is_set_(!secret.empty()) {
  if (!is_set_) return;
  // Chooses the implementations for this processor; without it the same functions work, slower.
  [[maybe_unused]] const int initialised = sodium_init();
  for (std::size_t role = 0; role < keys_.size(); ++role) {
    crypto_generichash(keys_[role].data(), keys_[role].size(),
                       reinterpret_cast<const unsigned char*>(secret.data()), secret.size(),
                       reinterpret_cast<const unsigned char*>(kLabels[role].data()), kLabels[role].size());
  }
}

HandshakeSecret::~HandshakeSecret() {
  sodium_memzero(keys_.data(), sizeof keys_);
}

Mac HandshakeSecret::seal(Role author, std::initializer_list<std::span<const std::byte>> parts) const {
  assert(is_set_);
  const Key& key = keys_[static_cast<std::size_t>(author)];
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, key.data(), key.size());
  for (const auto part : parts) crypto_auth_hmacsha256_update(&state, raw(part), part.size());
  Mac mac;
  crypto_auth_hmacsha256_final(&state, reinterpret_cast<unsigned char*>(mac.data()));
  sodium_memzero(&state, sizeof state);
  return mac;
}

bool HandshakeSecret::verify(Role author, std::initializer_list<std::span<const std::byte>> parts,
                             std::span<const std::byte> mac) const {
  const Mac expected = seal(author, parts);
  return mac.size() == expected.size() && sodium_memcmp(expected.data(), mac.data(), expected.size()) == 0;
}

}  // namespace weft::tcp
