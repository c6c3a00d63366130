// What the handshake's tests share: fixed nonces, a full HELLO and WELCOME, and moving bytes between the two
// sides.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "transport/tcp/handshake.h"

namespace weft::tcp {

using Bytes = std::vector<std::byte>;

inline Nonce nonce_of(int seed) {
  Nonce nonce;
  for (std::size_t i = 0; i < nonce.size(); ++i) {
    nonce[i] = static_cast<std::byte>(static_cast<std::size_t>(seed) * 37 + i * 11 + 1);
  }
  return nonce;
}

inline Endpoint endpoint(const std::string& address, std::uint16_t port, int prefix_length) {
  return {IpAddress::parse(address).value(), port, prefix_length};
}

inline Hello full_hello() {
  Hello hello;
  hello.listener_id = 0x1122334455667788;
  hello.connection_id.fill(std::byte{0x5a});
  hello.purpose = PathPurpose::kAskEndpoints;
  hello.path_index = 5;
  hello.plane = 1;
  hello.total_paths = 8;
  hello.incarnation = 3;
  hello.parameters = {128 * 1024, true};
  hello.nonce = nonce_of(2);
  hello.endpoints = {endpoint("10.0.0.1", 0, 24), endpoint("fd00::1", 0, 64)};
  hello.options = {{1, {std::byte{1}, std::byte{2}}}, {9, {}}};
  return hello;
}

inline Welcome full_welcome() {
  Welcome welcome;
  welcome.path_index = 5;
  welcome.incarnation = 3;
  welcome.parameters = {64 * 1024, true};
  welcome.endpoints = {endpoint("10.0.0.2", 4711, 24), endpoint("fd00::2", 4712, 64)};
  welcome.options = {{2, {std::byte{7}}}};
  return welcome;
}

// Moves what `from` has to say into `to`, at most `piece` bytes at a time, until it is said or not wanted any
// more.
template <typename From, typename To>
void carry(From& from, To& to, std::size_t piece = 4096) {
  while (!from.output().empty()) {
    const auto bytes = from.output().first(std::min(piece, from.output().size()));
    const std::size_t taken = to.feed(bytes);
    from.sent(bytes.size());
    if (taken < bytes.size()) return;
  }
}

template <typename Side>
Bytes take_output(Side& side) {
  const auto output = side.output();
  Bytes bytes(output.begin(), output.end());
  side.sent(bytes.size());
  return bytes;
}

}  // namespace weft::tcp
