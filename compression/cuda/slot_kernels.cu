#include "compression/cuda/slot_kernels.h"

#include <cuda_runtime.h>

#include "compression/cuda/device_lanes.cuh"
#include "compression/cuda/slot.h"

namespace weft::compression::cuda {
namespace {

template <typename C, SlotKernel kKernel, ReduceOp kOp>
__global__ void __launch_bounds__(kKernelWarps* kLanes) slot_kernel(SlotArray array, SlotCall call) {
  __shared__ BlockMemory<kKernelWarps> memory;
  DeviceBlock<kKernelWarps> block(memory);
  WEFT_ROLLED
  for (std::uint64_t i = blockIdx.x; i < array.slots; i += gridDim.x) {
    const std::uint64_t bytes = array.payload_bytes, at = i * bytes, slot = i * array.stride_bytes;
    SlotOutcome result;
    if constexpr (kKernel == SlotKernel::kPack)
      result = pack<C>(block, call.payload + at, bytes, call.slots + slot);
    if constexpr (kKernel == SlotKernel::kUnpack)
      result = unpack<C>(block, call.received + slot, array.stride_bytes, call.destination + at, bytes);
    if constexpr (kKernel == SlotKernel::kUnpackReduce)
      result = unpack_reduce<C, kOp>(block, call.received + slot, array.stride_bytes, call.payload + at,
                                     call.destination + at, bytes, call.divisor);
    if constexpr (kKernel == SlotKernel::kUnpackReducePack)
      result = unpack_reduce_pack<C, kOp>(block, call.received + slot, array.stride_bytes, call.payload + at,
                                          call.slots + slot, bytes, call.divisor);
    if (threadIdx.x == 0) call.outcomes[i] = {result.slot_bytes, result.piece, result.fault};
  }
}

using Kernel = void (*)(SlotArray, SlotCall);

template <typename C, SlotKernel kKernel>
Kernel reducing(ReduceOp op) {
  if constexpr (std::is_same_v<typename C::Element, NoArithmetic>) {
    return nullptr;
  } else {
    switch (op) {
      case ReduceOp::kSum:
      case ReduceOp::kAvg:
        return slot_kernel<C, kKernel, ReduceOp::kSum>;
      case ReduceOp::kProd:
        return slot_kernel<C, kKernel, ReduceOp::kProd>;
      case ReduceOp::kMax:
        return slot_kernel<C, kKernel, ReduceOp::kMax>;
      case ReduceOp::kMin:
        return slot_kernel<C, kKernel, ReduceOp::kMin>;
    }
    return nullptr;
  }
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
