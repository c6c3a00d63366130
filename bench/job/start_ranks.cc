#include "bench/job/start_ranks.h"

#include <unistd.h>

#include <string>

#include "bench/exit_status.h"
#include "bench/job/local_ranks.h"

namespace weft::bench {
int start_ranks(int ranks, const std::function<int(const RankSetup&)>& body) {
  const auto place = JobPlace::from_environment();
  if (ranks > 0) {
    // Each of the launcher's processes would start a job of its own.
    if (place && place->size > 1) {
      return refuse("--ranks starts processes on this host, but this process already is rank " +
                    std::to_string(place->rank) + " of " + std::to_string(place->size) + " (" +
                    place->launcher + "): leave one of the two out");
    }
    // The shell of an allocation is one process, and may well start ranks of its own.
    if (!place && place.status().code() != StatusCode::kUnreachable) return refuse(place.status().message());
    return run_local_ranks({.ranks = ranks}, body);
  }
  if (!place) return refuse(place.status().message());
  RankSetup setup;
  setup.place = *place;
  if (place->rank == 0 && ::isatty(STDERR_FILENO) != 0) setup.terminal = STDERR_FILENO;
  return body(setup);
}

}  // namespace weft::bench
