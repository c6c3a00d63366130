// Which path carries the next chunk: the one with the earliest expected finish. A slow path is passed over
// when the others would be done with everything sooner (earliest completion first, Lim et al., CoNEXT 2017).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "transport/multipath/path.h"

namespace weft::multipath {

class PathChooser {
 public:
  // The path for a chunk of `chunk_bytes`, of `queued_bytes` (this chunk included) that wait for a path.
  // None: wait. A scan of all paths: at most kMaxPaths (64), about a nanosecond each, so sampling two of them
  // as is done for hundreds of paths (power of two choices) would save nothing and choose worse.
  std::optional<PathId> for_chunk(std::span<Path> paths, std::uint64_t chunk_bytes,
                                  std::uint64_t queued_bytes);

  // The path for a message of one chunk or for a control frame: one that owes feedback, so that the two
  // travel together, else the next in rotation.
  std::optional<PathId> for_small(std::span<Path> paths, std::uint64_t bytes);
  // A message went out on `path`: the next takes another.
  void rotate_past(PathId path, std::size_t paths) {
    rotation_ = (index(path) + 1) % paths;
    company_.reset();
  }
  // A control frame went out on `path`: the next small message keeps it company.
  void keep_company(PathId path) { company_ = path; }

 private:
  std::size_t rotation_ = 0;
  std::optional<PathId> company_;
};

// True where `path` takes another frame of `bytes` now: usable, writable, and below its caps of frames and
// bytes.
bool has_room(const Path& path, std::uint64_t bytes);

}  // namespace weft::multipath
