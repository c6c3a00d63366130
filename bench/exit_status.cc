#include "bench/exit_status.h"

#include <cstdio>

namespace weft::bench {

int complain(const std::string& what) {
  std::fprintf(stderr, "weft: %s\n", what.c_str());
  return kFailed;
}

int complain(const Status& status) {
  complain(status.message());
  return status.code() == StatusCode::kBadConfiguration ? kCouldNotRun : kFailed;
}

}  // namespace weft::bench
