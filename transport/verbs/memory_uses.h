// Up to which work request of which path the NICs read a buffer, for each of a number of rows.
//
// Threads: under the link's lock. Nothing allocates after it is made.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "transport/multipath/types.h"

namespace weft::verbs {

class MemoryUses {
 public:
  MemoryUses(std::size_t rows, std::size_t paths) : paths_(paths), masks_(rows), marks_(rows * paths) {}

  void note(std::size_t row, multipath::PathId path, std::uint32_t work_request) {
    masks_[row] |= multipath::mask_of(path);
    marks_[row * paths_ + multipath::index(path)] = work_request;
  }
  // The path's queue pair has gone out of service, and reads nothing any more.
  void forget(multipath::PathId path) {
    for (std::uint64_t& mask : masks_) mask &= ~multipath::mask_of(path);
  }
  // Whether every use is over, by `is_done(path, work_request)`. Those that are over are forgotten.
  template <typename IsDone>
  bool are_over(std::size_t row, IsDone&& is_done) {
    for (std::size_t i = 0; i < paths_ && masks_[row] != 0; ++i) {
      const auto path = static_cast<multipath::PathId>(i);
      const bool used = (masks_[row] & multipath::mask_of(path)) != 0;
      if (used && is_done(path, marks_[row * paths_ + i])) masks_[row] &= ~multipath::mask_of(path);
    }
    return masks_[row] == 0;
  }
  void move(std::size_t from, std::size_t to) {
    masks_[to] = std::exchange(masks_[from], 0);
    std::copy_n(marks_.begin() + static_cast<std::ptrdiff_t>(from * paths_), paths_,
                marks_.begin() + static_cast<std::ptrdiff_t>(to * paths_));
  }

 private:
  const std::size_t paths_;
  std::vector<std::uint64_t> masks_;
  std::vector<std::uint32_t> marks_;
};

}  // namespace weft::verbs
