#include "transport/verbs/held_memory.h"

#include <cassert>

#include <utility>

namespace weft::verbs {

using multipath::kSlots;

HeldMemory::HeldMemory(std::vector<std::shared_ptr<RegistrationCache>> caches, std::size_t paths)
    : caches_(std::move(caches)), uses_(kRows, paths) {
  sends_.entries.resize(kRows * caches_.size());
  sends_.counts.resize(kRows);
  receives_.entries.resize(kSlots * caches_.size());
  receives_.counts.resize(kSlots);
}

Result<HeldMemory::Entry*> HeldMemory::hold(Table& table, std::size_t row, std::size_t plane,
                                            const std::byte* at, std::size_t bytes, MemoryAccess access) {
  Entry& entry = entry_at(table, row, plane);
  if (entry.held) return &entry;
  auto memory = caches_[plane]->hold(reinterpret_cast<std::uintptr_t>(at), bytes, access);
  if (!memory) return memory.status();
  entry = {true, *memory};
  if (table.counts[row]++ == 0) ++table.held_rows;
  return &entry;
}

Result<std::uint32_t> HeldMemory::hold_send(std::uint16_t slot, std::size_t plane, const std::byte* base,
                                            std::size_t bytes) {
  auto entry = hold(sends_, slot, plane, base, bytes, MemoryAccess::kRead);
  if (!entry) return entry.status();
  return (*entry)->memory.local_key;
}

Status HeldMemory::hold_receive(std::uint16_t slot, std::byte* at, std::size_t capacity, MemoryKind kind,
                                Place& place) {
  assert(caches_.size() <= place.keys.size());
  const MemoryAccess access =
      kind == MemoryKind::kDevice ? MemoryAccess::kPeerWritesAndFlush : MemoryAccess::kPeerWrites;
  for (std::size_t plane = 0; plane < caches_.size(); ++plane) {
    auto entry = hold(receives_, slot, plane, at, capacity, access);
    if (!entry) return entry.status();
    place.keys[plane] = (*entry)->memory.remote_key;
  }
  place.key_count = static_cast<std::uint8_t>(caches_.size());
  return Status::ok();
}

// Where too many linger already, the one that has done so longest goes.
void HeldMemory::linger(std::uint16_t slot) {
  const std::size_t row = kSlots + next_lingering_;
  next_lingering_ = (next_lingering_ + 1) % kMostLingering;
  if (sends_.counts[row] != 0) {
    release(sends_, row);
    --lingering_;
  }
  for (std::size_t plane = 0; plane < caches_.size(); ++plane) {
    Entry& entry = entry_at(sends_, slot, plane);
    if (entry.held) caches_[plane]->disown(entry.memory);
    entry_at(sends_, row, plane) = std::exchange(entry, {});
  }
  sends_.counts[row] = std::exchange(sends_.counts[slot], 0);
  uses_.move(slot, row);
  ++lingering_;
}

void HeldMemory::release(Table& table, std::size_t row) {
  if (table.counts[row] == 0) return;
  for (std::size_t plane = 0; plane < caches_.size(); ++plane) {
    Entry& entry = entry_at(table, row, plane);
    if (entry.held) caches_[plane]->release(entry.memory);
    entry.held = false;
  }
  table.counts[row] = 0;
  --table.held_rows;
}

void HeldMemory::release_all() {
  for (Table* table : {&sends_, &receives_}) {
    for (std::size_t row = 0; row < table->counts.size(); ++row) release(*table, row);
  }
  lingering_ = 0;
}

}  // namespace weft::verbs
