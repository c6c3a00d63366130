#include "bench/compression/yardsticks.h"

namespace weft::bench {

void add_lz4(std::vector<Yardstick>&) {}

}  // namespace weft::bench
