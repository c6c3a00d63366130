// How the `weft` command ends: 0 when all went well, else one of these, with a line on stderr that says why.
#pragma once

#include <string>

#include "weft/status.h"

namespace weft::bench {

// It ran, and something was wrong: a wrong byte, a failed check, a lost peer.
inline constexpr int kFailed = 1;
// It could not begin: wrong arguments, or a job that cannot be joined.
inline constexpr int kCouldNotRun = 2;

// Prints "weft: <what>" on stderr and returns kFailed.
int complain(const std::string& what);
// The same for an error; kCouldNotRun where the configuration was refused.
int complain(const Status& status);

}  // namespace weft::bench
