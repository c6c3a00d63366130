// Dissemination barrier (Hensgen, Finkel and Manber, "Two algorithms for barrier synchronization", 1988).
//
// In round k every rank tells the rank 2^k places after it that it has come, and waits for the rank 2^k
// places before it. What a rank has heard doubles with each round: after round 0 it knows of one other, after
// round 1 of three, and after ceil(log2 ranks) rounds of all. One byte a round; its value means nothing, that
// it came is the message.
#include "algorithms/dissemination_barrier.h"

namespace weft::algorithms {

Schedule dissemination_barrier(int rank, int ranks) {
  Schedule schedule{
      .name = "dissemination barrier", .rank = rank, .ranks = ranks, .blocks = 1, .actions = {}};
  int heard = Action::kNothing;
  int round = 0;
  for (int distance = 1; distance < ranks; distance *= 2, ++round) {
    const int to = (rank + distance) % ranks;
    const int from = (rank + ranks - distance) % ranks;
    schedule.add({.kind = Action::Kind::kSend, .step = round, .peer = to, .after = heard});
    heard = schedule.add({.kind = Action::Kind::kReceive, .step = round, .peer = from, .after = heard});
  }
  return schedule;
}

}  // namespace weft::algorithms
