// Pairwise all-to-all (Bruck et al., "Efficient algorithms for all-to-all communications in multiport
// message-passing systems", 1997, describe it as the index operation with one port and radix n; MPI libraries
// call it pairwise).
//
// In step s every rank sends to the rank s places after it and receives from the rank s places before it. In
// each step the pairs are a permutation: every rank sends to one and receives from one, so that no receiver
// is overrun by all the others at once, which is what happens when everyone starts with rank 0. With 4 ranks:
//
//     step      1          2          3
//     rank 0    → 1        → 2        → 3
//     rank 1    → 2        → 3        → 0
//     rank 2    → 3        → 0        → 1
//     rank 3    → 0        → 1        → 2
//
// Every byte travels once, directly: ranks - 1 blocks of 1/ranks of the elements. Steps do not wait for each
// other: no action comes after another, and an executor keeps as many in flight as it has room for.
#include "algorithms/pairwise_alltoall.h"

namespace weft::algorithms {

Schedule pairwise_alltoall(int rank, int ranks) {
  Schedule schedule{
      .name = "pairwise all-to-all", .rank = rank, .ranks = ranks, .blocks = ranks, .actions = {}};
  for (int step = 1; step < ranks; ++step) {
    const int to = (rank + step) % ranks;
    const int from = (rank + ranks - step) % ranks;
    schedule.add({.kind = Action::Kind::kSend, .step = step, .peer = to, .block = to});
    schedule.add({.kind = Action::Kind::kReceive, .step = step, .peer = from, .block = from});
  }
  schedule.add({.kind = Action::Kind::kCopy, .peer = rank, .block = rank});
  return schedule;
}

}  // namespace weft::algorithms
