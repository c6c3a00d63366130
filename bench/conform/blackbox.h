// Memory shared between the runner and the process that runs a check: it tells, after a hang or a crash,
// which plugin call was in progress and what the check was doing.
//
// The runner makes it before it forks; the check's threads write, the runner reads. All fields are atomics or
// overwritten whole; a torn note only spoils a message.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

namespace weft::bench::conform {

class Blackbox {
 public:
  struct CallInProgress {
    std::string name;
    int64_t since_ns = 0;
  };

  // The one of this process tree. install() replaces its content with an empty one; the runner calls it per
  // check.
  static void install();

  // To be called in a forked process that goes on using the same black box, before its first plugin call.
  static void after_fork();

  static void note_step(const char* step);
  static std::string last_step();
  // The call that has been in progress for the longest time; an empty name when there is none.
  static CallInProgress oldest_call();
  static int64_t now_ns();

 private:
  friend class CallNote;
  static constexpr int kThreads = 64;
  struct alignas(64) Slot {
    std::atomic<const char*> name;  // string literals: the same address on both sides of a fork
    std::atomic<int64_t> since_ns;
  };
  struct Shared {
    std::array<Slot, kThreads> slots;
    std::atomic<int> threads;
    char step[256];
  };
  static Slot* slot_of_thread();
  static Shared* shared_;
  static std::atomic<int> generation_;  // grows with each fork: a slot belongs to one thread of one process
};

// In scope while a plugin call is in progress. `name` must be a string literal.
class CallNote {
 public:
  explicit CallNote(const char* name);
  ~CallNote();
  CallNote(const CallNote&) = delete;
  CallNote& operator=(const CallNote&) = delete;

 private:
  Blackbox::Slot* slot_;
};

}  // namespace weft::bench::conform
