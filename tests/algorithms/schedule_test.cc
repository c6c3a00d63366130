// What the schedules compute and send, without any transport: for every number of ranks up to 17, sizes that
// do not divide, and orders of execution drawn at random.
#include "algorithms/schedule.h"

#include <gtest/gtest.h>

#include "algorithms/dissemination_barrier.h"
#include "algorithms/pairwise_alltoall.h"
#include "algorithms/ring_allreduce.h"
#include "tests/algorithms/plain_executor.h"

namespace weft::algorithms {
namespace {

using Numbers = PlainExecutor::Numbers;
constexpr int kMostRanks = 17;
constexpr std::uint64_t kUntouched = 0xdeadbeef;

std::uint64_t element(std::size_t rank, std::size_t index) {
  return (rank + 1) * 1000003 + index * index * 7919;
}

std::vector<Schedule> schedules_of(Schedule (*algorithm)(int, int), int ranks) {
  std::vector<Schedule> schedules;
  for (int rank = 0; rank < ranks; ++rank) schedules.push_back(algorithm(rank, ranks));
  return schedules;
}

PlainExecutor executor_for(Schedule (*algorithm)(int, int), int ranks, std::size_t elements, bool in_place,
                           unsigned seed) {
  std::vector<Numbers> inputs(static_cast<std::size_t>(ranks), Numbers(elements));
  for (std::size_t rank = 0; rank < inputs.size(); ++rank) {
    for (std::size_t i = 0; i < elements; ++i) inputs[rank][i] = element(rank, i);
  }
  std::vector<Numbers> outputs(static_cast<std::size_t>(ranks), Numbers(elements, kUntouched));
  return {schedules_of(algorithm, ranks), std::move(inputs), std::move(outputs), in_place, seed};
}

TEST(BlockRange, CoversEveryElementOnce) {
  for (std::size_t elements : {0u, 1u, 2u, 7u, 64u, 1001u}) {
    for (int blocks = 1; blocks <= kMostRanks; ++blocks) {
      std::size_t next = 0;
      std::size_t least = elements;
      std::size_t most = 0;
      for (int block = 0; block < blocks; ++block) {
        const Range range = block_range(elements, blocks, block);
        EXPECT_EQ(range.first, next);
        next += range.count;
        least = std::min(least, range.count);
        most = std::max(most, range.count);
      }
      EXPECT_EQ(next, elements);
      EXPECT_LE(most - least, 1u);
    }
  }
}

TEST(Schedules, NameOnlyEarlierActionsOnTheSameBlock) {
  for (auto* algorithm : {ring_allreduce, pairwise_alltoall, dissemination_barrier}) {
    for (int ranks = 1; ranks <= kMostRanks; ++ranks) {
      for (const Schedule& schedule : schedules_of(algorithm, ranks)) {
        for (std::size_t i = 0; i < schedule.actions.size(); ++i) {
          const Action& action = schedule.actions[i];
          if (action.kind != Action::Kind::kCopy) {
            EXPECT_NE(action.peer, schedule.rank);
            EXPECT_TRUE(action.peer >= 0 && action.peer < ranks);
          }
          EXPECT_TRUE(action.block >= 0 && action.block < schedule.blocks);
          if (action.after == Action::kNothing) continue;
          ASSERT_LT(action.after, static_cast<int>(i));
          EXPECT_EQ(schedule.actions[static_cast<std::size_t>(action.after)].block, action.block);
        }
      }
    }
  }
}

class AllReduce : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Buffers, AllReduce, testing::Bool(),
                         [](const auto& parameter) { return parameter.param ? "InPlace" : "OutOfPlace"; });

TEST_P(AllReduce, AddsEveryRanksPartAndSendsWhatTheFormulaSays) {
  const bool in_place = GetParam();
  for (int ranks = 1; ranks <= kMostRanks; ++ranks) {
    for (std::size_t elements : {0u, 1u, 3u, 16u, 17u, 100u, 257u}) {
      PlainExecutor executor = executor_for(ring_allreduce, ranks, elements, in_place, 7u * elements + ranks);
      ASSERT_EQ(executor.run(), "") << ranks << " ranks, " << elements << " elements";
      const auto n = static_cast<std::size_t>(ranks);
      Numbers expected(elements, 0);
      for (std::size_t rank = 0; rank < n; ++rank) {
        for (std::size_t i = 0; i < elements; ++i) expected[i] += element(rank, i);
      }
      std::size_t total = 0;
      for (std::size_t rank = 0; rank < n; ++rank) {
        EXPECT_EQ(executor.output(rank), expected) << "rank " << rank << " of " << ranks;
        // docs/algorithms.md: everything twice, less the two blocks that others finish.
        const std::size_t spared = block_range(elements, ranks, (static_cast<int>(rank) + 1) % ranks).count +
                                   block_range(elements, ranks, (static_cast<int>(rank) + 2) % ranks).count;
        EXPECT_EQ(executor.sent_elements(rank), ranks == 1 ? 0 : 2 * elements - spared);
        total += executor.sent_elements(rank);
      }
      EXPECT_EQ(total, 2 * (n - 1) * elements);
      EXPECT_EQ(executor.steps(), 2 * (ranks - 1));
    }
  }
}

TEST(RingAllReduce, LeavesTheInputAlone) {
  PlainExecutor executor = executor_for(ring_allreduce, 5, 23, false, 1);
  ASSERT_EQ(executor.run(), "");
  for (std::size_t rank = 0; rank < 5; ++rank) {
    for (std::size_t i = 0; i < 23; ++i) EXPECT_EQ(executor.input(rank)[i], element(rank, i));
  }
}

TEST(RingAllReduce, DividesAnAverageOncePerBlock) {
  for (int ranks = 2; ranks <= kMostRanks; ++ranks) {
    std::vector<int> divided(static_cast<std::size_t>(ranks), 0);
    for (const Schedule& schedule : schedules_of(ring_allreduce, ranks)) {
      for (const Action& action : schedule.actions) {
        if (action.last_reduction) ++divided[static_cast<std::size_t>(action.block)];
      }
    }
    EXPECT_EQ(divided, std::vector<int>(static_cast<std::size_t>(ranks), 1));
  }
}

TEST(PairwiseAllToAll, MovesEveryBlockOnceDirectly) {
  for (int ranks = 1; ranks <= kMostRanks; ++ranks) {
    for (std::size_t block : {0u, 1u, 5u, 64u}) {
      const auto n = static_cast<std::size_t>(ranks);
      PlainExecutor executor = executor_for(pairwise_alltoall, ranks, n * block, false, 3u * block + n);
      ASSERT_EQ(executor.run(), "");
      for (std::size_t rank = 0; rank < n; ++rank) {
        for (std::size_t from = 0; from < n; ++from) {
          for (std::size_t i = 0; i < block; ++i) {
            EXPECT_EQ(executor.output(rank)[from * block + i], element(from, rank * block + i));
          }
        }
        EXPECT_EQ(executor.sent_elements(rank), (n - 1) * block);
      }
      EXPECT_EQ(executor.steps(), ranks == 1 ? 0 : ranks);  // step 0 is the copy
    }
  }
}

TEST(PairwiseAllToAll, EveryStepIsAPermutation) {
  for (int ranks = 2; ranks <= kMostRanks; ++ranks) {
    const auto schedules = schedules_of(pairwise_alltoall, ranks);
    for (int step = 1; step < ranks; ++step) {
      std::vector<int> hit(static_cast<std::size_t>(ranks), 0);
      for (const Schedule& schedule : schedules) {
        for (const Action& action : schedule.actions) {
          if (action.kind == Action::Kind::kSend && action.step == step)
            ++hit[static_cast<std::size_t>(action.peer)];
        }
      }
      EXPECT_EQ(hit, std::vector<int>(static_cast<std::size_t>(ranks), 1))
          << "step " << step << " of " << ranks;
    }
  }
}

// Whoever finishes must have heard, directly or through others, from every rank: "heard" is followed as sets.
TEST(DisseminationBarrier, NobodyLeavesBeforeEverybodyHasCome) {
  for (int ranks = 1; ranks <= kMostRanks; ++ranks) {
    const auto schedules = schedules_of(dissemination_barrier, ranks);
    std::vector<std::vector<bool>> heard(static_cast<std::size_t>(ranks),
                                         std::vector<bool>(static_cast<std::size_t>(ranks)));
    for (std::size_t rank = 0; rank < heard.size(); ++rank) heard[rank][rank] = true;
    int rounds = 0;
    for (int distance = 1; distance < ranks; distance *= 2) ++rounds;
    for (int round = 0; round < rounds; ++round) {
      const auto before = heard;
      for (const Schedule& schedule : schedules) {
        for (const Action& action : schedule.actions) {
          if (action.kind != Action::Kind::kReceive || action.step != round) continue;
          for (std::size_t rank = 0; rank < before.size(); ++rank) {
            if (before[static_cast<std::size_t>(action.peer)][rank]) {
              heard[static_cast<std::size_t>(schedule.rank)][rank] = true;
            }
          }
        }
      }
    }
    for (const auto& known : heard) EXPECT_EQ(std::count(known.begin(), known.end(), true), ranks);
    PlainExecutor executor = executor_for(dissemination_barrier, ranks, 1, false, 11);
    EXPECT_EQ(executor.run(), "");
    EXPECT_EQ(executor.steps(), rounds);
  }
}

}  // namespace
}  // namespace weft::algorithms
