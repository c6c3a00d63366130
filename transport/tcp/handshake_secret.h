// The keys that WEFT_SECRET stands for, and the seals made with them (HMAC-SHA256 from libsodium).
//
// Client and server seal with different keys, so that a message sent back to its author proves nothing.
// Whoever watches a handshake can try guesses of the secret against it offline: the secret has to be random,
// not a word (openssl rand -hex 16). Keys are wiped when the object goes. const functions from any thread.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string_view>

#include "transport/tcp/handshake_message.h"

namespace weft::tcp {

enum class Role : unsigned char { kClient, kServer };

class HandshakeSecret {
 public:
  // Empty: there is no secret, nothing is sealed.
  explicit HandshakeSecret(std::string_view secret);
  ~HandshakeSecret();
  HandshakeSecret(const HandshakeSecret&) = delete;
  HandshakeSecret& operator=(const HandshakeSecret&) = delete;

  bool is_set() const { return is_set_; }

  // The seal of the parts in their order. Only with a secret.
  Mac seal(Role author, std::initializer_list<std::span<const std::byte>> parts) const;
  // Takes the same time whatever differs.
  bool verify(Role author, std::initializer_list<std::span<const std::byte>> parts,
              std::span<const std::byte> mac) const;

 private:
  using Key = std::array<unsigned char, 32>;
  bool is_set_ = false;
  std::array<Key, 2> keys_{};
};

}  // namespace weft::tcp
