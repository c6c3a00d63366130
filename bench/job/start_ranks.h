// The one place that decides how a command's ranks come to be: as local processes, or as this process in a
// job that a launcher started.
#pragma once

#include <functional>

#include "bench/job/job.h"

namespace weft::bench {

// `ranks` is what --ranks said, 0 if it was not given. Prints why it could not, and returns 2, if the
// environment and --ranks contradict each other or the environment is incomplete; otherwise the exit status
// of the ranks.
int start_ranks(int ranks, const std::function<int(const RankSetup&)>& body);

}  // namespace weft::bench
