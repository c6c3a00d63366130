#include "bench/conform/blackbox.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <new>

namespace weft::bench::conform {

Blackbox::Shared* Blackbox::shared_ = nullptr;
std::atomic<int> Blackbox::generation_{1};

void Blackbox::after_fork() {
  generation_.fetch_add(1);
}

void Blackbox::install() {
  if (!shared_) {
    void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    shared_ = static_cast<Shared*>(memory);
  }
  std::memset(static_cast<void*>(shared_), 0, sizeof(Shared));
  new (shared_) Shared{};
}

int64_t Blackbox::now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

void Blackbox::note_step(const char* step) {
  if (shared_) std::snprintf(shared_->step, sizeof(shared_->step), "%s", step);
}

std::string Blackbox::last_step() {
  return shared_ ? std::string(shared_->step) : std::string();
}

Blackbox::CallInProgress Blackbox::oldest_call() {
  CallInProgress oldest;
  if (!shared_) return oldest;
  for (const Slot& slot : shared_->slots) {
    const int64_t since_ns = slot.since_ns.load(std::memory_order_acquire);
    const char* name = slot.name.load(std::memory_order_relaxed);
    if (since_ns == 0 || !name) continue;
    if (oldest.since_ns == 0 || since_ns < oldest.since_ns) oldest = {name, since_ns};
  }
  return oldest;
}

Blackbox::Slot* Blackbox::slot_of_thread() {
  thread_local Slot* slot = nullptr;
  thread_local int owner = 0;
  const int current = generation_.load(std::memory_order_relaxed);
  if (owner != current) {
    owner = current;
    slot = nullptr;
    if (shared_) {
      const int index = shared_->threads.fetch_add(1);
      if (index < kThreads) slot = &shared_->slots[index];
    }
  }
  return slot;
}

CallNote::CallNote(const char* name) : slot_(Blackbox::slot_of_thread()) {
  if (!slot_) return;
  slot_->name.store(name, std::memory_order_relaxed);
  slot_->since_ns.store(Blackbox::now_ns(), std::memory_order_release);
}

CallNote::~CallNote() {
  if (slot_) slot_->since_ns.store(0, std::memory_order_release);
}

}  // namespace weft::bench::conform
