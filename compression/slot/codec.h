// The four fused primitives: from elements to a wire slot, from a slot to elements, and both with a reduction
// between.
//
// Nothing is measured, chosen or sent here: a caller asks level_choice.h for the level, and owns all memory.
// Any thread; calls share nothing. Only level archive allocates, once for each thread. Buffers need no
// alignment and must not overlap, except that a reduction's `local` may be its `destination`. Errors are
// kProtocolError where the slot is not what it should be (the text says which piece and why; what was written
// to the destination is then undefined), kInvalidArgument where the caller's buffers do not fit. Whatever a
// slot holds: nothing outside of the buffers is read or written, and every call ends.
#pragma once

#include <cstddef>
#include <span>

#include "compression/cpu/tile_kernels.h"
#include "compression/element_type.h"
#include "compression/slot_format.h"
#include "weft/data_type.h"
#include "weft/status.h"

namespace weft::compression {

// result = local (op) received, element by element, as algorithms/host does it. kAvg adds; where the last
// rank's part comes in, `divisor` is the number of ranks and the sum is divided. Slots hold elements of
// `type`, or bytes of unknown type.
struct Reduction {
  DataType type = DataType::kFloat32;
  ReduceOp op = ReduceOp::kSum;
  int divisor = 1;
};

// Codes `source` into `slot`, which has room for max_slot_bytes(). Returns the bytes that are to be sent,
// which the slot's header also says.
Result<std::size_t> pack(std::span<const std::byte> source, ElementType type, Level level,
                         std::span<std::byte> slot, const cpu::TileKernels& kernels = cpu::tile_kernels());

// `destination` has exactly the payload's bytes; read_header() tells how many.
Status unpack(std::span<const std::byte> slot, std::span<std::byte> destination,
              const cpu::TileKernels& kernels = cpu::tile_kernels());

// destination = local (op) what the slot holds. All have the payload's size.
Status unpack_reduce(std::span<const std::byte> slot, const Reduction& reduction,
                     std::span<const std::byte> local, std::span<std::byte> destination,
                     const cpu::TileKernels& kernels = cpu::tile_kernels());

// The same result, coded at `level` into the next slot (room for max_slot_bytes() of the reduction's type)
// and never written elsewhere.
Result<std::size_t> unpack_reduce_pack(std::span<const std::byte> slot, const Reduction& reduction,
                                       std::span<const std::byte> local, Level level,
                                       std::span<std::byte> next_slot,
                                       const cpu::TileKernels& kernels = cpu::tile_kernels());

}  // namespace weft::compression
