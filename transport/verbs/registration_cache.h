// The memory registrations of one protection domain, shared by what uses the same memory at the same time,
// and kept beyond that only where somebody answers for the memory.
//
// What makes a cache of registrations dangerous: a registration pins pages, not addresses. When a process
// gives memory back to the kernel and gets new memory at the same address, the old key still works and still
// means the old pages. Nothing fails; a NIC sends what was there before, or writes where nobody looks
// (tests/verbs/registration_reuse_test shows it). So a key may be handed out only while it is certain that
// the address space has not changed beneath it. The ways to find out that it has changed, and why Weft builds
// on none of them:
//
//   - userfaultfd's events for munmap, mremap and MADV_DONTNEED: the caller of munmap() waits until we have
//   read the
//     event, so a stalled thread of ours, or a fork, stops the application; containers usually forbid it;
//     without privileges a system call that touches a missing page of a watched range fails; it covers
//     neither file mappings nor device memory; and one range has one watcher, which may be somebody else.
//   - Hooks of munmap, mmap, mremap, madvise, brk, shmdt: glibc's own calls (free() giving memory back) do
//   not go
//     through the symbols, so it takes patching of machine code in a process that is not ours; system calls
//     made directly (Go, static programs) are missed, and one miss is silent corruption.
//   - Asking the kernel at each use: without privileges it does not tell physical pages, and MADV_DONTNEED
//   changes
//     them without any trace in the mappings.
//   - On-demand paging: right, but few devices have it, and it is slow where it faults.
//
// What is certain instead is what callers guarantee anyway:
//
//   - A request's buffer stays as it is until the request is reported done. hold() and release() span that
//   time, and
//     a registration made for a request may serve others that lie within it, until the first of its holders
//     lets go.
//   - Memory that was registered through an interface with that meaning (NCCL: from regMr to deregMr; buffers
//   of
//     Weft's own) stays as it is until it is taken back. promise() and withdraw() span that time. Within it
//     registrations are kept when nobody holds them and are used again; this is where hits come from.
//
// Ranges are exact to the byte and not rounded to pages: a peer that knows a key may write wherever it
// reaches, and what else lies in the first and last page is none of its business (I8). Promises that lie side
// by side are not merged for the same reason, and since one withdrawal would end the registration of all; a
// range that crosses from one into the other gets a registration of its own. A registration that is contained
// in a new one with at least the same access is superseded by it.
//
// Bounded (I7): limits in Limits; where one is reached, those that nobody holds are dropped, the least
// recently used first, and when that does not help the caller gets kResourceExhausted.
//
// Threads: any. The lock is not held while the kernel registers or deregisters, which takes milliseconds for
// large memory. Whoever must not share a lock with other connections keeps a hold for as long as the promise
// lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "weft/status.h"

namespace weft::verbs {

enum class MemoryAccess : std::uint8_t {
  kRead,        // the NIC reads it for us: a send. May lie in memory that cannot be written
  kPeerWrites,  // the NIC reads it, and a peer that knows the key writes there: a receive
  // As kPeerWrites, and we read it by its remote key: a receive in device memory, which is flushed so. Peers
  // cannot read it, since none of the queue pairs that they reach lets anybody read.
  kPeerWritesAndFlush
};

// Where a promise's memory comes from, if not from plain (or peer-memory) addresses. A part of a dmabuf; the
// descriptor stays open until the promise is withdrawn.
struct MemoryOrigin {
  int dmabuf = -1;           // -1: none
  std::uint64_t offset = 0;  // of the promise's first byte in it
};

// Makes memory known to a device, and unknown again. Any thread, several at once.
class Registrar {
 public:
  struct Registration {
    std::uint32_t local_key = 0;
    std::uint32_t remote_key = 0;
    void* handle = nullptr;
  };

  virtual ~Registrar() = default;
  // kResourceExhausted where the kernel refuses for want of memory that may be pinned. The message names the
  // device and says what to do.
  virtual Result<Registration> add(std::uintptr_t address, std::size_t bytes, MemoryAccess access,
                                   const MemoryOrigin& origin) = 0;
  virtual void remove(const Registration& registration) = 0;
};

struct RegistrationStatistics {
  std::uint64_t hits = 0;           // holds that met a registration
  std::uint64_t misses = 0;         // those that had to make one
  std::uint64_t registrations = 0;  // made
  std::uint64_t failures = 0;       // holds that ended in an error
  std::uint64_t dropped = 0;        // at a limit, the least recently used
  std::uint64_t withdrawn = 0;      // because a promise ended
  std::size_t entries = 0;          // now
  std::size_t idle_entries = 0;     // of these nobody holds
  std::size_t bytes = 0;            // now
};

class RegistrationCache {
  struct Entry;

 public:
  struct Limits {
    std::size_t entries = 4096;
    std::size_t bytes = SIZE_MAX;  // the kernel has its own limit (RLIMIT_MEMLOCK), which counts all the same
    std::size_t promises = 65536;
  };
  struct Held {
    std::uint32_t local_key = 0;
    std::uint32_t remote_key = 0;
    Entry* entry = nullptr;
  };
  enum class PromiseId : std::uint64_t { kNone = 0 };

  explicit RegistrationCache(std::shared_ptr<Registrar> registrar)
      : RegistrationCache(std::move(registrar), Limits()) {}
  RegistrationCache(std::shared_ptr<Registrar> registrar, Limits limits);
  // Nothing may be held any more.
  ~RegistrationCache();
  RegistrationCache(const RegistrationCache&) = delete;
  RegistrationCache& operator=(const RegistrationCache&) = delete;

  // Until withdraw() the pages behind [address, address + bytes) stay the same ones. Nothing is registered
  // before it is used. Promises may overlap and repeat.
  Result<PromiseId> promise(std::uintptr_t address, std::size_t bytes, MemoryOrigin origin = {});
  // To be called before the memory changes. Registrations that no other promise covers are gone when this
  // returns; those that are held go with the last hold and are not found again. False: there is no such
  // promise.
  bool withdraw(PromiseId promise);

  // Keys for [address, address + bytes), bytes > 0, until release(). The caller answers for the memory until
  // then.
  Result<Held> hold(std::uintptr_t address, std::size_t bytes, MemoryAccess access);
  // Before the owner of the memory is told that it may do with it as it likes.
  void release(const Held& held);
  // The owner of the memory is about to be told, but the device may still use the registration (a request
  // that failed). It is not found again and stays until release().
  void disown(const Held& held);

  RegistrationStatistics statistics() const;

 private:
  struct Range {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    std::size_t bytes() const { return end - begin; }
    bool contains(const Range& other) const { return begin <= other.begin && other.end <= end; }
    bool overlaps(const Range& other) const { return begin < other.end && other.begin < end; }
  };
  struct Promise {
    PromiseId id;
    Range range;
    MemoryOrigin origin;
  };
  struct Entry {
    Range range;
    MemoryAccess access = MemoryAccess::kRead;
    Registrar::Registration registration;
    // From which promise's dmabuf it was made, or kNone.
    PromiseId dmabuf_of = PromiseId::kNone;
    bool promised = false;  // else it lives by its holders alone
    bool findable = false;
    std::size_t holds = 0;
    std::multimap<std::uintptr_t, Entry*>::iterator place;  // where findable
    // Its node of idle_, which it keeps here while it is held or not findable: parking allocates nothing.
    std::list<Entry*> parked;
    std::list<Entry*>::iterator idle_place;
  };
  // What a hold that met nothing would register.
  struct Plan {
    Range range;
    bool promised = false;
    PromiseId dmabuf_of = PromiseId::kNone;
    MemoryOrigin origin;  // offset is that of range.begin
  };
  using Removed = std::vector<std::unique_ptr<Entry>>;

  Entry* find(const Range& range, MemoryAccess access);
  bool is_promised(const Range& range) const;
  Plan plan_for(const Range& range) const;
  Held grant(Entry* entry);
  Status make_room(std::size_t bytes, Removed* removed);
  void drop_oldest(Removed* removed);
  void hide(Entry* entry);
  void park(Entry* entry) { entry->parked.splice(entry->parked.begin(), idle_, entry->idle_place); }
  std::unique_ptr<Entry> take(Entry* entry);
  void supersede(const Entry& newer, Removed* removed);
  Result<Registrar::Registration> register_memory(const Plan& plan, MemoryAccess access);
  Held insert(const Plan& plan, MemoryAccess access, const Registrar::Registration& registration,
              std::uint64_t withdrawals_before, Removed* removed);
  void deregister(const Removed& removed);

  const std::shared_ptr<Registrar> registrar_;
  const Limits limits_;

  mutable std::mutex mutex_;
  std::multimap<std::uintptr_t, Promise> promises_;  // by first byte
  std::unordered_map<std::uint64_t, std::multimap<std::uintptr_t, Promise>::iterator> promise_places_;
  std::size_t largest_promise_bytes_ = 0;  // ever; bounds a search
  std::uint64_t last_promise_ = 0;
  std::uint64_t withdrawals_ = 0;
  std::unordered_map<Entry*, std::unique_ptr<Entry>> entries_;
  std::multimap<std::uintptr_t, Entry*> findable_;  // by first byte
  std::size_t largest_entry_bytes_ = 0;             // ever; bounds a search
  std::list<Entry*> idle_;                          // the least recently used first
  std::size_t reserved_entries_ = 0;                // being registered at the moment
  std::size_t reserved_bytes_ = 0;
  RegistrationStatistics statistics_;
};

}  // namespace weft::verbs
