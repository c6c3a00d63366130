// Connects every pair of ranks of a job, once, when a communicator is made.
#pragma once

#include <memory>
#include <vector>

#include "weft/bootstrap.h"
#include "weft/connection.h"
#include "weft/context.h"
#include "weft/status.h"

namespace weft::algorithms::host {

// Connections by rank; null for this rank. Collective. Of each pair, the lower rank connects to the listener
// of the higher one and says in its first message which rank it is.
Result<std::vector<std::unique_ptr<Connection>>> connect_ranks(Context& context, Bootstrap& bootstrap);

}  // namespace weft::algorithms::host
