// Ring all-reduce (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
// workstations", 2009).
//
// The ranks stand in a ring, the elements are cut into as many blocks as there are ranks, and every rank only
// ever sends to the next one and receives from the previous one. With 4 ranks, the block that each rank
// sends:
//
//              reduce-scatter         all-gather
//     step      0    1    2           0    1    2
//     rank 0    0 →  3 →  2           1 →  0 →  3
//     rank 1    1 →  0 →  3           2 →  1 →  0
//     rank 2    2 →  1 →  0           3 →  2 →  1
//     rank 3    3 →  2 →  1           0 →  3 →  2
//
// Reduce-scatter: follow block 0. Rank 0 sends its own part to rank 1, which adds its part and sends the sum
// to rank 2, which adds its part, and so on. After ranks - 1 steps it arrives complete, at rank 3. Every
// block does so at once, each from another start, so that every link is busy in every step. All-gather: every
// rank holds one complete block and hands it around the same ring; nobody adds any more.
//
// A block is 1/ranks of the elements and a rank sends 2 (ranks - 1) of them: no all-reduce can send less over
// the slowest link. The price is 2 (ranks - 1) steps, which is what small sizes pay for. All ranks get the
// same bits, because each block is added up in one order and then only copied.
#include "algorithms/ring_allreduce.h"

namespace weft::algorithms {

Schedule ring_allreduce(int rank, int ranks) {
  Schedule schedule{.name = "ring all-reduce", .rank = rank, .ranks = ranks, .blocks = ranks, .actions = {}};
  if (ranks == 1) {
    schedule.add({.kind = Action::Kind::kCopy});
    return schedule;
  }
  const int next = (rank + 1) % ranks;
  const int previous = (rank + ranks - 1) % ranks;
  const int steps = ranks - 1;
  const auto block = [ranks](int number) { return (number + ranks) % ranks; };

  // Reduce-scatter. A step sends what the step before has received and added to.
  std::vector<int> sent;
  int received = Action::kNothing;
  for (int step = 0; step < steps; ++step) {
    sent.push_back(schedule.add({.kind = Action::Kind::kSend,
                                 .step = step,
                                 .peer = next,
                                 .block = block(rank - step),
                                 .buffer = step == 0 ? Buffer::kInput : Buffer::kOutput,
                                 .after = received}));
    received = schedule.add({.kind = Action::Kind::kReceiveReduce,
                             .step = step,
                             .peer = previous,
                             .block = block(rank - step - 1),
                             .last_reduction = step == steps - 1});
  }

  // All-gather. A complete block arrives where this rank's partial sum still lies: that one's send must have
  // finished, or a piece that has to be sent again would go out with the wrong bytes.
  for (int step = 0; step < steps; ++step) {
    schedule.add({.kind = Action::Kind::kSend,
                  .step = steps + step,
                  .peer = next,
                  .block = block(rank + 1 - step),
                  .buffer = Buffer::kOutput,
                  .after = received});
    received = schedule.add({.kind = Action::Kind::kReceive,
                             .step = steps + step,
                             .peer = previous,
                             .block = block(rank - step),
                             .after = sent[static_cast<std::size_t>(step)]});
  }
  return schedule;
}

}  // namespace weft::algorithms
