// The cache's logic on an address space of our own, where a registration remembers which pages it was made
// of: what the kernel does, without the kernel.
#include "transport/verbs/registration_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "tests/algorithms/allocation_count.h"
#include "tests/verbs/address_space.h"

namespace weft::verbs {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using PromiseId = RegistrationCache::PromiseId;

class RegistrationCacheTest : public ::testing::Test {
 protected:
  std::shared_ptr<AddressSpace> space_ = std::make_shared<AddressSpace>();
  RegistrationCache cache_{space_};

  PromiseId promise(std::uintptr_t address, std::size_t bytes, MemoryOrigin origin = {}) {
    const auto id = cache_.promise(address, bytes, origin);
    EXPECT_TRUE(id.is_ok()) << id.status().message();
    return *id;
  }
  RegistrationCache::Held hold(std::uintptr_t address, std::size_t bytes,
                               MemoryAccess access = MemoryAccess::kPeerWrites) {
    const auto held = cache_.hold(address, bytes, access);
    EXPECT_TRUE(held.is_ok()) << held.status().message();
    EXPECT_TRUE(held && space_->is_good(*held, address, bytes, access))
        << "a stale key, or one that is too short";
    return held ? *held : RegistrationCache::Held{};
  }
  void touch(std::uintptr_t address, std::size_t bytes, MemoryAccess access = MemoryAccess::kPeerWrites) {
    cache_.release(hold(address, bytes, access));
  }
};

TEST_F(RegistrationCacheTest, WithoutAPromiseNothingOutlivesItsHolders) {
  touch(0x10000, 5000);
  EXPECT_EQ(space_->alive(), 0u);
  space_->remap(0x10000, 5000);
  touch(0x10000, 5000);
  EXPECT_EQ(cache_.statistics().registrations, 2u);
  EXPECT_EQ(cache_.statistics().hits, 0u);
}

TEST_F(RegistrationCacheTest, HoldersAtTheSameTimeShare) {
  const auto first = hold(0x10000, 8192);
  const auto second = hold(0x10800, 100);
  const auto third = hold(0x11fff, 1, MemoryAccess::kRead);
  EXPECT_EQ(second.local_key, first.local_key);
  EXPECT_EQ(third.local_key, first.local_key);
  const auto beyond = hold(0x11fff, 2);
  EXPECT_NE(beyond.local_key, first.local_key) << "the range is exact to the byte";
  cache_.release(second);
  cache_.release(beyond);
  cache_.release(first);
  EXPECT_EQ(space_->alive(), 1u);
  EXPECT_TRUE(space_->is_good(third, 0x11fff, 1, MemoryAccess::kRead));
  cache_.release(third);
  EXPECT_EQ(space_->alive(), 0u);
  EXPECT_EQ(cache_.statistics().hits, 2u);
}

// The first holder answers for all of the range, a later one for its own part only.
TEST_F(RegistrationCacheTest, NobodyJoinsAfterTheFirstHolderHasLetGo) {
  const auto first = hold(0x10000, 8 * kPage);
  const auto second = hold(0x10000, kPage);
  cache_.release(first);
  space_->remap(0x11000, 7 * kPage);  // which the owner may do now
  const auto third = hold(0x10000, 8 * kPage);
  const auto fourth = hold(0x17000, 16);
  for (const auto& held : {second, third, fourth}) cache_.release(held);
  EXPECT_EQ(space_->alive(), 0u);
}

TEST_F(RegistrationCacheTest, WhatIsDisownedIsNotFoundAndStays) {
  const auto failed = hold(0x10000, kPage);
  cache_.disown(failed);
  space_->remap(0x10000, kPage);
  touch(0x10000, kPage);
  EXPECT_EQ(space_->alive(), 1u) << "the device may still use the first";
  cache_.release(failed);
  EXPECT_EQ(space_->alive(), 0u);
}

TEST_F(RegistrationCacheTest, APromiseIsRegisteredOnceAsAWhole) {
  const PromiseId id = promise(0x20010, 1 << 20);
  EXPECT_EQ(space_->alive(), 0u) << "nothing before it is used";
  for (int i = 0; i < 100; ++i) touch(0x20010 + 4096u * static_cast<unsigned>(i), 4096);
  EXPECT_EQ(cache_.statistics().registrations, 1u);
  EXPECT_EQ(cache_.statistics().hits, 99u);
  EXPECT_EQ(space_->newest().address, 0x20010u);
  EXPECT_EQ(space_->newest().bytes, std::size_t{1} << 20);
  EXPECT_TRUE(cache_.withdraw(id));
  EXPECT_EQ(space_->alive(), 0u);
  EXPECT_FALSE(cache_.withdraw(id));
  EXPECT_FALSE(cache_.withdraw(PromiseId::kNone));
}

TEST_F(RegistrationCacheTest, AfterAWithdrawalTheSameAddressIsNewMemory) {
  for (int round = 0; round < 5; ++round) {
    const PromiseId id = promise(0x20000, 4 * kPage);
    touch(0x20000, 4 * kPage);
    touch(0x21000, kPage);
    ASSERT_TRUE(cache_.withdraw(id));
    space_->remap(0x20000, 4 * kPage);
  }
  EXPECT_EQ(cache_.statistics().registrations, 5u);
}

TEST_F(RegistrationCacheTest, WhatIsHeldAtAWithdrawalGoesWithTheLastHold) {
  const PromiseId id = promise(0x20000, 4 * kPage);
  const auto held = hold(0x20000, kPage);
  ASSERT_TRUE(cache_.withdraw(id));
  EXPECT_EQ(space_->alive(), 1u);
  space_->remap(0x21000, 3 * kPage);
  touch(0x20000, 4 * kPage);
  cache_.release(held);
  EXPECT_EQ(space_->alive(), 0u);
}

TEST_F(RegistrationCacheTest, OverlappingPromisesKeepWhatTheyCover) {
  const PromiseId all = promise(0x20000, 8 * kPage);
  const PromiseId again = promise(0x20000, 8 * kPage);
  touch(0x20000, kPage);
  ASSERT_TRUE(cache_.withdraw(all));
  EXPECT_EQ(space_->alive(), 1u) << "the other promise covers all of it";
  const PromiseId half = promise(0x20000, 4 * kPage);
  ASSERT_TRUE(cache_.withdraw(again));
  EXPECT_EQ(space_->alive(), 0u) << "the second half is nobody's";
  space_->remap(0x24000, 4 * kPage);
  touch(0x20000, 4 * kPage);
  touch(0x20000, 8 * kPage);
  EXPECT_EQ(space_->alive(), 1u);
  ASSERT_TRUE(cache_.withdraw(half));
  EXPECT_EQ(space_->alive(), 0u);
}

TEST_F(RegistrationCacheTest, TwoPromisesSideBySideCoverWhatCrossesThem) {
  const PromiseId left = promise(0x20000, 2 * kPage);
  const PromiseId right = promise(0x22000, 2 * kPage);
  touch(0x21800, kPage);
  touch(0x21800, kPage);
  EXPECT_EQ(cache_.statistics().hits, 1u);
  EXPECT_EQ(space_->newest().address, 0x21800u);
  ASSERT_TRUE(cache_.withdraw(right));
  EXPECT_EQ(space_->alive(), 0u);
  space_->remap(0x22000, 2 * kPage);
  touch(0x21800, kPage);
  ASSERT_TRUE(cache_.withdraw(left));
}

TEST_F(RegistrationCacheTest, AGapBetweenPromisesIsNotCovered) {
  promise(0x20000, 2 * kPage);
  promise(0x23000, 2 * kPage);
  touch(0x20000, 5 * kPage);
  EXPECT_EQ(space_->alive(), 0u);
}

TEST_F(RegistrationCacheTest, AStrongerRegistrationTakesTheWeakersPlace) {
  const PromiseId id = promise(0x20000, kPage);
  touch(0x20000, kPage, MemoryAccess::kRead);
  const auto reading = hold(0x20000, kPage, MemoryAccess::kRead);
  EXPECT_EQ(space_->newest().access, MemoryAccess::kRead) << "no more access than is needed";
  touch(0x20000, 64, MemoryAccess::kPeerWrites);
  EXPECT_EQ(space_->alive(), 2u);
  cache_.release(reading);
  EXPECT_EQ(space_->alive(), 1u);
  touch(0x20000, kPage, MemoryAccess::kRead);
  EXPECT_EQ(cache_.statistics().registrations, 2u);
  ASSERT_TRUE(cache_.withdraw(id));
}

TEST_F(RegistrationCacheTest, TheSmallestPromiseAroundARangeIsTaken) {
  promise(0x20000, 64 * kPage);
  promise(0x24000, 2 * kPage);
  promise(0x23000, 8 * kPage);
  touch(0x24000, 100);
  EXPECT_EQ(space_->newest().bytes, 2 * kPage);
}

TEST_F(RegistrationCacheTest, ADmabufGoesWithItsOwnPromise) {
  const PromiseId plain = promise(0x20000, 16 * kPage);
  const PromiseId dmabuf = promise(0x20000, 16 * kPage, {7, 0x1000});
  touch(0x21000, 100);
  EXPECT_EQ(space_->newest().origin.dmabuf, 7);
  EXPECT_EQ(space_->newest().origin.offset, 0x1000u);
  EXPECT_EQ(space_->newest().address, 0x20000u);
  ASSERT_TRUE(cache_.withdraw(dmabuf));
  EXPECT_EQ(space_->alive(), 0u) << "though the plain promise covers all of it";
  touch(0x21000, 100);
  EXPECT_EQ(space_->newest().origin.dmabuf, -1);
  ASSERT_TRUE(cache_.withdraw(plain));
}

TEST_F(RegistrationCacheTest, WhereAllOfAPromiseCannotBeRegisteredAPartIs) {
  promise(0x20000, 16 * kPage);
  space_->unregistrable = 0x2f000;
  touch(0x20000, 2 * kPage);
  EXPECT_EQ(space_->newest().bytes, 2 * kPage);
  const auto held = cache_.hold(0x2e000, 2 * kPage, MemoryAccess::kRead);
  ASSERT_FALSE(held.is_ok());
  EXPECT_THAT(held.status().message(), HasSubstr("bad page"));
  EXPECT_EQ(cache_.statistics().failures, 1u);
}

TEST_F(RegistrationCacheTest, NonsenseIsRefused) {
  EXPECT_EQ(cache_.hold(0x1000, 0, MemoryAccess::kRead).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cache_.hold(UINTPTR_MAX - 10, 100, MemoryAccess::kRead).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(cache_.promise(0x1000, 0).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cache_.promise(UINTPTR_MAX - 10, 100).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(RegistrationCacheTest, APromiseThatEndsWhileItIsRegisteredIsNotKept) {
  const PromiseId id = promise(0x20000, 4 * kPage);
  space_->during_add = [&] { cache_.withdraw(id); };
  const auto held = hold(0x20000, kPage);
  space_->during_add = nullptr;
  space_->remap(0x21000, 3 * kPage);
  const auto other = hold(0x21000, kPage);
  EXPECT_NE(other.local_key, held.local_key);
  cache_.release(held);
  cache_.release(other);
  EXPECT_EQ(space_->alive(), 0u);
}

TEST_F(RegistrationCacheTest, AHitAllocatesNothing) {
  promise(0x20000, 4 * kPage);
  touch(0x20000, kPage);
  if (!testing_support::can_count_allocations()) GTEST_SKIP() << "a sanitizer has its own operator new";
  testing_support::count_allocations_of_this_thread(true);
  const int before = testing_support::allocations_counted();
  for (int i = 0; i < 10; ++i) cache_.release(cache_.hold(0x21000, 512, MemoryAccess::kPeerWrites).value());
  const int after = testing_support::allocations_counted();
  testing_support::count_allocations_of_this_thread(false);
  EXPECT_EQ(after, before);
}

class LimitedCacheTest : public ::testing::Test {
 protected:
  std::shared_ptr<AddressSpace> space_ = std::make_shared<AddressSpace>();
  RegistrationCache cache_{space_, {.entries = 3, .bytes = 10 * kPage, .promises = 5}};

  Status touch(std::uintptr_t address) {
    const auto held = cache_.hold(address, 100, MemoryAccess::kRead);
    if (!held) return held.status();
    EXPECT_TRUE(space_->is_good(*held, address, 100, MemoryAccess::kRead));
    cache_.release(*held);
    return Status::ok();
  }
};

TEST_F(LimitedCacheTest, TheLeastRecentlyUsedGoesFirst) {
  for (std::uintptr_t at : {0x10000, 0x20000, 0x30000, 0x40000})
    ASSERT_TRUE(cache_.promise(at, kPage).is_ok());
  for (std::uintptr_t at : {0x10000, 0x20000, 0x30000, 0x10000, 0x40000}) EXPECT_TRUE(touch(at));
  EXPECT_EQ(cache_.statistics().dropped, 1u);
  EXPECT_TRUE(touch(0x10000));
  EXPECT_TRUE(touch(0x30000));
  EXPECT_EQ(cache_.statistics().registrations, 4u) << "0x20000 had to go";
  EXPECT_TRUE(touch(0x20000));
  EXPECT_EQ(cache_.statistics().registrations, 5u);
  EXPECT_EQ(cache_.statistics().entries, 3u);
  EXPECT_EQ(cache_.statistics().idle_entries, 3u);
}

TEST_F(LimitedCacheTest, WhatIsHeldIsNotDropped) {
  std::vector<RegistrationCache::Held> held;
  for (std::uintptr_t at : {0x10000, 0x20000, 0x30000})
    held.push_back(*cache_.hold(at, 64, MemoryAccess::kRead));
  const auto fourth = cache_.hold(0x40000, 64, MemoryAccess::kRead);
  ASSERT_FALSE(fourth.is_ok());
  EXPECT_EQ(fourth.status().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(fourth.status().message(), HasSubstr("3 of 3 registrations"));
  cache_.release(held[1]);
  const auto fifth = cache_.hold(0x40000, 64, MemoryAccess::kRead);
  ASSERT_TRUE(fifth.is_ok());
  for (const auto& each : {held[0], held[2], *fifth}) cache_.release(each);
}

TEST_F(LimitedCacheTest, BytesAreBounded) {
  ASSERT_TRUE(cache_.promise(0x10000, 6 * kPage).is_ok());
  ASSERT_TRUE(cache_.promise(0x20000, 6 * kPage).is_ok());
  ASSERT_TRUE(cache_.promise(0x30000, 11 * kPage).is_ok());
  EXPECT_TRUE(touch(0x10000));
  EXPECT_TRUE(touch(0x20000));
  EXPECT_EQ(cache_.statistics().bytes, 6 * kPage);
  EXPECT_EQ(space_->alive(), 1u);
  EXPECT_TRUE(touch(0x30000)) << "not all of it, but what is needed";
  EXPECT_EQ(space_->newest().bytes, 100u);
  EXPECT_EQ(cache_.hold(0x90000, 11 * kPage, MemoryAccess::kRead).status().code(),
            StatusCode::kResourceExhausted);
}

TEST_F(LimitedCacheTest, WhereTheKernelRefusesWhatNobodyHoldsGoes) {
  ASSERT_TRUE(cache_.promise(0x10000, 4 * kPage).is_ok());
  ASSERT_TRUE(cache_.promise(0x20000, 4 * kPage).is_ok());
  space_->refuse_more_than = 5 * kPage;
  EXPECT_TRUE(touch(0x10000));
  EXPECT_TRUE(touch(0x20000));
  EXPECT_EQ(space_->alive(), 1u);
  const auto large = cache_.hold(0x40000, 6 * kPage, MemoryAccess::kRead);
  ASSERT_FALSE(large.is_ok());
  EXPECT_THAT(large.status().message(), HasSubstr("too much is pinned"));
}

TEST_F(LimitedCacheTest, PromisesAreBounded) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(cache_.promise(0x10000, kPage).is_ok());
  const auto one_more = cache_.promise(0x10000, kPage);
  ASSERT_FALSE(one_more.is_ok());
  EXPECT_THAT(one_more.status().message(), AllOf(HasSubstr("5 pieces"), HasSubstr("limit")));
}

}  // namespace
}  // namespace weft::verbs
