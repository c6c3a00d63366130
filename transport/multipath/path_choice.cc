#include "transport/multipath/path_choice.h"

#include <algorithm>
#include <array>
#include <bit>

namespace weft::multipath {
namespace {

constexpr double kRateUnknown = 1.0;  // bytes per ns; only its being equal for all matters
constexpr std::uint8_t kNone = 0xFF;

double fastest_known_rate(std::span<const Plane> planes) {
  double fastest = 0;
  for (const Plane& plane : planes) fastest = std::max(fastest, plane.rate.typical());
  return fastest > 0 ? fastest : kRateUnknown;
}

// What the choice has to know of a plane.
struct Candidate {
  std::uint8_t path = kNone;  // with room and the least in flight
  bool usable = false;        // any of its paths is
  double rate = 0;
};

double finish_ns(const Plane& plane, double rate, std::uint64_t bytes) {
  return static_cast<double>(plane.bytes_in_flight + bytes) / rate;
}

}  // namespace

std::uint64_t planes_on_duty(std::span<const Path> paths, std::span<const Plane> planes) {
  std::uint64_t near = 0, far = 0;
  for (std::size_t i = 0; i < planes.size(); ++i)
    (planes[i].standby ? far : near) |= mask_of(static_cast<PlaneId>(i));
  if (near == 0 || far == 0) return near | far;
  std::uint64_t usable = 0;
  for (const Path& path : paths)
    if (path.usable()) usable |= mask_of(path.plane);
  std::uint64_t duty = near;
  std::uint64_t waiting = far & usable;
  for (int vacant = std::popcount(near & ~usable); vacant > 0 && waiting != 0; --vacant) {
    const std::uint64_t next = waiting & -waiting;
    duty |= next;
    waiting ^= next;
  }
  return duty;
}

// Usable, writable, and it or its plane below its window.
bool PathChooser::has_room(const Path& path, const Plane& plane, std::uint64_t bytes) const {
  if (!path.usable() || !path.writable || path.in_flight_frames() >= kPathWindowFrames) return false;
  return path.in_flight_frames() == 0 || plane.has_room(bytes, window_slack_);
}

std::optional<PathId> PathChooser::for_chunk(std::span<Path> paths, std::span<const Plane> planes,
                                             std::uint64_t chunk_bytes, std::uint64_t queued_bytes) {
  std::array<Candidate, kMaxPaths> candidates;
  const std::uint64_t duty = planes_on_duty(paths, planes);
  for (std::size_t step = 0; step < paths.size(); ++step) {
    std::size_t i = (rotation_ + step) % paths.size();
    Path& path = paths[i];
    if (!path.usable() || !(duty & mask_of(path.plane))) continue;
    path.state = PathState::kGood;
    Candidate& candidate = candidates[index(path.plane)];
    candidate.usable = true;
    if (!has_room(path, planes[index(path.plane)], chunk_bytes)) continue;
    if (candidate.path == kNone || path.bytes_in_flight < paths[candidate.path].bytes_in_flight)
      candidate.path = static_cast<std::uint8_t>(i);
  }

  double fallback = fastest_known_rate(planes);
  std::size_t best = planes.size();
  double best_finish = 0;
  double total_rate = 0;
  double total_in_flight = 0;
  for (std::size_t i = 0; i < planes.size(); ++i) {
    Candidate& candidate = candidates[i];
    if (!candidate.usable) continue;
    candidate.rate = planes[i].rate.typical();
    if (candidate.rate == 0) candidate.rate = fallback;
    total_rate += candidate.rate;
    total_in_flight += static_cast<double>(planes[i].bytes_in_flight);
    double finish = finish_ns(planes[i], candidate.rate, chunk_bytes);
    if (candidate.path == kNone || (best != planes.size() && finish >= best_finish)) continue;
    best = i;
    best_finish = finish;
  }
  if (best == planes.size()) return std::nullopt;
  PathId chosen = static_cast<PathId>(candidates[best].path);
  double others_rate = total_rate - candidates[best].rate;
  if (others_rate <= 0) return chosen;

  // When would the others be done with all that waits? Together at best, but never before one of them could
  // carry this chunk alone.
  double others_in_flight = total_in_flight - static_cast<double>(planes[best].bytes_in_flight);
  double together = (others_in_flight + static_cast<double>(queued_bytes)) / others_rate;
  if (best_finish <= together) return chosen;
  for (std::size_t i = 0; i < planes.size(); ++i) {
    if (i == best || !candidates[i].usable) continue;
    if (finish_ns(planes[i], candidates[i].rate, chunk_bytes) < best_finish) {
      paths[index(chosen)].state = PathState::kSkip;
      return std::nullopt;
    }
  }
  return chosen;
}

std::optional<PathId> PathChooser::for_small(std::span<const Path> paths, std::span<const Plane> planes,
                                             std::uint64_t bytes) const {
  auto idle_with_room = [&](const Path& path) {
    const Plane& plane = planes[index(path.plane)];
    return plane.bytes_in_flight == 0 && has_room(path, plane, bytes);
  };
  const std::uint64_t duty = planes_on_duty(paths, planes);
  const auto on_duty = [&](const Path& path) { return (duty & mask_of(path.plane)) != 0; };
  if (company_ && on_duty(paths[index(*company_)]) && idle_with_room(paths[index(*company_)]))
    return company_;
  double fallback = fastest_known_rate(planes);
  std::optional<std::size_t> best;
  double best_wait = 0;
  bool best_owes = false;
  for (std::size_t step = 0; step < paths.size(); ++step) {
    std::size_t i = (rotation_ + step) % paths.size();
    const Path& path = paths[i];
    const Plane& plane = planes[index(path.plane)];
    if (!on_duty(path) || !has_room(path, plane, bytes)) continue;
    double rate = plane.rate.typical();
    double wait = finish_ns(plane, rate > 0 ? rate : fallback, path.bytes_in_flight);
    bool owes = path.feedback_due || company_ == static_cast<PathId>(i);
    if (best && (wait > best_wait || (wait == best_wait && (best_owes || !owes)))) continue;
    best = i;
    best_wait = wait;
    best_owes = owes;
  }
  if (!best) return std::nullopt;
  return static_cast<PathId>(*best);
}

}  // namespace weft::multipath
