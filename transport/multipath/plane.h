// A plane as its sender sees it: what is unacknowledged on all its paths together, and how fast they drain.
// The paths of a plane run between the same two interfaces, so these are what limits them: rate and room
// belong to the plane, and its paths share them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "transport/multipath/types.h"

namespace weft::multipath {

// Delivery rate: bytes acknowledged between the sending of a frame and its acknowledgement, over that time.
class RateEstimator {
 public:
  // `busy`: there was more to carry when the frame was sent. Otherwise the sample can only raise the
  // estimates, or what is given little would look slow and be given less.
  void sample(TimePoint now, double bytes_per_ns, bool busy);
  // Of samples under load: what to expect. Bytes per nanosecond; 0: unknown.
  double typical() const { return typical_; }
  // Of this and the previous window, because a sample taken while there was little to send is too low (BBR,
  // draft-cardwell-iccrg-bbr-congestion-control, section 4.1): what may be possible.
  double highest() const { return std::max(current_, previous_); }

 private:
  double typical_ = 0;
  double current_ = 0;
  double previous_ = 0;
  TimePoint window_began_{};
};

struct Plane {
  bool standby = false;               // carries data only while a plane that is not on standby cannot
  std::uint64_t bytes_in_flight = 0;  // on its connected paths
  std::uint64_t bytes_delivered = 0;
  Duration smallest_rtt = Duration::max();
  RateEstimator rate;
  std::optional<TimePoint> fell_silent;  // when one of its paths was last given up for silence

  // How many bytes may be unacknowledged: twice the product of rate and round trip, as BBR's window has it
  // (with just the product the measured rate could never exceed what the window had allowed before), and what
  // drains in `slack`, while an acknowledgement queues behind other data or a sender pauses.
  std::uint64_t window_bytes(Duration slack) const;
  bool has_room(std::uint64_t bytes, Duration slack) const {
    return bytes_in_flight + bytes <= std::max(window_bytes(slack), kLeastFramesInFlight * bytes);
  }

 private:
  static constexpr std::uint64_t kLeastFramesInFlight = 2;
};

}  // namespace weft::multipath
