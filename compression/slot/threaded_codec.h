// Large payloads coded and decoded on several threads: the same bytes as pack() and unpack() of codec.h.
//
// It pays from some MiB on, and for level archive above all, which is slower than memory by far
// (docs/results); the chunks that a transport sends are too short for it. Threads are started for each call
// and are gone when it returns. Buffers and errors as in codec.h; std::system_error where a thread cannot be
// started, std::bad_alloc.
#pragma once

#include <cstddef>
#include <span>

#include "compression/element_type.h"
#include "weft/status.h"

namespace weft::compression {

// At most `threads` of them, the caller's own included; fewer where there are fewer pieces.
Result<std::size_t> pack_on_threads(std::span<const std::byte> source, ElementType type, Level level,
                                    std::span<std::byte> slot, int threads);
Status unpack_on_threads(std::span<const std::byte> slot, std::span<std::byte> destination, int threads);

}  // namespace weft::compression
