// The strong types and the named limits of the multipath core. The core knows no clock: time is an argument.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace weft::multipath {

// A clock without now(): the driver's steady clock or a simulator's virtual one.
struct DriverClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<DriverClock>;
  static constexpr bool is_steady = true;
};
using Duration = std::chrono::nanoseconds;
using TimePoint = DriverClock::time_point;

enum class PathId : std::uint8_t {};
enum class PlaneId : std::uint8_t {};
// Grows by one with each reconnection of a path; frames of an older incarnation are never delivered.
enum class Incarnation : std::uint32_t {};

constexpr std::size_t index(PathId path) {
  return static_cast<std::size_t>(path);
}
// A set of paths is a word with a bit for each (there are at most 64 in a connection).
constexpr std::uint64_t mask_of(PathId path) {
  return std::uint64_t{1} << index(path);
}
constexpr std::size_t index(PlaneId plane) {
  return static_cast<std::size_t>(plane);
}
constexpr std::uint64_t mask_of(PlaneId plane) {
  return std::uint64_t{1} << index(plane);
}
constexpr std::uint32_t number(Incarnation incarnation) {
  return static_cast<std::uint32_t>(incarnation);
}

// Named limits (I7). All storage of an endpoint is sized by them when it is made.
inline constexpr std::size_t kMaxPaths = 64;
inline constexpr std::size_t kSlots = 256;                 // pending requests in each direction
inline constexpr std::size_t kPathWindowFrames = 64;       // unacknowledged data frames on one path
inline constexpr std::size_t kMaxChunksPerMessage = 1024;  // larger messages get larger chunks
inline constexpr std::size_t kMinChunkBytes = 64 * 1024;

// RFC 1982 comparison of counters that wrap at 32 bits.
constexpr std::int32_t serial_distance(std::uint32_t from, std::uint32_t to) {
  return static_cast<std::int32_t>(to - from);
}

}  // namespace weft::multipath
