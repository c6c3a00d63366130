// Runs the two ends of a check in two processes, because real ranks live in two and some plugins know no
// other way.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>

#include "bench/conform/check.h"
#include "bench/conform/session.h"

namespace weft::bench::conform {

// The out-of-band channel between the two ends, as NCCL's bootstrap is. Blocking; throws Failure when the
// other end is gone or silent for the context's patience.
class SideChannel {
 public:
  SideChannel(int fd, std::chrono::milliseconds patience) : fd_(fd), patience_(patience) {}
  void send(const void* data, size_t bytes);
  void receive(void* data, size_t bytes);
  // Both ends call it; returns when both have.
  void barrier();

 private:
  int fd_;
  std::chrono::milliseconds patience_;
};

using Side = std::function<void(SideChannel&)>;

// Runs `first` in this process and `second` in a child of it. No plugin may have been loaded before. Throws
// Failure when either does; a dead second process is a failure unless `second_may_die`.
void run_two_processes(CheckContext& context, const Side& first, const Side& second,
                       bool second_may_die = false);

// Exchange a handle over the channel and poll until connected; the listening end accepts.
void* accept_from_peer(const Session& session, SideChannel& channel, int device = 0);
void* connect_to_peer(const Session& session, SideChannel& channel, int device = 0);

}  // namespace weft::bench::conform
