// Memory that is given back to the kernel and got again at the same address, with real registrations: what an
// old key reaches, and that the cache never hands one out. Runs in the machine with SoftRoCE.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/verbs/looped_queue_pair.h"
#include "transport/verbs/memory_registrar.h"
#include "transport/verbs/registration_cache.h"

namespace weft::verbs {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::size_t kBytes = 64 * 1024;

class RegistrationReuse : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto all = list_ports({});
    ASSERT_TRUE(all.is_ok()) << all.status().message();
    const auto usable = select_ports(*all);
    ASSERT_TRUE(usable.is_ok()) << usable.status().message();
    queues_ = std::make_unique<LoopedQueuePair>(usable->front());
    ASSERT_TRUE(queues_->is_ready());
    registrar_ =
        std::make_shared<VerbsRegistrar>(queues_->library(), queues_->domain(), usable->front().device, true);
    cache_ = std::make_unique<RegistrationCache>(registrar_);
    place_ = map(nullptr);
    ASSERT_NE(place_, nullptr);
  }
  void TearDown() override {
    cache_.reset();
    if (place_ != nullptr) munmap(place_, kBytes);
  }

  static char* map(void* at) {
    void* const mapped = mmap(at, kBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | (at == nullptr ? 0 : MAP_FIXED_NOREPLACE), -1, 0);
    return mapped == MAP_FAILED ? nullptr : static_cast<char*>(mapped);
  }
  // New memory at the same address.
  void remap() {
    ASSERT_EQ(munmap(place_, kBytes), 0);
    ASSERT_EQ(map(place_), place_);
  }
  // Glibc gives memory back in this way, and no mapping changes.
  void discard() { ASSERT_EQ(madvise(place_, kBytes, MADV_DONTNEED), 0); }

  std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(place_); }
  RegistrationCache::Held hold(std::size_t bytes = kBytes) {
    const auto held = cache_->hold(address(), bytes, MemoryAccess::kPeerWrites);
    EXPECT_TRUE(held.is_ok()) << held.status().message();
    return held ? *held : RegistrationCache::Held{};
  }
  // What a peer with the key writes must be what the process sees.
  void expect_peer_reaches_memory(const RegistrationCache::Held& held, int round,
                                  std::size_t bytes = kBytes) {
    std::vector<char> sent(bytes);
    for (std::size_t i = 0; i < bytes; ++i)
      sent[i] = static_cast<char>(i * 7 + static_cast<std::size_t>(round) + 1);
    ASSERT_TRUE(queues_->write(sent.data(), bytes, address(), held.remote_key));
    ASSERT_EQ(std::memcmp(place_, sent.data(), bytes), 0) << "round " << round << ": the key is stale";
  }

  std::unique_ptr<LoopedQueuePair> queues_;
  std::shared_ptr<VerbsRegistrar> registrar_;
  std::unique_ptr<RegistrationCache> cache_;
  char* place_ = nullptr;
};

// The fact that the design of the cache rests on. Were it otherwise, keys could be kept for longer.
TEST_F(RegistrationReuse, AnOldKeyReachesTheOldPagesAndNobodySaysSo) {
  for (const bool by_unmapping : {true, false}) {
    std::memset(place_, 'a', kBytes);
    const auto old = registrar_->add(address(), kBytes, MemoryAccess::kPeerWrites, {});
    ASSERT_TRUE(old.is_ok()) << old.status().message();
    by_unmapping ? remap() : discard();
    std::memset(place_, 'b', kBytes);
    const std::vector<char> sent(kBytes, 'c');
    EXPECT_TRUE(queues_->write(sent.data(), kBytes, address(), old->remote_key)) << "it is reported as done";
    EXPECT_EQ(std::count(place_, place_ + kBytes, 'b'), static_cast<std::ptrdiff_t>(kBytes))
        << "and went elsewhere";
    registrar_->remove(*old);
  }
}

TEST_F(RegistrationReuse, MemoryOfRequestsOnly) {
  for (int round = 0; round < 20; ++round) {
    const auto held = hold();
    const auto sharing = hold(100);
    expect_peer_reaches_memory(held, round);
    cache_->release(held);
    expect_peer_reaches_memory(sharing, round, 100);
    cache_->release(sharing);
    round % 2 == 0 ? remap() : discard();
  }
  EXPECT_EQ(cache_->statistics().registrations, 20u);
  EXPECT_EQ(cache_->statistics().hits, 20u);
}

TEST_F(RegistrationReuse, PromisedMemory) {
  for (int round = 0; round < 20; ++round) {
    const auto promise = cache_->promise(address(), kBytes);
    ASSERT_TRUE(promise.is_ok());
    for (int message = 0; message < 5; ++message) {
      const auto held = hold();
      expect_peer_reaches_memory(held, round * 5 + message);
      cache_->release(held);
    }
    ASSERT_TRUE(cache_->withdraw(*promise));
    round % 2 == 0 ? remap() : discard();
  }
  const RegistrationStatistics statistics = cache_->statistics();
  EXPECT_EQ(statistics.registrations, 20u);
  EXPECT_EQ(statistics.hits, 80u);
  std::printf(
      "registration cache: %.0f %% of %llu holds were hits\n",
      100.0 * static_cast<double>(statistics.hits) / static_cast<double>(statistics.hits + statistics.misses),
      static_cast<unsigned long long>(statistics.hits + statistics.misses));
}

TEST_F(RegistrationReuse, MemoryThatCannotBeWrittenMayBeSentOnly) {
  ASSERT_EQ(mprotect(place_, kBytes, PROT_READ), 0);
  const auto sent = cache_->hold(address(), kBytes, MemoryAccess::kRead);
  ASSERT_TRUE(sent.is_ok()) << sent.status().message();
  cache_->release(*sent);
  const auto received = cache_->hold(address(), kBytes, MemoryAccess::kPeerWrites);
  ASSERT_FALSE(received.is_ok());
  EXPECT_THAT(received.status().message(),
              AllOf(HasSubstr("cannot be registered"), HasSubstr("may it be written")));
}

TEST_F(RegistrationReuse, MemoryThatIsNotThereIsRefusedWithWords) {
  ASSERT_EQ(munmap(place_, kBytes), 0);
  const auto held = cache_->hold(address(), kBytes, MemoryAccess::kPeerWrites);
  ASSERT_FALSE(held.is_ok());
  EXPECT_THAT(held.status().message(), AllOf(HasSubstr("65536 bytes"), HasSubstr("is all of it mapped")));
  place_ = nullptr;
}

TEST_F(RegistrationReuse, AccessIsWhatIsNeeded) {
  EXPECT_EQ(registrar_->flags(MemoryAccess::kRead), unsigned{IBV_ACCESS_RELAXED_ORDERING});
  EXPECT_EQ(registrar_->flags(MemoryAccess::kPeerWrites),
            unsigned{IBV_ACCESS_RELAXED_ORDERING | IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE});
  const VerbsRegistrar strict(queues_->library(), queues_->domain(), "x", false);
  EXPECT_EQ(strict.flags(MemoryAccess::kRead), 0u);
}

}  // namespace
}  // namespace weft::verbs
