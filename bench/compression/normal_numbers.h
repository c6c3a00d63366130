// What a codec is measured on where there is no real data: normal numbers of scale 0.02, as weights have, and
// of scale 1.28 in types of 8 bits, which have no smaller ones to speak of.
//
// Any thread; the same bytes for the same seed and standard library.
#pragma once

#include <cstddef>
#include <vector>

#include "compression/element_type.h"

namespace weft::bench {

// Whole elements; what is left of `bytes` is zero. `type` is a float type.
std::vector<std::byte> normal_numbers(compression::ElementType type, std::size_t bytes, unsigned seed);

}  // namespace weft::bench
