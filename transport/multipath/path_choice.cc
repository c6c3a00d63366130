#include "transport/multipath/path_choice.h"

#include <algorithm>

namespace weft::multipath {
namespace {

// What a path may hold beyond its bandwidth-delay product, so that the sender's pauses do not drain it.
constexpr double kSlackNs = 4e6;
constexpr std::uint64_t kMinChunksInFlight = 2;
constexpr double kRateUnknown = 1.0;  // bytes per ns; only its being equal for all matters

double rate_of(const Path& path, double fallback) {
  double rate = path.rate.bytes_per_ns();
  return rate > 0 ? rate : fallback;
}

double fastest_known_rate(std::span<const Path> paths) {
  double fastest = 0;
  for (const Path& path : paths)
    if (path.usable()) fastest = std::max(fastest, path.rate.bytes_per_ns());
  return fastest > 0 ? fastest : kRateUnknown;
}

double base_delay_ns(const Path& path) {
  return path.smallest_rtt == Duration::max() ? 0 : static_cast<double>(path.smallest_rtt.count());
}

double finish_ns(const Path& path, double rate, std::uint64_t bytes) {
  return static_cast<double>(path.bytes_in_flight + bytes) / rate;
}

}  // namespace

bool has_room(const Path& path, std::uint64_t bytes) {
  if (!path.usable() || !path.writable || path.in_flight_frames() >= kPathWindowFrames) return false;
  if (path.in_flight_frames() < kMinChunksInFlight) return true;
  // Twice the product, as BBR's window has it: with just the product the measured rate could never exceed
  // what the window had allowed before.
  double cap = path.rate.bytes_per_ns() * (2 * base_delay_ns(path) + kSlackNs);
  return static_cast<double>(path.bytes_in_flight + bytes) <= cap;
}

std::optional<PathId> PathChooser::for_chunk(std::span<Path> paths, std::uint64_t chunk_bytes,
                                             std::uint64_t queued_bytes) {
  double fallback = fastest_known_rate(paths);
  std::optional<std::size_t> best;  // of those with room
  double best_finish = 0;
  double total_rate = 0;
  double total_in_flight = 0;
  for (std::size_t step = 0; step < paths.size(); ++step) {
    std::size_t i = (rotation_ + step) % paths.size();
    Path& path = paths[i];
    if (!path.usable()) continue;
    path.state = PathState::kGood;
    double rate = rate_of(path, fallback);
    total_rate += rate;
    total_in_flight += static_cast<double>(path.bytes_in_flight);
    double finish = finish_ns(path, rate, chunk_bytes);
    if (has_room(path, chunk_bytes) && (!best || finish < best_finish)) {
      best = i;
      best_finish = finish;
    }
  }
  if (!best) return std::nullopt;
  Path& chosen = paths[*best];
  double others_rate = total_rate - rate_of(chosen, fallback);
  if (others_rate <= 0) return static_cast<PathId>(*best);

  // When would the others be done with all that waits? Together at best, but never before one of them could
  // carry this chunk alone.
  double others_in_flight = total_in_flight - static_cast<double>(chosen.bytes_in_flight);
  double together = (others_in_flight + static_cast<double>(queued_bytes)) / others_rate;
  if (best_finish <= together) return static_cast<PathId>(*best);
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (i == *best || !paths[i].usable()) continue;
    if (finish_ns(paths[i], rate_of(paths[i], fallback), chunk_bytes) < best_finish) {
      chosen.state = PathState::kSkip;
      return std::nullopt;
    }
  }
  return static_cast<PathId>(*best);
}

std::optional<PathId> PathChooser::for_small(std::span<Path> paths, std::uint64_t bytes) {
  if (company_ && has_room(paths[index(*company_)], bytes)) return company_;
  std::optional<std::size_t> next;
  for (std::size_t step = 0; step < paths.size(); ++step) {
    std::size_t i = (rotation_ + step) % paths.size();
    if (!has_room(paths[i], bytes)) continue;
    if (paths[i].feedback_due) return static_cast<PathId>(i);
    if (!next || paths[i].bytes_in_flight < paths[*next].bytes_in_flight) next = i;
  }
  if (!next) return std::nullopt;
  return static_cast<PathId>(*next);
}

}  // namespace weft::multipath
