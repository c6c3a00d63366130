// A descriptor that stays this process's alone: a forked child closes its copy before it does anything else.
//
// Close-on-exec is not enough. A child that never executes another program (the workers of PyTorch's data
// loader) would hold every connection of its parent open. Were the parent killed, its kernel would go on
// acknowledging what the peers send, and they would take a dead process for a slow one. The child's copies
// are closed and nothing else is done to them: the parent's connections do not notice.
//
// In the child these objects own nothing; closing and destroying them does nothing, whatever the child has
// opened under the same number meanwhile. Only fork() is followed; a child made by clone() itself is not.
//
// Threads: any; creating and closing take a lock, which fork() waits for. Errors: none of its own.
#pragma once

#include <mutex>
#include <utility>

namespace weft::process {

class OwnDescriptor {
 public:
  OwnDescriptor() = default;
  // Takes over a descriptor that exists already. A fork() in between has given it to the child.
  explicit OwnDescriptor(int descriptor);
  // `open` returns a new descriptor, or -1 with errno, which stays. No fork() gets in between.
  template <typename Open>
  static OwnDescriptor from(Open&& open) {
    std::unique_lock lock = hold_forks();
    OwnDescriptor made;
    made.own(std::forward<Open>(open)());
    return made;
  }
  OwnDescriptor(OwnDescriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), generation_(other.generation_) {}
  OwnDescriptor& operator=(OwnDescriptor&& other) noexcept {
    if (this != &other) {
      close();
      descriptor_ = std::exchange(other.descriptor_, -1);
      generation_ = other.generation_;
    }
    return *this;
  }
  ~OwnDescriptor() { close(); }

  int number() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }
  bool is_ours() const;  // false in a forked child
  void close();

 private:
  static std::unique_lock<std::mutex> hold_forks();
  void own(int descriptor);  // under the lock

  int descriptor_ = -1;
  unsigned generation_ = 0;
};

// Whether this process is the one that made it, or a child that was forked since. For objects with threads,
// locks and connections, which a child must leave as they are.
class Birthplace {
 public:
  Birthplace();
  bool is_here() const;

 private:
  unsigned generation_;
};

}  // namespace weft::process
