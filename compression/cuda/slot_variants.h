// The primitives for bfloat16 at level fast as kernels that differ in what only a GPU can tell: warps of a
// block, registers of a thread, loads ahead, caches. codec_cuda_bench measures them side by side; what wins
// becomes the choice of slot_kernels.cu and of a collective's kernel.
//
// The last two and the one for three blocks keep a few registers of unpack_reduce_pack in local memory; that
// is why they are here and not in slot_kernels.cu.
//
// As slot_kernels.h. Compiled for sm_90a alone: elsewhere launching fails with
// cudaErrorNoKernelImageForDevice.
#pragma once

#include "compression/cuda/slot_kernels.h"

namespace weft::compression::cuda {

struct SlotVariant {
  unsigned warps;   // of a block
  unsigned blocks;  // that one multiprocessor must be able to hold: fewer registers
  bool ahead, local_late, streaming;
};
inline constexpr SlotVariant kSlotVariants[] = {
    {8, 1, false, false, false}, {8, 1, true, false, false},   {8, 1, true, true, false},
    {8, 3, false, true, false},  {16, 1, false, false, false}, {16, 1, true, true, false},
    {16, 1, false, false, true}, {20, 1, false, true, false},  {24, 1, false, true, false},
    {32, 1, false, true, false},
};
inline constexpr unsigned kSlotVariantCount = sizeof(kSlotVariants) / sizeof(kSlotVariants[0]);

// kPack, kUnpack, kUnpackReducePack; the sum.
int run_slot_variant(unsigned variant, const SlotArray& array, const SlotCall& call, unsigned blocks,
                     CUstream_st* stream);
struct SlotVariantResources {
  int resident = 0;        // blocks that one multiprocessor holds at the same time
  int registers = 0;       // of a thread
  std::size_t spills = 0;  // bytes of a thread that did not fit
};
// A cudaError_t.
int slot_variant_resources(unsigned variant, SlotKernel kernel, SlotVariantResources& resources);

}  // namespace weft::compression::cuda
