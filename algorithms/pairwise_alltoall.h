// Pairwise all-to-all: block j of rank i ends as block i of rank j. See pairwise_alltoall.cc.
#pragma once

#include "algorithms/schedule.h"

namespace weft::algorithms {

// What `rank` of `ranks` does. Input and output must not overlap; elements must be a multiple of ranks.
Schedule pairwise_alltoall(int rank, int ranks);

}  // namespace weft::algorithms
