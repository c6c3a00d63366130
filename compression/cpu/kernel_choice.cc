// Which instructions this computer runs. WEFT_CPU_X86_64 is set where cpu/avx2.cc and cpu/avx512.cc are in
// the build.
#if WEFT_CPU_X86_64
#include <cpuid.h>
#endif

#include "compression/cpu/instruction_sets.h"

namespace weft::compression::cpu {
namespace {

#if WEFT_CPU_X86_64
// Not among the names that every compiler's __builtin_cpu_supports knows. That the registers are saved is
// known from AVX2, which it does know.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 29 & 1) != 0;
}
#endif

const TileKernels& best_kernels() {
  for (const Instructions instructions : {Instructions::kAvx512, Instructions::kAvx2})
    if (const TileKernels* kernels = tile_kernels(instructions)) return *kernels;
  return kPortableKernels;
}

}  // namespace

const TileKernels* tile_kernels(Instructions instructions) {
  switch (instructions) {
    case Instructions::kPortable:
      return &kPortableKernels;
#if WEFT_CPU_X86_64
    case Instructions::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") && has_f16c() ? &kAvx2Kernels
                                                                                              : nullptr;
    case Instructions::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
                     __builtin_cpu_supports("popcnt")
                 ? &kAvx512Kernels
                 : nullptr;
#else
    default:
      break;
#endif
  }
  return nullptr;
}

const TileKernels& tile_kernels() {
  static const TileKernels& best = best_kernels();
  return best;
}

ReduceLoop reduce_loop(const TileKernels& kernels, DataType type, ReduceOp op) {
  const ReduceLoop own = kernels.reduce(type, op);
  return own != nullptr ? own : kPortableKernels.reduce(type, op);
}

DivideLoop divide_loop(const TileKernels& kernels, DataType type) {
  const DivideLoop own = kernels.divide(type);
  return own != nullptr ? own : kPortableKernels.divide(type);
}

}  // namespace weft::compression::cpu
