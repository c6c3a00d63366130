// Virtual time: events in order of their time, and of their making where times are equal. A run is a function
// of its seed alone.
#pragma once

#include <cstdint>
#include <queue>
#include <vector>

#include "transport/multipath/types.h"

namespace weft::sim {

using multipath::Duration;
using multipath::TimePoint;

// Something that events happen to.
class Actor {
 public:
  virtual ~Actor() = default;
  virtual void on_event(std::uint32_t what, std::uint64_t about) = 0;
};

class Clock {
 public:
  TimePoint now() const { return now_; }
  void at(TimePoint when, Actor& actor, std::uint32_t what, std::uint64_t about = 0) {
    events_.push({when < now_ ? now_ : when, sequence_++, &actor, what, about});
  }
  void after(Duration delay, Actor& actor, std::uint32_t what, std::uint64_t about = 0) {
    at(now_ + delay, actor, what, about);
  }
  // Runs the next event. False: there is none.
  bool step() {
    if (events_.empty()) return false;
    Event event = events_.top();
    events_.pop();
    now_ = event.when;
    event.actor->on_event(event.what, event.about);
    return true;
  }
  std::uint64_t events_run() const { return sequence_; }

 private:
  struct Event {
    TimePoint when;
    std::uint64_t sequence;
    Actor* actor;
    std::uint32_t what;
    std::uint64_t about;
    bool operator<(const Event& other) const {
      return when != other.when ? when > other.when : sequence > other.sequence;
    }
  };
  TimePoint now_{std::chrono::seconds(1)};
  std::uint64_t sequence_ = 0;
  std::priority_queue<Event> events_;
};

}  // namespace weft::sim
