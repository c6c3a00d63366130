// Ring all-reduce: every rank ends with the reduction of all ranks' elements. See ring_allreduce.cc.
#pragma once

#include "algorithms/schedule.h"

namespace weft::algorithms {

// What `rank` of `ranks` does. Input and output may be the same buffer.
Schedule ring_allreduce(int rank, int ranks);

}  // namespace weft::algorithms
