#include "bench/compression/yardsticks.h"

namespace weft::bench {

bool add_lz4(std::vector<Yardstick>&) {
  return false;
}

}  // namespace weft::bench
