#include "tests/compression/implementations.h"

namespace weft::compression {

std::vector<const cpu::TileKernels*> implementations() {
  std::vector<const cpu::TileKernels*> all;
  for (const auto instructions :
       {cpu::Instructions::kPortable, cpu::Instructions::kAvx2, cpu::Instructions::kAvx512})
    if (const cpu::TileKernels* kernels = cpu::tile_kernels(instructions)) all.push_back(kernels);
  return all;
}

}  // namespace weft::compression
