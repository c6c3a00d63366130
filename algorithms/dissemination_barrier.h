// Dissemination barrier: nobody leaves before everybody has come. See dissemination_barrier.cc.
#pragma once

#include "algorithms/schedule.h"

namespace weft::algorithms {

// What `rank` of `ranks` does. To be run on one element, whose value means nothing.
Schedule dissemination_barrier(int rank, int ranks);

}  // namespace weft::algorithms
