// CRC32C (Castagnoli), as in iSCSI (RFC 3720). Debian 12 has no C or C++ package of it, and a frame header
// needs it in a few nanoseconds, so it is here: the SSE4.2 instruction where the processor has it, a table
// elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weft::multipath {

// Continues `crc` (0 to begin) over `bytes` bytes at `data`.
std::uint32_t crc32c(std::uint32_t crc, const void* data, std::size_t bytes);
// The table version, for tests of the other.
std::uint32_t crc32c_portable(std::uint32_t crc, const void* data, std::size_t bytes);

}  // namespace weft::multipath
