// The registrations that a link's requests hold: which memory the NICs may touch for which request, from the
// first frame that refers to it until the caller has its buffer back, and a little longer where a NIC is not
// done with it.
//
// A message can have arrived, and been acknowledged by the peer, while the sending NIC does not know it yet,
// because an acknowledgement of the other NIC was lost. Then it will send again what the peer's NIC drops;
// were the registration gone, it would report an error and the path would fail. So the registrations of such
// sends linger.
//
// Threads: under the link's lock; the caches are shared by links and take any thread. Nothing allocates after
// it is made but in the caches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "transport/multipath/types.h"
#include "transport/verbs/memory_uses.h"
#include "transport/verbs/registration_cache.h"
#include "transport/verbs/wire.h"
#include "weft/connection.h"
#include "weft/status.h"

namespace weft::verbs {

class HeldMemory {
 public:
  // `caches` has one a plane.
  HeldMemory(std::vector<std::shared_ptr<RegistrationCache>> caches, std::size_t paths);
  ~HeldMemory() { release_all(); }
  HeldMemory(const HeldMemory&) = delete;
  HeldMemory& operator=(const HeldMemory&) = delete;

  // The local key of a send's message on a plane. `base` and `bytes` are the whole message's.
  Result<std::uint32_t> hold_send(std::uint16_t slot, std::size_t plane, const std::byte* base,
                                  std::size_t bytes);
  // The path's NIC reads the send's buffer for this work request.
  void note_use(std::uint16_t slot, multipath::PathId path, std::uint32_t work_request) {
    uses_.note(slot, path, work_request);
  }
  void forget_uses(multipath::PathId path) { uses_.forget(path); }
  // The caller has the buffer back.
  template <typename IsDone>
  void finish_send(std::uint16_t slot, IsDone&& is_done) {
    if (sends_.counts[slot] == 0) return;
    if (uses_.are_over(slot, is_done)) {
      release(sends_, slot);
    } else {
      linger(slot);
    }
  }
  // Now and then: those that linger and need not any more.
  template <typename IsDone>
  void sweep(IsDone&& is_done) {
    for (std::size_t row = multipath::kSlots; lingering_ != 0 && row < kRows; ++row) {
      if (sends_.counts[row] == 0 || !uses_.are_over(row, is_done)) continue;
      release(sends_, row);
      --lingering_;
    }
  }

  // The keys of a receive, for all planes. One that was announced before keeps its keys.
  Status hold_receive(std::uint16_t slot, std::byte* at, std::size_t capacity, MemoryKind kind, Place& place);
  void release_receive(std::uint16_t slot) { release(receives_, slot); }
  // A peer knows the key of a receive that is not done.
  bool holds_receives() const { return receives_.held_rows != 0; }
  void release_all();

 private:
  // Rows of sends: one a slot, and behind them those that linger.
  static constexpr std::size_t kMostLingering = 32;
  static constexpr std::size_t kRows = multipath::kSlots + kMostLingering;

  struct Entry {
    bool held = false;
    RegistrationCache::Held memory;
  };
  struct Table {
    std::vector<Entry> entries;        // by row and plane
    std::vector<std::uint8_t> counts;  // of planes, by row
    std::size_t held_rows = 0;
  };

  Entry& entry_at(Table& table, std::size_t row, std::size_t plane) {
    return table.entries[row * caches_.size() + plane];
  }
  Result<Entry*> hold(Table& table, std::size_t row, std::size_t plane, const std::byte* at,
                      std::size_t bytes, MemoryAccess access);
  void release(Table& table, std::size_t row);
  void linger(std::uint16_t slot);

  std::vector<std::shared_ptr<RegistrationCache>> caches_;
  Table sends_, receives_;
  MemoryUses uses_;
  std::size_t lingering_ = 0;
  std::size_t next_lingering_ = 0;
};

}  // namespace weft::verbs
