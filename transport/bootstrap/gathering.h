// Rank 0 while the others join: listens, shakes hands with many at once, refuses strangers.
//
// Strangers cost little: a connection that has not proved itself is limited in number, in bytes (one
// handshake) and in time (kHandshakeTime), and ends without harm to the others.
#pragma once

#include <optional>
#include <vector>

#include "transport/bootstrap/handshake.h"
#include "transport/bootstrap/timed_socket.h"
#include "weft/bootstrap.h"

namespace weft::bootstrap {

// A rank that has joined, as rank 0 sees it; or rank 0, as a rank sees it.
struct Member {
  TimedSocket socket;
  Mac key{};
};

inline constexpr std::chrono::milliseconds kHandshakeTime{2000};

std::uint16_t candidate_port(std::uint16_t first, int attempt);

// Waits until all ranks have joined: by rank, nothing at [0]. kUnreachable names the missing ranks.
Result<std::vector<Member>> gather_ranks(const BootstrapOptions& options, Deadline deadline);

// What rank 0 of this job answers, at one of its ports, to another process that says that it is rank 0.
// Nothing if none answers.
std::optional<Verdict> answer_to_rank_zero(const JobPlace& place, std::uint16_t port, Deadline deadline);

// The other side: finds rank 0 and joins it.
Result<Member> join_rank_zero(const BootstrapOptions& options, Deadline deadline);

}  // namespace weft::bootstrap
