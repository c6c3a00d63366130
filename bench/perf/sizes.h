// Sizes as users write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weft::bench {

// "8", "64K", "1.5M", "2G", "1T"; the suffix counts in powers of 1024 and may be written K, KB or KiB in
// either case. Nothing for anything else, for fractions of a byte and for what does not fit in 63 bits.
std::optional<std::uint64_t> parse_size(std::string_view text);

// "64K", "100", "1M": the largest suffix that divides.
std::string format_size(std::uint64_t bytes);

}  // namespace weft::bench
