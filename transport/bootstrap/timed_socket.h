// A TCP socket whose every operation ends by a deadline. One thread at a time; owns its descriptor.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "weft/status.h"

struct addrinfo;

namespace weft::bootstrap {

using Deadline = std::chrono::steady_clock::time_point;

// Milliseconds until the deadline for poll(2), rounded up; 0 when it has passed.
int milliseconds_until(Deadline deadline);

class TimedSocket {
 public:
  TimedSocket() = default;
  explicit TimedSocket(int descriptor) : descriptor_(descriptor) {}
  TimedSocket(TimedSocket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  TimedSocket& operator=(TimedSocket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~TimedSocket();

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }

  // kUnreachable: the deadline passed. kPeerLost: the other end closed, or the connection broke.
  Status send(std::span<const std::byte> bytes, Deadline deadline);
  Status receive(std::span<std::byte> bytes, Deadline deadline);

  // What has arrived, at most bytes.size(), without waiting: 0 if nothing has. kPeerLost as above.
  Result<std::size_t> receive_available(std::span<std::byte> bytes);

  std::string peer_name() const;  // address:port, or "?"

 private:
  int descriptor_ = -1;
};

// One address that a host name stands for.
struct Endpoint {
  std::vector<std::byte> address;  // a sockaddr
  int family = 0;
  // On the loopback, and meant so. Debian gives a host's own name a loopback address (127.0.1.1) too, but on
  // every other host that name stands for another one.
  bool is_only_here = false;
  std::string text;
};

// IPv4 first. kUnreachable, with the name, if it cannot be resolved.
Result<std::vector<Endpoint>> resolve(const std::string& host, std::uint16_t port);

// kUnreachable with the reason in a few words: refused, timed out, no route.
Result<TimedSocket> connect_to(const Endpoint& endpoint, Deadline deadline);

// Listens at the endpoint if it is only here, at all addresses otherwise. kResourceExhausted: the port is
// taken.
Result<TimedSocket> listen_at(const Endpoint& endpoint, std::uint16_t port);

// Whether this host has the address, as far as the kernel tells.
bool is_own_address(const Endpoint& endpoint);

// Never waits: a socket that is not open if nobody has connected.
TimedSocket accept_from(const TimedSocket& listener);

}  // namespace weft::bootstrap
