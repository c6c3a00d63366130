#include "compression/cuda/slot_kernels.h"

#include <cuda_runtime.h>

#include "compression/cuda/coding_choice.h"
#include "compression/cuda/device_lanes.cuh"
#include "compression/cuda/slot_of_array.cuh"

namespace weft::compression::cuda {
namespace {

template <typename C, SlotKernel kKernel, ReduceOp kOp>
__global__ void __launch_bounds__(kKernelWarps* kLanes, 1) slot_kernel(SlotArray array, SlotCall call) {
  __shared__ BlockMemory<kKernelWarps> memory;
  DeviceBlock<kKernelWarps> block(memory);
  WEFT_ROLLED
  for (std::uint64_t i = blockIdx.x; i < array.slots; i += gridDim.x)
    run_slot<C, kKernel, kOp>(array, call, block, i);
}

template <typename C, SlotKernel kKernel, ReduceOp kOp>
__global__ void __launch_bounds__(kKernelWarps* kLanes, 1)
    slot_kernel_by_warp(SlotArray array, SlotCall call) {
  __shared__ TileScratch scratch[kKernelWarps];
  DeviceWarpAlone warp(scratch[threadIdx.x / kLanes]);
  const std::uint64_t warps = std::uint64_t{gridDim.x} * kKernelWarps;
  WEFT_ROLLED
  for (std::uint64_t i = std::uint64_t{blockIdx.x} * kKernelWarps + threadIdx.x / kLanes; i < array.slots;
       i += warps)
    run_slot<C, kKernel, kOp>(array, call, warp, i);
}

using Kernel = void (*)(SlotArray, SlotCall);

// The sum of everything; what the other operations do is seen well enough in one kernel at one level, and
// each kernel takes time to compile.
template <typename C, SlotKernel kKernel>
Kernel reducing(ReduceOp op) {
  if (op == ReduceOp::kSum || op == ReduceOp::kAvg) return slot_kernel<C, kKernel, ReduceOp::kSum>;
  if constexpr (C::kLevel == Level::kFast && kKernel == SlotKernel::kUnpackReduce) {
    if (op == ReduceOp::kProd) return slot_kernel<C, kKernel, ReduceOp::kProd>;
    if (op == ReduceOp::kMax) return slot_kernel<C, kKernel, ReduceOp::kMax>;
    if (op == ReduceOp::kMin) return slot_kernel<C, kKernel, ReduceOp::kMin>;
  }
  return nullptr;
}

template <typename C>
Kernel kernel_of(const SlotCall& call) {
  switch (call.kernel) {
    case SlotKernel::kPack:
      return slot_kernel<C, SlotKernel::kPack, ReduceOp::kSum>;
    case SlotKernel::kUnpack:
      return slot_kernel<C, SlotKernel::kUnpack, ReduceOp::kSum>;
    case SlotKernel::kUnpackReduce:
      return reducing<C, SlotKernel::kUnpackReduce>(call.op);
    case SlotKernel::kUnpackReducePack:
      return reducing<C, SlotKernel::kUnpackReducePack>(call.op);
  }
  return nullptr;
}

Kernel kernel_of(const SlotArray& array, const SlotCall& call) {
  Kernel kernel = nullptr;
  if (call.by_warp) {
    using C = Coding<ElementType::kBfloat16, Level::kFast>;
    if (array.type != C::kType || array.level != C::kLevel || call.op != ReduceOp::kSum) return nullptr;
    if (call.kernel == SlotKernel::kPack) return slot_kernel_by_warp<C, SlotKernel::kPack, ReduceOp::kSum>;
    if (call.kernel == SlotKernel::kUnpack)
      return slot_kernel_by_warp<C, SlotKernel::kUnpack, ReduceOp::kSum>;
    if (call.kernel == SlotKernel::kUnpackReducePack)
      return slot_kernel_by_warp<C, SlotKernel::kUnpackReducePack, ReduceOp::kSum>;
    return nullptr;
  }
  visit_coding(array.type, array.level, [&](auto coding) { kernel = kernel_of<decltype(coding)>(call); });
  return kernel;
}

}  // namespace

int run_slot_kernel(const SlotArray& array, const SlotCall& call, unsigned blocks, CUstream_st* stream) {
  const Kernel kernel = kernel_of(array, call);
  if (kernel == nullptr) return cudaErrorNotSupported;
  kernel<<<blocks, kKernelWarps * kLanes, 0, stream>>>(array, call);
  return cudaGetLastError();
}

int resident_blocks(const SlotArray& array, const SlotCall& call) {
  const Kernel kernel = kernel_of(array, call);
  int blocks = 0;
  if (kernel == nullptr ||
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, kKernelWarps * kLanes, 0) != cudaSuccess)
    return 0;
  return blocks;
}

}  // namespace weft::compression::cuda
