// Level archive for bytes of unknown type: one zstd frame a block.
//
// Any thread; each thread keeps its own zstd contexts, made at the first call. Where there is no memory for
// them nothing is coded, and decoding says so.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weft::compression {

// Returns the coded bytes, padded with zeros to a multiple of 4; 0 where raw is the better choice.
std::size_t encode_zstd(const std::uint8_t* bytes, std::size_t count, std::uint8_t* coded);

// nullptr, or what is wrong with the `bytes` at `coded`: exactly `count` bytes must come out.
const char* decode_zstd(const std::uint8_t* coded, std::size_t bytes, std::uint8_t* decoded,
                        std::size_t count);

}  // namespace weft::compression
