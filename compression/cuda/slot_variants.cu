#include "compression/cuda/slot_variants.h"

#include <cuda_runtime.h>

#include <utility>

#include "compression/cuda/device_lanes.cuh"
#include "compression/cuda/slot_of_array.cuh"

namespace weft::compression::cuda {
namespace {

using Coded = Coding<ElementType::kBfloat16, Level::kFast>;

template <unsigned kVariant, SlotKernel kKernel>
__global__ void __launch_bounds__(kSlotVariants[kVariant].warps* kLanes, kSlotVariants[kVariant].blocks)
    slot_variant(SlotArray array, SlotCall call) {
  constexpr SlotVariant kChosen = kSlotVariants[kVariant];
  __shared__ BlockMemory<kChosen.warps> memory;
  DeviceBlock<kChosen.warps, kChosen.streaming> block(memory);
  WEFT_ROLLED
  for (std::uint64_t i = blockIdx.x; i < array.slots; i += gridDim.x)
    run_slot<Coded, kKernel, ReduceOp::kSum, Loads{kChosen.ahead, kChosen.local_late}>(array, call, block, i);
}

using Kernel = void (*)(SlotArray, SlotCall);
struct Kernels {
  Kernel pack, unpack, unpack_reduce_pack;
};
template <unsigned... kVariants>
Kernels kernels_of(unsigned variant, std::integer_sequence<unsigned, kVariants...>) {
  static constexpr Kernels kAll[] = {{slot_variant<kVariants, SlotKernel::kPack>,
                                      slot_variant<kVariants, SlotKernel::kUnpack>,
                                      slot_variant<kVariants, SlotKernel::kUnpackReducePack>}...};
  return kAll[variant];
}
Kernel kernel_of(unsigned variant, SlotKernel kernel) {
  if (variant >= kSlotVariantCount) return nullptr;
  const Kernels kernels = kernels_of(variant, std::make_integer_sequence<unsigned, kSlotVariantCount>{});
  switch (kernel) {
    case SlotKernel::kPack:
      return kernels.pack;
    case SlotKernel::kUnpack:
      return kernels.unpack;
    case SlotKernel::kUnpackReducePack:
      return kernels.unpack_reduce_pack;
    case SlotKernel::kUnpackReduce:
      break;
  }
  return nullptr;
}

}  // namespace

int run_slot_variant(unsigned variant, const SlotArray& array, const SlotCall& call, unsigned blocks,
                     CUstream_st* stream) {
  const Kernel kernel = kernel_of(variant, call.kernel);
  if (kernel == nullptr || array.type != Coded::kType || array.level != Coded::kLevel)
    return cudaErrorNotSupported;
  kernel<<<blocks, kSlotVariants[variant].warps * kLanes, 0, stream>>>(array, call);
  return cudaGetLastError();
}

int slot_variant_resources(unsigned variant, SlotKernel kernel, SlotVariantResources& resources) {
  const Kernel chosen = kernel_of(variant, kernel);
  if (chosen == nullptr) return cudaErrorNotSupported;
  cudaFuncAttributes attributes{};
  if (const cudaError_t error = cudaFuncGetAttributes(&attributes, chosen); error != cudaSuccess)
    return error;
  resources.registers = attributes.numRegs;
  resources.spills = attributes.localSizeBytes;
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      &resources.resident, chosen, static_cast<int>(kSlotVariants[variant].warps * kLanes), 0);
}

}  // namespace weft::compression::cuda
