// One slot of a SlotArray, done by a group: what the standalone kernels have in common.
#pragma once

#include "compression/cuda/slot.h"
#include "compression/cuda/slot_kernels.h"

namespace weft::compression::cuda {

template <typename C, SlotKernel kKernel, ReduceOp kOp, Loads kLoads = Loads{}, typename Group>
WEFT_DEVICE void run_slot(const SlotArray& array, const SlotCall& call, Group& group, std::uint64_t i) {
  const std::uint64_t bytes = array.payload_bytes, at = i * bytes, slot = i * array.stride_bytes;
  SlotOutcome result;
  if constexpr (kKernel == SlotKernel::kPack)
    result = pack<C, kLoads>(group, call.payload + at, bytes, call.slots + slot);
  if constexpr (kKernel == SlotKernel::kUnpack)
    result = unpack<C, kLoads>(group, call.received + slot, array.stride_bytes, call.destination + at, bytes);
  if constexpr (kKernel == SlotKernel::kUnpackReduce)
    result = unpack_reduce<C, kOp, kLoads>(group, call.received + slot, array.stride_bytes, call.payload + at,
                                           call.destination + at, bytes, call.divisor);
  if constexpr (kKernel == SlotKernel::kUnpackReducePack)
    result = unpack_reduce_pack<C, kOp, kLoads>(group, call.received + slot, array.stride_bytes,
                                                call.payload + at, call.slots + slot, bytes, call.divisor);
  if (threadIdx.x % (kLanes * group.warps()) == 0)
    call.outcomes[i] = {result.slot_bytes, result.piece, result.fault};
}

}  // namespace weft::compression::cuda
