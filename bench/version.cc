#include "bench/version.h"

#include "weft/version.h"
#include "weft_commit.h"  // written by write_commit.cmake

namespace weft::bench {

std::string commit() {
  return WEFT_COMMIT;
}

std::string compiler() {
  return WEFT_COMPILER;
}

std::string build_type() {
  return WEFT_BUILD_TYPE;
}

std::string version_text() {
  return WEFT_VERSION_STRING " commit=" + commit();
}

}  // namespace weft::bench
