// Elements at random by the hundred millions, as codec_equality needs them: fast, and unlike each other from
// one call to the next.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "compression/element_type.h"
#include "tests/compression/element_samples.h"

namespace weft::compression {

enum class Distribution {
  kUniformBits,  // every pattern of the type as likely as any
  kNormal,       // a normal distribution of some scale
  kConstant,     // one element, in most tiles nothing else, in some an odd one out
  kNanRich,      // normal numbers among NaNs of every payload and infinities
  kSparse,       // normal numbers among zeros of both signs and denormals
  kSpread,       // exponents from a range that is about as wide as a window, some escapes or too many
};
inline constexpr int kDistributions = 6;
std::string_view to_string(Distribution distribution);

// Any float type.
std::vector<std::byte> random_elements(ElementType type, Distribution distribution, std::size_t elements,
                                       SplitMix& random);

}  // namespace weft::compression
