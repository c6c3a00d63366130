// Which weft this is.
#pragma once

#include <string>

namespace weft::bench {

std::string
commit();  // the git commit it was built from, with "-dirty" if the tree had changes; "unknown" without git
std::string compiler();      // "GCC 12.2.0"
std::string build_type();    // "Release"
std::string version_text();  // "0.1.0 commit=1234567890ab"

}  // namespace weft::bench
