// Programs that keep their promises and otherwise do what they like with their memory never get a stale key.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/verbs/address_space.h"
#include "transport/verbs/registration_cache.h"

namespace weft::verbs {
namespace {

using PromiseId = RegistrationCache::PromiseId;

class Program {
 public:
  explicit Program(std::uint64_t seed) : random_(seed) {}

  void run(int steps) {
    for (int step = 0; step < steps; ++step) {
      switch (below(5)) {
        case 0:
          make_promise();
          break;
        case 1:
          end_promise();
          break;
        case 2:
          hold();
          break;
        case 3:
          release();
          break;
        default:
          remap();
      }
    }
    while (!holds_.empty()) release();
    while (!promises_.empty()) end_promise();
    EXPECT_EQ(space_->alive(), 0u) << "nothing is promised or held";
  }
  const RegistrationCache& cache() const { return cache_; }

 private:
  static constexpr std::uintptr_t kBase = 0x100000;
  static constexpr std::size_t kPages = 24;

  struct Range {
    std::uintptr_t address;
    std::size_t bytes;
  };
  struct Hold {
    Range range;
    MemoryAccess access;
    RegistrationCache::Held held;
    bool owned = true;
  };

  std::size_t below(std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_);
  }
  Range any_range() {
    const std::size_t first = below(kPages * kPage), bytes = 1 + below((below(2) == 0 ? 2 : 10) * kPage);
    return {kBase + first, std::min(bytes, kPages * kPage - first)};
  }
  static bool touches_page(const Range& range, std::uintptr_t page) {
    return range.address / kPage <= page && page <= (range.address + range.bytes - 1) / kPage;
  }

  void make_promise() {
    if (promises_.size() == 6) return;
    const Range range = any_range();
    promises_.emplace_back(range, *cache_.promise(range.address, range.bytes));
  }
  void end_promise() {
    if (promises_.empty()) return;
    const auto which = promises_.begin() + static_cast<std::ptrdiff_t>(below(promises_.size()));
    EXPECT_TRUE(cache_.withdraw(which->second));
    promises_.erase(which);
  }
  void hold() {
    if (holds_.size() == 5) return;
    const Range range = any_range();
    const auto access = below(2) == 0 ? MemoryAccess::kRead : MemoryAccess::kPeerWrites;
    const auto held = cache_.hold(range.address, range.bytes, access);
    if (!held) return;  // at a limit
    EXPECT_TRUE(space_->is_good(*held, range.address, range.bytes, access));
    holds_.push_back({range, access, *held});
  }
  void release() {
    if (holds_.empty()) return;
    const auto which = holds_.begin() + static_cast<std::ptrdiff_t>(below(holds_.size()));
    if (which->owned) {
      EXPECT_TRUE(space_->is_good(which->held, which->range.address, which->range.bytes, which->access));
      if (below(4) == 0) {
        cache_.disown(which->held);
        which->owned = false;
        return;
      }
    }
    cache_.release(which->held);
    holds_.erase(which);
  }
  // New memory on some pages for which nobody has answered.
  void remap() {
    for (int i = 0; i < 8; ++i) {
      const std::uintptr_t page = kBase / kPage + below(kPages);
      bool free = true;
      for (const auto& [range, id] : promises_) free = free && !touches_page(range, page);
      for (const Hold& held : holds_) free = free && !(held.owned && touches_page(held.range, page));
      if (free) space_->remap(page * kPage, kPage);
    }
  }

  std::mt19937_64 random_;
  std::shared_ptr<AddressSpace> space_ = std::make_shared<AddressSpace>();
  RegistrationCache cache_{space_, {.entries = 7, .bytes = 60 * kPage, .promises = 100}};
  std::vector<std::pair<Range, PromiseId>> promises_;
  std::vector<Hold> holds_;
};

TEST(RegistrationCacheSeeds, NoKeyIsEverStale) {
  std::uint64_t hits = 0;
  for (std::uint64_t seed = 1; seed <= 1000 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Program program(seed);
    program.run(400);
    hits += program.cache().statistics().hits;
  }
  EXPECT_GT(hits, 1000u) << "or there was nothing to see";
}

TEST(RegistrationCacheThreads, ManyAtOnce) {
  auto space = std::make_shared<AddressSpace>();
  RegistrationCache cache(space, {.entries = 6, .bytes = SIZE_MAX, .promises = 100});
  std::atomic<int> bad = 0;
  const auto work = [&](unsigned number) {
    std::mt19937_64 random(number);
    const std::uintptr_t own = 0x1000000 * (number + 1);
    for (int round = 0; round < 300; ++round) {
      const auto promised = cache.promise(own, 16 * kPage);
      for (int i = 0; i < 5; ++i) {
        // A part of its own memory, and one of memory that all share and nobody promises or changes.
        for (const std::uintptr_t base : {own, std::uintptr_t{0x100000}}) {
          const std::uintptr_t address = base + kPage * (random() % 8);
          const auto held = cache.hold(address, 3 * kPage, MemoryAccess::kPeerWrites);
          if (!held) continue;  // all others are held
          if (!space->is_good(*held, address, 3 * kPage, MemoryAccess::kPeerWrites)) ++bad;
          cache.release(*held);
        }
      }
      if (!cache.withdraw(*promised)) ++bad;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(space->alive(), 0u);
}

}  // namespace
}  // namespace weft::verbs
