// One path's books.
#include "transport/multipath/path.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace weft::multipath {
namespace {

TEST(PathReceived, CountsInAnyOrderWithinTheWindow) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    Path path;
    path.received_in_order = round % 2 ? 0u : ~0u - 20;  // also across the wrap of the counter
    std::uint32_t base = path.received_in_order;
    std::vector<std::uint32_t> order(kPathWindowFrames);
    for (std::uint32_t i = 0; i < kPathWindowFrames; ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random);
    std::vector<bool> here(kPathWindowFrames, false);
    for (std::uint32_t i : order) {
      // Any frame may come again at any time.
      ASSERT_TRUE(path.mark_received(base + i));
      ASSERT_TRUE(path.mark_received(base + i));
      here[i] = true;
      std::uint32_t in_order = 0;
      while (in_order < kPathWindowFrames && here[in_order]) ++in_order;
      ASSERT_EQ(path.received_in_order, base + in_order);
      for (std::uint32_t j = in_order + 1; j < kPathWindowFrames; ++j)
        ASSERT_EQ((path.received_beyond >> (j - in_order - 1)) & 1, here[j] ? 1u : 0u);
    }
    ASSERT_EQ(path.received_beyond, 0u);
  }
}

TEST(PathReceived, RefusesWhatIsBeyondTheWindow) {
  Path path;
  EXPECT_TRUE(path.mark_received(kPathWindowFrames - 1));
  EXPECT_FALSE(path.mark_received(kPathWindowFrames));
  EXPECT_TRUE(path.mark_received(0));
  EXPECT_TRUE(path.mark_received(kPathWindowFrames));
  EXPECT_TRUE(path.mark_received(~0u)) << "older than anything: known";
}

}  // namespace
}  // namespace weft::multipath
