// One path's books, and the choice among several.
#include "transport/multipath/path.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "transport/multipath/path_choice.h"

namespace weft::multipath {
namespace {

using namespace std::chrono_literals;

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

Path usable_path(double bytes_per_ns, Duration rtt) {
  Path path;
  path.connected = path.trusted = path.writable = true;
  path.state = PathState::kGood;
  path.smallest_rtt = rtt;
  if (bytes_per_ns > 0) path.rate.sample(TimePoint{1s}, bytes_per_ns, true);
  return path;
}

TEST(PathChoice, WhatIsInFlightAtTheMeasuredRateLeavesRoomToMeasureMore) {
  constexpr std::uint64_t kChunk = 4096;
  for (Duration rtt : {Duration(10us), Duration(1ms), Duration(15ms), Duration(200ms)}) {
    Path path = usable_path(0, rtt);
    path.next_sequence = 5;
    path.bytes_in_flight = 5 * kChunk;
    path.rate.sample(TimePoint{1s},
                     static_cast<double>(path.bytes_in_flight) / static_cast<double>(rtt.count()), true);
    EXPECT_TRUE(has_room(path, kChunk)) << rtt.count();
  }
}

TEST(PathChoice, AWindowOfFramesIsTheMost) {
  Path path = usable_path(100, 10ms);
  path.next_sequence = kPathWindowFrames - 1;
  EXPECT_TRUE(has_room(path, 1));
  path.next_sequence = kPathWindowFrames;
  EXPECT_FALSE(has_room(path, 1));
  path.acknowledged = 1;
  EXPECT_TRUE(has_room(path, 1));
}

TEST(PathChoice, OnlyUsableAndWritablePathsAreChosen) {
  PathChooser chooser;
  for (int what = 0; what < 4; ++what) {
    std::vector<Path> paths(3, usable_path(1, 1ms));
    for (std::size_t i : {0u, 2u}) {
      if (what == 0) paths[i].writable = false;
      if (what == 1) paths[i].trusted = false;
      if (what == 2) paths[i].state = PathState::kDenied;
      if (what == 3) paths[i].state = PathState::kAssumedBad;
    }
    for (int round = 0; round < 5; ++round) {
      EXPECT_EQ(chooser.for_chunk(paths, 1000, 1 << 30), PathId{1});
      EXPECT_EQ(chooser.for_small(paths, 10), PathId{1});
      chooser.rotate_past(PathId{1}, paths.size());
    }
    paths[1].state = PathState::kDenied;
    EXPECT_FALSE(chooser.for_chunk(paths, 1000, 1 << 30));
    EXPECT_FALSE(chooser.for_small(paths, 10));
  }
}

TEST(PathChoice, SmallMessagesRotate) {
  PathChooser chooser;
  std::vector<Path> paths(4, usable_path(1, 1ms));
  for (std::size_t round = 0; round < 12; ++round) {
    auto path = chooser.for_small(paths, 8);
    ASSERT_TRUE(path);
    EXPECT_EQ(index(*path), round % 4);
    chooser.rotate_past(*path, paths.size());
  }
}

TEST(PathChoice, ASlowPathIsPassedOverForTheLastChunksOnly) {
  PathChooser chooser;
  std::vector<Path> paths{usable_path(10, 100us), usable_path(0.1, 100us)};
  constexpr std::uint64_t kChunk = 1 << 20;
  paths[0].next_sequence = kPathWindowFrames;  // full: only the slow one has room
  paths[0].bytes_in_flight = kPathWindowFrames * kChunk;
  EXPECT_EQ(chooser.for_chunk(paths, kChunk, 1000 * kChunk), PathId{1}) << "much is left for both";
  paths[0].bytes_in_flight = kChunk;
  EXPECT_FALSE(chooser.for_chunk(paths, kChunk, kChunk)) << "the fast one will be done long before";
  EXPECT_EQ(paths[1].state, PathState::kSkip);
  EXPECT_EQ(chooser.for_chunk(paths, kChunk, 1000 * kChunk), PathId{1}) << "skipped for one rotation only";
  EXPECT_EQ(paths[1].state, PathState::kGood);
}

}  // namespace
}  // namespace weft::multipath
