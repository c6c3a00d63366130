#include "transport/verbs/registration_cache.h"

#include <algorithm>
#include <cassert>
#include <string>

namespace weft::verbs {
namespace {

std::string megabytes(std::size_t bytes) {
  return std::to_string(bytes >> 20) + " MiB";
}

}  // namespace

RegistrationCache::RegistrationCache(std::shared_ptr<Registrar> registrar, Limits limits)
    : registrar_(std::move(registrar)), limits_(limits) {}

RegistrationCache::~RegistrationCache() {
  Removed removed;
  for (auto& [key, entry] : entries_) {
    assert(entry->holds == 0 && "registrations are held when their cache goes");
    removed.push_back(std::move(entry));
  }
  deregister(removed);
}

Result<RegistrationCache::PromiseId> RegistrationCache::promise(std::uintptr_t address, std::size_t bytes,
                                                                MemoryOrigin origin) {
  const Range range{address, address + bytes};
  if (bytes == 0 || range.end < range.begin) {
    return Status(StatusCode::kInvalidArgument,
                  "memory of no size, or beyond the end of all addresses, cannot be "
                  "registered");
  }
  const std::lock_guard lock(mutex_);
  if (promises_.size() >= limits_.promises) {
    return Status(StatusCode::kResourceExhausted,
                  std::to_string(limits_.promises) +
                      " pieces of memory are registered, which is the limit; are some never deregistered?");
  }
  const auto id = static_cast<PromiseId>(++last_promise_);
  promise_places_[last_promise_] = promises_.emplace(range.begin, Promise{id, range, origin});
  largest_promise_bytes_ = std::max(largest_promise_bytes_, range.bytes());
  return id;
}

bool RegistrationCache::withdraw(PromiseId promise) {
  Removed removed;
  {
    const std::lock_guard lock(mutex_);
    const auto found = promise_places_.find(static_cast<std::uint64_t>(promise));
    if (found == promise_places_.end()) return false;
    const Range range = found->second->second.range;
    promises_.erase(found->second);
    promise_places_.erase(found);
    ++withdrawals_;
    std::vector<Entry*> lost;
    const std::uintptr_t first = range.begin - std::min(range.begin, largest_entry_bytes_);
    for (auto it = findable_.lower_bound(first); it != findable_.end() && it->first < range.end; ++it) {
      Entry* entry = it->second;
      if (!entry->promised || !entry->range.overlaps(range)) continue;
      // Where another promise covers it the pages have been the same ones all the time.
      if (entry->dmabuf_of == promise || !is_promised(entry->range)) lost.push_back(entry);
    }
    for (Entry* entry : lost) {
      ++statistics_.withdrawn;
      hide(entry);
      if (entry->holds == 0) removed.push_back(take(entry));
    }
  }
  deregister(removed);
  return true;
}

Result<RegistrationCache::Held> RegistrationCache::hold(std::uintptr_t address, std::size_t bytes,
                                                        MemoryAccess access) {
  const Range range{address, address + bytes};
  if (bytes == 0 || range.end < range.begin) {
    return Status(StatusCode::kInvalidArgument,
                  "memory of no size, or beyond the end of all addresses, cannot be "
                  "registered");
  }
  Plan plan;
  std::uint64_t withdrawals_before = 0;
  {
    const std::lock_guard lock(mutex_);
    if (Entry* entry = find(range, access)) {
      ++statistics_.hits;
      return grant(entry);
    }
    ++statistics_.misses;
    plan = plan_for(range);
    withdrawals_before = withdrawals_;
  }
  auto registration = register_memory(plan, access);
  if (!registration && plan.range.bytes() > range.bytes() && plan.dmabuf_of == PromiseId::kNone) {
    // All of what was promised is too much, or is of several kinds: what is needed now may do.
    plan = {range, true, PromiseId::kNone, {}};
    registration = register_memory(plan, access);
  }
  if (!registration) {
    const std::lock_guard lock(mutex_);
    ++statistics_.failures;
    return registration.status();
  }
  Removed removed;
  const Held held = insert(plan, access, *registration, withdrawals_before, &removed);
  deregister(removed);
  return held;
}

void RegistrationCache::release(const Held& held) {
  Removed removed;
  {
    const std::lock_guard lock(mutex_);
    Entry* entry = held.entry;
    assert(entry->holds > 0);
    // One that lives by its holders is certain only while the first of them is there.
    if (!entry->promised) hide(entry);
    if (--entry->holds > 0) return;
    if (entry->findable) {
      idle_.splice(idle_.end(), entry->parked);
      return;
    }
    removed.push_back(take(entry));
  }
  deregister(removed);
}

void RegistrationCache::disown(const Held& held) {
  const std::lock_guard lock(mutex_);
  if (!held.entry->promised) hide(held.entry);
}

RegistrationStatistics RegistrationCache::statistics() const {
  const std::lock_guard lock(mutex_);
  RegistrationStatistics statistics = statistics_;
  statistics.entries = entries_.size();
  statistics.idle_entries = idle_.size();
  return statistics;
}

// One that reaches over all of `range` with at least this access.
RegistrationCache::Entry* RegistrationCache::find(const Range& range, MemoryAccess access) {
  for (auto it = findable_.upper_bound(range.begin); it != findable_.begin();) {
    Entry* entry = (--it)->second;
    if (range.begin - entry->range.begin > largest_entry_bytes_) return nullptr;
    if (entry->range.contains(range) && entry->access >= access) return entry;
  }
  return nullptr;
}

// Whether promises that are alive cover all of `range`, one or several together.
bool RegistrationCache::is_promised(const Range& range) const {
  std::uintptr_t covered_to = range.begin;
  auto it = promises_.lower_bound(range.begin - std::min(range.begin, largest_promise_bytes_));
  for (; it != promises_.end() && it->first <= covered_to && covered_to < range.end; ++it) {
    covered_to = std::max(covered_to, it->second.range.end);
  }
  return covered_to >= range.end;
}

// All of the smallest promise around `range`; a dmabuf before addresses, for those may mean nothing to the
// kernel.
RegistrationCache::Plan RegistrationCache::plan_for(const Range& range) const {
  const Promise* best = nullptr;
  const auto better = [](const Promise& a, const Promise& b) {
    const bool a_is_dmabuf = a.origin.dmabuf >= 0, b_is_dmabuf = b.origin.dmabuf >= 0;
    return a_is_dmabuf != b_is_dmabuf ? a_is_dmabuf : a.range.bytes() < b.range.bytes();
  };
  for (auto it = promises_.upper_bound(range.begin); it != promises_.begin();) {
    const Promise& promise = (--it)->second;
    if (range.begin - promise.range.begin > largest_promise_bytes_) break;
    if (promise.range.contains(range) && (best == nullptr || better(promise, *best))) best = &promise;
  }
  if (best == nullptr) return {range, is_promised(range), PromiseId::kNone, {}};
  const bool is_dmabuf = best->origin.dmabuf >= 0;
  return {best->range, true, is_dmabuf ? best->id : PromiseId::kNone, best->origin};
}

RegistrationCache::Held RegistrationCache::grant(Entry* entry) {
  if (entry->holds++ == 0) park(entry);
  return {entry->registration.local_key, entry->registration.remote_key, entry};
}

// Counts `bytes` as reserved where they fit, after those that nobody holds have gone as far as needed.
Status RegistrationCache::make_room(std::size_t bytes, Removed* removed) {
  const auto fits = [&] {
    const std::size_t used = statistics_.bytes + reserved_bytes_;
    return entries_.size() + reserved_entries_ < limits_.entries && used <= limits_.bytes &&
           bytes <= limits_.bytes - used;
  };
  while (!fits() && !idle_.empty()) drop_oldest(removed);
  if (!fits()) {
    return {StatusCode::kResourceExhausted,
            "registering " + megabytes(bytes) + " more would exceed a limit: " +
                std::to_string(entries_.size()) + " of " + std::to_string(limits_.entries) +
                " registrations with " + megabytes(statistics_.bytes) + " are in use"};
  }
  ++reserved_entries_;
  reserved_bytes_ += bytes;
  return Status::ok();
}

void RegistrationCache::drop_oldest(Removed* removed) {
  Entry* oldest = idle_.front();
  hide(oldest);
  removed->push_back(take(oldest));
  ++statistics_.dropped;
}

// It is not found any more.
void RegistrationCache::hide(Entry* entry) {
  if (!entry->findable) return;
  entry->findable = false;
  findable_.erase(entry->place);
  if (entry->holds == 0) park(entry);
}

// Out of the cache, to be deregistered without the lock. It is hidden already.
std::unique_ptr<RegistrationCache::Entry> RegistrationCache::take(Entry* entry) {
  const auto found = entries_.find(entry);
  std::unique_ptr<Entry> taken = std::move(found->second);
  entries_.erase(found);
  statistics_.bytes -= taken->range.bytes();
  return taken;
}

// Those that `newer` can stand in for need not be kept.
void RegistrationCache::supersede(const Entry& newer, Removed* removed) {
  std::vector<Entry*> old;
  for (auto it = findable_.lower_bound(newer.range.begin);
       it != findable_.end() && it->first < newer.range.end; ++it) {
    Entry* entry = it->second;
    if (entry != &newer && entry->promised && newer.range.contains(entry->range) &&
        entry->access <= newer.access) {
      old.push_back(entry);
    }
  }
  for (Entry* entry : old) {
    hide(entry);
    if (entry->holds == 0) removed->push_back(take(entry));
  }
}

// Without the lock while the kernel works. What is reserved when this succeeds is given back by insert().
Result<Registrar::Registration> RegistrationCache::register_memory(const Plan& plan, MemoryAccess access) {
  for (bool again = false;; again = true) {
    Removed removed;
    Status room;
    {
      const std::lock_guard lock(mutex_);
      // The kernel may have refused for want of memory that others of ours keep.
      while (again && !idle_.empty()) drop_oldest(&removed);
      room = make_room(plan.range.bytes(), &removed);
    }
    deregister(removed);
    if (!room) return room;
    auto registration = registrar_->add(plan.range.begin, plan.range.bytes(), access, plan.origin);
    if (registration) return registration;
    const std::lock_guard lock(mutex_);
    --reserved_entries_;
    reserved_bytes_ -= plan.range.bytes();
    if (again || idle_.empty() || registration.status().code() != StatusCode::kResourceExhausted) {
      return registration;
    }
  }
}

RegistrationCache::Held RegistrationCache::insert(const Plan& plan, MemoryAccess access,
                                                  const Registrar::Registration& registration,
                                                  std::uint64_t withdrawals_before, Removed* removed) {
  const std::lock_guard lock(mutex_);
  --reserved_entries_;
  reserved_bytes_ -= plan.range.bytes();
  auto made = std::make_unique<Entry>();
  Entry* entry = made.get();
  entry->range = plan.range;
  entry->access = access;
  entry->registration = registration;
  entry->dmabuf_of = plan.dmabuf_of;
  entry->promised = plan.promised;
  entry->idle_place = entry->parked.insert(entry->parked.end(), entry);
  entries_.emplace(entry, std::move(made));
  statistics_.bytes += plan.range.bytes();
  ++statistics_.registrations;
  // A promise may have ended meanwhile, perhaps the one that this was made for: then it serves this holder
  // alone, who answers for its own part.
  if (plan.promised && withdrawals_ != withdrawals_before) {
    entry->promised = false;
  } else {
    entry->findable = true;
    entry->place = findable_.emplace(plan.range.begin, entry);
    largest_entry_bytes_ = std::max(largest_entry_bytes_, plan.range.bytes());
  }
  entry->holds = 1;
  if (entry->findable && entry->promised) supersede(*entry, removed);
  return {registration.local_key, registration.remote_key, entry};
}

void RegistrationCache::deregister(const Removed& removed) {
  for (const auto& entry : removed) registrar_->remove(entry->registration);
}

}  // namespace weft::verbs
