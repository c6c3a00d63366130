// The primitives as kernels of their own, for measuring and for checks: a collective calls slot.h within its
// own.
//
// Asynchronous on `stream`; all pointers are the GPU's. Returns a cudaError_t. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/cuda/fault.h"
#include "compression/element_type.h"
#include "weft/data_type.h"

struct CUstream_st;

namespace weft::compression::cuda {

// Many payloads of one size, each in a slot of its own: a block (or warp) takes slots in turn.
struct SlotArray {
  ElementType type = ElementType::kBfloat16;  // a float type
  Level level = Level::kFast;                 // fast or dense
  std::uint64_t slots = 0;
  std::uint64_t payload_bytes = 0;  // of each slot
  std::uint64_t stride_bytes = 0;   // from slot to slot: max_slot_bytes() or more, a multiple of 4
};
struct ArrayOutcome {
  std::uint64_t slot_bytes;
  std::uint64_t piece;
  Fault fault;
};

inline constexpr unsigned kKernelWarps = 8;  // of a block

enum class SlotKernel : std::uint8_t { kPack, kUnpack, kUnpackReduce, kUnpackReducePack };
struct SlotCall {
  SlotKernel kernel = SlotKernel::kPack;
  bool by_warp = false;  // each warp takes slots by itself, instead of each block
  ReduceOp op = ReduceOp::kSum;
  int divisor = 1;
  const std::uint8_t* received = nullptr;  // slots that are read
  const std::uint8_t* payload = nullptr;   // pack: the source; reductions: the local elements
  std::uint8_t* destination = nullptr;     // elements that are written
  std::uint8_t* slots = nullptr;           // slots that are written
  ArrayOutcome* outcomes = nullptr;        // one for each slot
};
// cudaErrorNotSupported where there is no such kernel: of other operations than sum and average only
// kUnpackReduce at level fast; by warp only bfloat16 at level fast.
int run_slot_kernel(const SlotArray& array, const SlotCall& call, unsigned blocks, CUstream_st* stream);

// Blocks that one multiprocessor holds at the same time; 0 where that cannot be found out.
int resident_blocks(const SlotArray& array, const SlotCall& call);

}  // namespace weft::compression::cuda
