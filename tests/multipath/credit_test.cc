// Which send meets which receive.
#include "transport/multipath/credit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace weft::multipath {
namespace {

TEST(CreditStore, TheOldestCreditWithTheTagIsTaken) {
  CreditStore store;
  for (std::uint64_t number : {0u, 1u, 2u, 3u})
    EXPECT_TRUE(store.add({number, 10 * number, number % 2 ? 5u : 6u}));
  EXPECT_EQ(store.take(5)->number, 1u);
  EXPECT_EQ(store.take(6)->number, 0u);
  EXPECT_EQ(store.take(6)->number, 2u);
  EXPECT_FALSE(store.take(6));
  EXPECT_FALSE(store.take(7));
  EXPECT_EQ(store.take(5)->capacity, 30u);
}

TEST(CreditStore, ACreditThatOvertookAnotherWaitsForItsTurn) {
  CreditStore store;
  EXPECT_TRUE(store.add({1, 100, 9}));
  EXPECT_EQ(store.seen(), 0u);
  EXPECT_FALSE(store.take(9)) << "credit 0 may have the same tag, and goes first";
  EXPECT_TRUE(store.add({0, 50, 9}));
  EXPECT_EQ(store.seen(), 2u);
  EXPECT_EQ(store.take(9)->number, 0u);
  EXPECT_EQ(store.take(9)->number, 1u);
}

TEST(CreditStore, RepeatsDoNothing) {
  CreditStore store;
  EXPECT_TRUE(store.add({0, 50, 9}));
  EXPECT_TRUE(store.add({0, 50, 9}));
  EXPECT_TRUE(store.add({2, 70, 9}));
  EXPECT_TRUE(store.add({2, 71, 8}));  // a repeat cannot change it
  EXPECT_TRUE(store.add({1, 60, 9}));
  EXPECT_EQ(store.seen(), 3u);
  store.take(9);
  store.take(9);
  EXPECT_EQ(store.take(9)->capacity, 70u);
}

TEST(CreditStore, MoreCreditsThanSlotsAreRefused) {
  CreditStore store;
  EXPECT_FALSE(store.add({kSlots, 1, 1})) << "slot 0 has not been used once";
  for (std::uint64_t number = 0; number < kSlots; ++number) EXPECT_TRUE(store.add({number, 1, 1}));
  EXPECT_FALSE(store.add({kSlots, 1, 1})) << "credit 0 is still there";
  EXPECT_TRUE(store.take(1));
  EXPECT_TRUE(store.add({kSlots, 1, 1}));
  EXPECT_FALSE(store.add({~std::uint64_t{0}, 1, 1}));
}

TEST(CreditStore, AnyOrderOfArrivalGivesTheSameOrder) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    CreditStore store;
    std::uint64_t base = 0;
    for (int batch = 0; batch < 4; ++batch) {
      std::vector<std::uint64_t> numbers(kSlots);
      for (std::size_t i = 0; i < kSlots; ++i) numbers[i] = base + i;
      std::shuffle(numbers.begin(), numbers.end(), random);
      for (std::uint64_t number : numbers) ASSERT_TRUE(store.add({number, number, 3}));
      for (std::size_t i = 0; i < kSlots; ++i) ASSERT_EQ(store.take(3)->number, base + i);
      base += kSlots;
    }
  }
}

TEST(SlotList, KeepsOrderWhateverIsTakenOut) {
  std::mt19937 random(11);
  SlotList list;
  std::vector<std::uint16_t> expected;
  std::vector<bool> inside(kSlots, false);
  for (int step = 0; step < 20000; ++step) {
    auto slot = static_cast<std::uint16_t>(random() % kSlots);
    if (inside[slot]) {
      list.remove(slot);
      expected.erase(std::find(expected.begin(), expected.end(), slot));
    } else {
      list.push_back(slot);
      expected.push_back(slot);
    }
    inside[slot] = !inside[slot];
    ASSERT_EQ(list.size(), expected.size());
    ASSERT_EQ(list.empty(), expected.empty());
    if (step % 64 != 0) continue;
    std::vector<std::uint16_t> listed;
    for (std::uint16_t at = list.front(); !SlotList::at_end(at); at = list.next(at)) listed.push_back(at);
    ASSERT_EQ(listed, expected);
  }
  list.clear();
  EXPECT_TRUE(list.empty());
}

}  // namespace
}  // namespace weft::multipath
