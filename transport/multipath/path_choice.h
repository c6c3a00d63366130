// Which path carries the next chunk: of the plane with the earliest expected finish, the path with the least
// in flight. A slow plane is passed over when the others would be done with everything sooner (earliest
// completion first, Lim et al., CoNEXT 2017).
//
// Two levels, because the paths of a plane share its bottleneck: judged one by one they would end a plane's
// share of a message several chunks apart from another's. Within a plane no rate is needed: the path that
// drains faster has less in flight and gets more (fewest outstanding, as Alibaba's HPN does).
//
// Planes on standby carry nothing until others are out of use: then as many of them take part as those are,
// so that a lost near NIC is replaced by one far one and not by all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "transport/multipath/path.h"
#include "transport/multipath/plane.h"

namespace weft::multipath {

// Planes that may carry new data, bit i for plane i. Where all are on standby, or none is, all may.
std::uint64_t planes_on_duty(std::span<const Path> paths, std::span<const Plane> planes);

class PathChooser {
 public:
  // `window_slack`: see Plane::window_bytes.
  explicit PathChooser(Duration window_slack) : window_slack_(window_slack) {}

  // The path for a chunk of `chunk_bytes`, of `queued_bytes` (this chunk included) that wait for a path.
  // None: wait. A scan of all paths: at most kMaxPaths (64), about a nanosecond each, so sampling two of them
  // as is done for hundreds of paths (power of two choices) would save nothing and choose worse.
  std::optional<PathId> for_chunk(std::span<Path> paths, std::span<const Plane> planes,
                                  std::uint64_t chunk_bytes, std::uint64_t queued_bytes);

  // The path for a message of one chunk or for a control frame: where least is in front of it; of equals one
  // that owes feedback, so that the two travel together, else the next in rotation.
  std::optional<PathId> for_small(std::span<const Path> paths, std::span<const Plane> planes,
                                  std::uint64_t bytes) const;
  // A message went out on `path`: the next takes another.
  void rotate_past(PathId path, std::size_t paths) {
    rotation_ = (index(path) + 1) % paths;
    company_.reset();
  }
  // A control frame went out on `path`: the next small message keeps it company, unless it would wait there.
  void keep_company(PathId path) { company_ = path; }

 private:
  bool has_room(const Path& path, const Plane& plane, std::uint64_t bytes) const;

  Duration window_slack_;
  std::size_t rotation_ = 0;
  std::optional<PathId> company_;
};

}  // namespace weft::multipath
