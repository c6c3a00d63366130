#include "bench/exit_status.h"

#include <cstdio>

namespace weft::bench {

int complain(const std::string& what) {
  std::fprintf(stderr, "weft: %s\n", what.c_str());
  return kFailed;
}

int refuse(const std::string& what) {
  complain(what);
  return kCouldNotRun;
}

}  // namespace weft::bench
