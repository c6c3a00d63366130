// What a fuzz target states. Unlike assert() it stays in every build; it stops the process with the claim
// that broke.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace weft::fuzz {

inline void require(bool holds, const char* claim) {
  if (holds) return;
  std::fprintf(stderr, "fuzz target: broken: %s\n", claim);
  std::abort();
}

}  // namespace weft::fuzz
