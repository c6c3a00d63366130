// How the `weft` command ends: 0 when all went well, else one of these, with a line on stderr that says why.
#pragma once

#include <string>

namespace weft::bench {

// It ran, and something was wrong: a wrong byte, a failed check, a lost peer.
inline constexpr int kFailed = 1;
// It could not begin: wrong arguments, or a job that cannot be joined.
inline constexpr int kCouldNotRun = 2;

// Prints "weft: <what>" on stderr and returns kFailed.
int complain(const std::string& what);
// Prints the same and returns kCouldNotRun.
int refuse(const std::string& what);

}  // namespace weft::bench
