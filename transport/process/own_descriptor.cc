#include "transport/process/own_descriptor.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <vector>

namespace weft::process {
namespace {

// Never destroyed: descriptors may be closed after the destructors of static objects have run.
struct Registry {
  std::mutex mutex;         // held across fork(), so that the child finds everything else here whole
  std::vector<bool> owned;  // by descriptor
  std::atomic<unsigned> generation{0};
};

Registry& registry();

void before_fork() {
  registry().mutex.lock();
}

void after_fork_in_parent() {
  registry().mutex.unlock();
}

// Other threads may have been anywhere when the process was forked: nothing here allocates or takes a lock.
void after_fork_in_child() {
  Registry& known = registry();
  for (std::size_t i = 0; i < known.owned.size(); ++i) {
    if (known.owned[i]) ::close(static_cast<int>(i));
    known.owned[i] = false;
  }
  known.generation.fetch_add(1, std::memory_order_relaxed);
  known.mutex.unlock();
}

// The C library forgets the handlers when the object that they lie in is unloaded.
Registry& make_registry() {
  static Registry& made = *new Registry();
  (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  return made;
}

Registry& registry() {
  static Registry& made = make_registry();
  return made;
}

unsigned present_generation() {
  return registry().generation.load(std::memory_order_relaxed);
}

}  // namespace

std::unique_lock<std::mutex> OwnDescriptor::hold_forks() {
  return std::unique_lock(registry().mutex);
}

OwnDescriptor::OwnDescriptor(int descriptor) {
  std::unique_lock lock = hold_forks();
  own(descriptor);
}

void OwnDescriptor::own(int descriptor) {
  if (descriptor < 0) return;
  Registry& known = registry();
  descriptor_ = descriptor;
  generation_ = present_generation();
  std::size_t place = static_cast<std::size_t>(descriptor);
  if (known.owned.size() <= place) known.owned.resize(place + 1);
  known.owned[place] = true;
}

bool OwnDescriptor::is_ours() const {
  return is_open() && generation_ == present_generation();
}

void OwnDescriptor::close() {
  if (descriptor_ < 0) return;
  std::unique_lock lock = hold_forks();
  int descriptor = std::exchange(descriptor_, -1);
  if (generation_ != present_generation()) return;
  registry().owned[static_cast<std::size_t>(descriptor)] = false;
  ::close(descriptor);
}

Birthplace::Birthplace() : generation_(present_generation()) {}

bool Birthplace::is_here() const {
  return generation_ == present_generation();
}

}  // namespace weft::process
