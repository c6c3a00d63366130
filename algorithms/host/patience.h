// How to wait for a peer by polling without keeping the processor from it: ranks may outnumber the cores.
//
// First it spins, because on cores of its own an answer comes within microseconds. Then it yields. Then it
// sleeps: a process that only yields loses its turn to every other that computes, for milliseconds each time,
// while one that has slept is let in at once.
#pragma once

#include <chrono>
#include <thread>

namespace weft::algorithms::host {

class Patience {
 public:
  // After a poll that brought nothing.
  void wait() {
    if (++idle_polls_ <= kSpinningPolls) return;
    const auto now = std::chrono::steady_clock::now();
    if (idle_polls_ == kSpinningPolls + 1) yielding_since_ = now;
    if (now - yielding_since_ < kYieldingTime) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kSleep);
    }
  }
  // After one that did.
  void reset() { idle_polls_ = 0; }

 private:
  static constexpr int kSpinningPolls = 64;
  static constexpr std::chrono::microseconds kYieldingTime{50};
  static constexpr std::chrono::microseconds kSleep{10};

  int idle_polls_ = 0;
  std::chrono::steady_clock::time_point yielding_since_;
};

}  // namespace weft::algorithms::host
