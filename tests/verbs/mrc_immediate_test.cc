// What frames over MRC queue pairs are put in order by, and how senders know what they may send.
#include "transport/verbs/mrc_immediate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace weft::verbs {
namespace {

TEST(MrcImmediate, SurvivesItsPacking) {
  for (auto kind : {MrcImmediate::Kind::kMessage, MrcImmediate::Kind::kPayload, MrcImmediate::Kind::kChunk,
                    MrcImmediate::Kind::kCredit}) {
    for (std::uint32_t number : {0u, 1u, 4095u}) {
      for (std::uint32_t detail : {0u, 1u, 0x3FFFFu}) {
        const MrcImmediate immediate{kind, number, detail};
        EXPECT_EQ(unpack_mrc(pack(immediate)), immediate);
      }
    }
  }
}

TEST(MrcInOrder, GivesWhatCameInAnyOrderInTheOrderOfItsNumbers) {
  InOrder<std::uint32_t> queue;
  std::mt19937 chance(7);
  std::uint32_t sent = 0, taken = 0;
  std::vector<std::uint32_t> under_way;
  while (taken < 20000) {
    while (sent - taken < kMrcReceives) under_way.push_back(sent++);
    std::shuffle(under_way.begin(), under_way.end(), chance);
    for (std::size_t some = 1 + chance() % under_way.size(); some > 0; --some) {
      ASSERT_TRUE(queue.put(under_way.back() & MrcImmediate::kNumberMask, under_way.back()));
      under_way.pop_back();
    }
    for (std::uint32_t next = 0; queue.take(next);) ASSERT_EQ(next, taken++);
    ASSERT_EQ(queue.taken(), taken);
  }
}

TEST(MrcInOrder, RefusesWhatCameAlreadyAndWhatCannotBeUnderWay) {
  InOrder<int> queue;
  EXPECT_TRUE(queue.put(3, 0));
  EXPECT_FALSE(queue.put(3, 0));
  EXPECT_TRUE(queue.put(kMrcReceives - 1, 0));
  EXPECT_FALSE(queue.put(kMrcReceives, 0));
  EXPECT_FALSE(queue.put(MrcImmediate::kNumberMask, 0)) << "that was before the first";
}

TEST(MrcCredit, GrowsByWhatThePeerHasTakenAndByNoMore) {
  MrcCredit credit;
  EXPECT_EQ(credit.left(0), kMrcReceives);
  EXPECT_EQ(credit.left(200), kMrcReceives - 200);
  EXPECT_TRUE(credit.heard(150, 200));
  EXPECT_EQ(credit.left(200), kMrcReceives - 50);
  EXPECT_TRUE(credit.heard(150, 200)) << "it may say so again";
  EXPECT_FALSE(credit.heard(201, 200));
  EXPECT_FALSE(credit.heard(149, 200)) << "and take nothing back";
}

TEST(MrcCredit, CountsOnAfterItsBitsHaveWrapped) {
  MrcCredit credit;
  std::uint32_t posted = 0;
  while (posted < 3 * MrcImmediate::kDetailMask) {
    posted += kMrcReceives;
    ASSERT_TRUE(credit.heard(posted & MrcImmediate::kDetailMask, posted));
    ASSERT_EQ(credit.left(posted), kMrcReceives);
  }
}

}  // namespace
}  // namespace weft::verbs
