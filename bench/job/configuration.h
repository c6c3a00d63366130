// The configuration of a command's ranks, read and tried before there are any: what is wrong with it is said
// once, not by every rank.
#pragma once

#include "weft/config.h"
#include "weft/status.h"

namespace weft::bench {

// From the environment; warns on stderr of names that have no effect. Refuses what this host cannot do as
// well, such as interfaces that it lacks.
Result<Config> read_configuration();

}  // namespace weft::bench
