// The choice among paths: of the plane that would finish first, the path with the least in flight.
#include "transport/multipath/path_choice.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace weft::multipath {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kChunk = 64 * 1024;
constexpr std::uint64_t kMuch = 1 << 30;
constexpr Duration kSlack = 8ms;

struct Fabric {
  std::vector<Path> paths;
  std::vector<Plane> planes;
  PathChooser chooser{kSlack};

  // A rate of 0: not measured yet.
  explicit Fabric(const std::vector<double>& bytes_per_ns, std::size_t paths_per_plane = 1)
      : paths(bytes_per_ns.size() * paths_per_plane), planes(bytes_per_ns.size()) {
    for (std::size_t i = 0; i < paths.size(); ++i) {
      paths[i].plane = static_cast<PlaneId>(i / paths_per_plane);
      paths[i].connected = paths[i].trusted = paths[i].writable = true;
      paths[i].state = PathState::kGood;
    }
    for (std::size_t i = 0; i < planes.size(); ++i) {
      planes[i].smallest_rtt = 100us;
      if (bytes_per_ns[i] > 0) planes[i].rate.sample(TimePoint{1s}, bytes_per_ns[i], true);
    }
  }
  void load(std::size_t path, std::uint64_t bytes) {
    ++paths[path].next_sequence;
    paths[path].bytes_in_flight += bytes;
    planes[index(paths[path].plane)].bytes_in_flight += bytes;
  }
  // Gives out chunks until none is taken; how many bytes each path got.
  std::map<std::size_t, std::uint64_t> deal(std::uint64_t queued) {
    std::map<std::size_t, std::uint64_t> got;
    while (queued >= kChunk) {
      auto path = chooser.for_chunk(paths, planes, kChunk, queued);
      if (!path) break;
      load(index(*path), kChunk);
      got[index(*path)] += kChunk;
      queued -= kChunk;
    }
    return got;
  }
};

TEST(PathChoice, OnlyUsableAndWritablePathsAreChosen) {
  for (int what = 0; what < 4; ++what) {
    Fabric fabric({1, 1, 1});
    for (std::size_t i : {0u, 2u}) {
      if (what == 0) fabric.paths[i].writable = false;
      if (what == 1) fabric.paths[i].trusted = false;
      if (what == 2) fabric.paths[i].state = PathState::kDenied;
      if (what == 3) fabric.paths[i].state = PathState::kAssumedBad;
    }
    for (int round = 0; round < 5; ++round) {
      EXPECT_EQ(fabric.chooser.for_chunk(fabric.paths, fabric.planes, 1000, kMuch), PathId{1});
      EXPECT_EQ(fabric.chooser.for_small(fabric.paths, fabric.planes, 10), PathId{1});
      fabric.chooser.rotate_past(PathId{1}, fabric.paths.size());
    }
    fabric.paths[1].state = PathState::kDenied;
    EXPECT_FALSE(fabric.chooser.for_chunk(fabric.paths, fabric.planes, 1000, kMuch));
    EXPECT_FALSE(fabric.chooser.for_small(fabric.paths, fabric.planes, 10));
  }
}

TEST(PathChoice, AWindowOfFramesIsTheMost) {
  Fabric fabric({100});
  fabric.paths[0].next_sequence = kPathWindowFrames - 1;
  EXPECT_TRUE(fabric.chooser.for_small(fabric.paths, fabric.planes, 1));
  fabric.paths[0].next_sequence = kPathWindowFrames;
  EXPECT_FALSE(fabric.chooser.for_small(fabric.paths, fabric.planes, 1));
  fabric.paths[0].acknowledged = 1;
  EXPECT_TRUE(fabric.chooser.for_small(fabric.paths, fabric.planes, 1));
}

TEST(PathChoice, WhatIsInFlightAtTheMeasuredRateLeavesRoomToMeasureMore) {
  for (Duration rtt : {Duration(10us), Duration(1ms), Duration(15ms), Duration(200ms)}) {
    Plane plane;
    plane.smallest_rtt = rtt;
    plane.bytes_in_flight = 5 * kChunk;
    plane.rate.sample(TimePoint{1s},
                      static_cast<double>(plane.bytes_in_flight) / static_cast<double>(rtt.count()), true);
    EXPECT_TRUE(plane.has_room(kChunk, kSlack)) << rtt.count();
  }
}

TEST(PathChoice, APlaneTakesItsWindowHoweverManyPathsItHas) {
  for (std::size_t paths : {1u, 2u, 4u, 8u}) {
    Fabric fabric({0.2}, paths);
    std::uint64_t total = 0;
    for (auto [path, bytes] : fabric.deal(kMuch)) total += bytes;
    EXPECT_LE(total, fabric.planes[0].window_bytes(kSlack)) << paths;
    EXPECT_GT(total + kChunk, fabric.planes[0].window_bytes(kSlack)) << paths;
  }
}

TEST(PathChoice, AnIdlePathAlwaysTakesOneFrame) {
  Fabric fabric({0.001}, 4);  // a window of less than one chunk
  EXPECT_EQ(fabric.deal(kMuch).size(), 4u);
}

TEST(PathChoice, PathsOfAPlaneShareEqually) {
  Fabric fabric({1}, 4);
  auto got = fabric.deal(40 * kChunk);
  for (std::size_t path = 0; path < 4; ++path) EXPECT_EQ(got[path], 10 * kChunk);
}

// What ends together: each plane's last byte. So at the end of a message planes hold what they drain in the
// same time, to within a chunk, whatever their number of paths.
TEST(PathChoice, PlanesEndTogether) {
  Fabric fabric({1, 0.5, 0.25}, 4);
  auto got = fabric.deal(70 * kChunk);
  std::map<std::size_t, std::uint64_t> planes;
  for (auto [path, bytes] : got) planes[path / 4] += bytes;
  EXPECT_NEAR(static_cast<double>(planes[0]), 40.0 * kChunk, kChunk);
  EXPECT_NEAR(static_cast<double>(planes[1]), 20.0 * kChunk, kChunk);
  EXPECT_NEAR(static_cast<double>(planes[2]), 10.0 * kChunk, kChunk);
}

TEST(PathChoice, ASlowPlaneIsPassedOverForTheLastChunksOnly) {
  Fabric fabric({10, 0.1});
  fabric.paths[0].next_sequence = kPathWindowFrames;  // full: only the slow one has room
  fabric.paths[0].bytes_in_flight = fabric.planes[0].bytes_in_flight = kPathWindowFrames * kChunk;
  auto choose = [&](std::uint64_t queued) {
    return fabric.chooser.for_chunk(fabric.paths, fabric.planes, kChunk, queued);
  };
  EXPECT_EQ(choose(1000 * kChunk), PathId{1}) << "much is left for both";
  fabric.planes[0].bytes_in_flight = kChunk;
  EXPECT_FALSE(choose(kChunk)) << "the fast one will be done long before";
  EXPECT_EQ(fabric.paths[1].state, PathState::kSkip);
  EXPECT_EQ(choose(1000 * kChunk), PathId{1}) << "skipped for one rotation only";
  EXPECT_EQ(fabric.paths[1].state, PathState::kGood);
}

TEST(PathChoice, SmallMessagesRotate) {
  Fabric fabric({1, 1, 1, 1});
  for (std::size_t round = 0; round < 12; ++round) {
    auto path = fabric.chooser.for_small(fabric.paths, fabric.planes, 8);
    ASSERT_TRUE(path);
    EXPECT_EQ(index(*path), round % 4);
    fabric.chooser.rotate_past(*path, fabric.paths.size());
  }
}

TEST(PathChoice, ASmallMessageKeepsAControlFrameCompanyUnlessItWouldWait) {
  Fabric fabric({1, 1, 1});
  fabric.chooser.keep_company(PathId{2});
  EXPECT_EQ(fabric.chooser.for_small(fabric.paths, fabric.planes, 8), PathId{2});
  fabric.load(2, kChunk);
  EXPECT_EQ(fabric.chooser.for_small(fabric.paths, fabric.planes, 8), PathId{0});
}

TEST(PathChoice, ASmallMessageGoesWhereItWaitsLeast) {
  Fabric fabric({1, 0.1, 1}, 2);
  for (std::size_t path : {0u, 1u}) fabric.load(path, 2 * kChunk);
  fabric.load(2, kChunk);  // less, but it takes the slow plane longer
  for (std::size_t path : {4u, 5u}) fabric.load(path, 3 * kChunk);
  EXPECT_EQ(index(*fabric.chooser.for_small(fabric.paths, fabric.planes, 8)), 0u);
}

TEST(PathChoice, PlanesOnStandbyReplaceThoseThatAreOut) {
  Fabric fabric({1, 1, 1, 1}, 2);
  fabric.planes[2].standby = fabric.planes[3].standby = true;
  const auto planes_dealt = [&] {
    std::uint64_t planes = 0;
    for (const auto& [path, bytes] : fabric.deal(kMuch)) planes |= mask_of(fabric.paths[path].plane);
    for (Path& path : fabric.paths) path.next_sequence = 0, path.bytes_in_flight = 0;
    for (Plane& plane : fabric.planes) plane.bytes_in_flight = 0;
    for (std::size_t i = 0; i < fabric.paths.size(); ++i) {
      const auto small = fabric.chooser.for_small(fabric.paths, fabric.planes, 8);
      planes |= mask_of(fabric.paths[index(*small)].plane);
      fabric.chooser.rotate_past(*small, fabric.paths.size());
    }
    return planes;
  };
  EXPECT_EQ(planes_dealt(), 0b0011u);
  fabric.paths[2].state = PathState::kAssumedBad;
  EXPECT_EQ(planes_dealt(), 0b0011u) << "plane 1 has another path";
  fabric.paths[3].trusted = false;
  EXPECT_EQ(planes_dealt(), 0b0101u);
  fabric.paths[4].state = fabric.paths[5].state = PathState::kAssumedBad;
  EXPECT_EQ(planes_dealt(), 0b1001u) << "the next that works";
  fabric.paths[0].trusted = fabric.paths[1].trusted = false;
  EXPECT_EQ(planes_dealt(), 0b1000u);
  for (Path& path : fabric.paths) path.trusted = true, path.state = PathState::kGood;
  EXPECT_EQ(planes_dealt(), 0b0011u) << "back to the near ones";
}

TEST(PathChoice, WhereAllStandByNoneDoes) {
  Fabric fabric({1, 1});
  fabric.planes[0].standby = fabric.planes[1].standby = true;
  EXPECT_EQ(fabric.deal(16 * kChunk).size(), 2u);
}

TEST(PathChoice, AControlFramesCompanyIsNotKeptOnStandby) {
  Fabric fabric({1, 1});
  fabric.chooser.keep_company(PathId{1});
  fabric.planes[1].standby = true;
  EXPECT_EQ(fabric.chooser.for_small(fabric.paths, fabric.planes, 8), PathId{0});
}

TEST(RateEstimator, WhatIsGivenLittleDoesNotLookSlow) {
  RateEstimator rate;
  TimePoint now{1s};
  for (int i = 0; i < 100; ++i) rate.sample(now += 10ms, 1.0, true);
  for (int i = 0; i < 1000; ++i) rate.sample(now += 10ms, 0.01, false);
  EXPECT_DOUBLE_EQ(rate.typical(), 1.0);
  EXPECT_DOUBLE_EQ(rate.highest(), 1.0);
  for (int i = 0; i < 1000; ++i) rate.sample(now += 10ms, 0.5, true);
  EXPECT_NEAR(rate.typical(), 0.5, 0.01);
  EXPECT_DOUBLE_EQ(rate.highest(), 0.5);
}

}  // namespace
}  // namespace weft::multipath
