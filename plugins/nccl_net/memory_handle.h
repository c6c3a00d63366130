// The handle by which NCCL knows registered memory, which it gives back with every message there: the address
// of a LastingMemory, and in its lowest bit which kind of memory that is. So posting looks nothing up, and
// needs no lock that registering takes.
#pragma once

#include <cstdint>

#include "weft/connection.h"
#include "weft/context.h"

namespace weft::nccl_net {

static_assert(alignof(LastingMemory) > 1);

inline void* memory_handle(const LastingMemory* memory, MemoryKind kind) {
  const std::uintptr_t bit = kind == MemoryKind::kDevice ? 1 : 0;
  return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(memory) | bit);
}
// Null, which nobody registered, counts as host memory.
inline MemoryKind memory_kind(const void* handle) {
  return (reinterpret_cast<std::uintptr_t>(handle) & 1) != 0 ? MemoryKind::kDevice : MemoryKind::kHost;
}

}  // namespace weft::nccl_net
