// Runs the ranks of a job as processes on this host, and answers for them: their words are passed on with the
// rank in front, the failure of one ends all, and none outlives the parent, however that ends.
#pragma once

#include <chrono>
#include <functional>

#include "bench/job/job.h"

namespace weft::bench {

struct LocalRanksOptions {
  int ranks = 1;
  // After the first rank has failed, the time in which the others may find out and say so themselves.
  std::chrono::milliseconds grace{4000};
};

// Forks, so it must be called before any thread is started. `body` runs in each child; its result is the
// child's exit status. Returns the exit status for the parent: 0 if all were 0, 128 + the signal if it was
// told to stop, 2 if a rank could not be started, else that of the first rank that failed (1 if it was
// killed).
int run_local_ranks(const LocalRanksOptions& options, const std::function<int(const RankSetup&)>& body);

}  // namespace weft::bench
