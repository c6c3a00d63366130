// The executor over in-memory connections, one thread a rank: results, bytes sent, slices, errors,
// allocations.
#include "algorithms/host/executor.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "algorithms/dissemination_barrier.h"
#include "algorithms/pairwise_alltoall.h"
#include "algorithms/ring_allreduce.h"
#include "tests/algorithms/allocation_count.h"
#include "tests/algorithms/in_memory_connection.h"

namespace weft::algorithms::host {
namespace {

constexpr std::uint32_t kTag = 5;
// Small, so that even small tests have many slices and full windows.
constexpr ExecutorLimits kSmall{.min_slice_bytes = 64, .max_slice_bytes = 256, .window = 3};

// Runs `body(rank, executor)` on one thread a rank.
template <typename Body>
void on_all_ranks(int ranks, ExecutorLimits limits, Body body) {
  auto connections = testing_support::connect_in_memory(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      std::vector<Connection*> row;
      for (const auto& connection : connections[static_cast<std::size_t>(rank)])
        row.push_back(connection.get());
      Executor executor(row, limits);
      body(rank, executor);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

std::int32_t element(int rank, std::size_t index) {
  return (rank + 1) * 31 + static_cast<std::int32_t>(index * 3);
}

class ExecutorAllReduce : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, ExecutorAllReduce, testing::Values(1, 2, 3, 4, 7));

TEST_P(ExecutorAllReduce, IsRightForSumAndAverageInAndOutOfPlace) {
  const int ranks = GetParam();
  for (std::size_t elements : {0u, 1u, 5u, 100u, 4003u}) {
    for (bool in_place : {false, true}) {
      for (ReduceOp op : {ReduceOp::kSum, ReduceOp::kAvg, ReduceOp::kMax}) {
        on_all_ranks(ranks, kSmall, [&](int rank, Executor& executor) {
          std::vector<std::int32_t> input(elements);
          for (std::size_t i = 0; i < elements; ++i) input[i] = element(rank, i);
          std::vector<std::int32_t> output(elements + 1, -1);
          std::vector<std::int32_t>& result = in_place ? input : output;
          const Status status =
              executor.run(ring_allreduce(rank, ranks),
                           {input.data(), result.data(), elements, DataType::kInt32, op}, kTag);
          ASSERT_TRUE(status) << status.message();
          for (std::size_t i = 0; i < elements; ++i) {
            std::int32_t sum = 0;
            for (int from = 0; from < ranks; ++from) sum += element(from, i);
            const std::int32_t expected = op == ReduceOp::kSum   ? sum
                                          : op == ReduceOp::kAvg ? sum / ranks
                                                                 : element(ranks - 1, i);
            ASSERT_EQ(result[i], expected) << "rank " << rank << " of " << ranks << ", element " << i;
          }
          EXPECT_EQ(output[elements], -1);
          const std::size_t spared = block_range(elements, ranks, (rank + 1) % ranks).count +
                                     block_range(elements, ranks, (rank + 2) % ranks).count;
          EXPECT_EQ(executor.bytes_sent(), ranks == 1 ? 0 : (2 * elements - spared) * sizeof(std::int32_t));
        });
      }
    }
  }
}

TEST(Executor, RunsAnAllToAllAndABarrierOneAfterAnother) {
  for (int ranks : {1, 2, 5}) {
    on_all_ranks(ranks, kSmall, [&](int rank, Executor& executor) {
      for (std::size_t block : {std::size_t{0}, std::size_t{1}, std::size_t{999}}) {
        const std::size_t bytes = block * static_cast<std::size_t>(ranks);
        std::vector<std::uint8_t> input(bytes);
        for (std::size_t i = 0; i < bytes; ++i) input[i] = static_cast<std::uint8_t>(element(rank, i));
        std::vector<std::uint8_t> output(bytes, 0xff);
        ASSERT_TRUE(executor.run(pairwise_alltoall(rank, ranks), {input.data(), output.data(), bytes}, kTag));
        for (std::size_t i = 0; i < bytes; ++i) {
          const auto from = static_cast<int>(i / block);
          const std::size_t at = static_cast<std::size_t>(rank) * block + i % block;
          ASSERT_EQ(output[i], static_cast<std::uint8_t>(element(from, at)));
        }
        EXPECT_EQ(executor.bytes_sent(), block * static_cast<std::size_t>(ranks - 1));
        char come = 0;
        char heard = 0;
        ASSERT_TRUE(executor.run(dissemination_barrier(rank, ranks), {&come, &heard, 1}, kTag + 1));
      }
    });
  }
}

TEST(Executor, AllocatesNothingForAPreparedSchedule) {
  if (!testing_support::can_count_allocations()) GTEST_SKIP() << "a sanitizer has its own allocator";
  const int ranks = 3;
  on_all_ranks(ranks, kSmall, [&](int rank, Executor& executor) {
    const Schedule schedule = ring_allreduce(rank, ranks);
    executor.prepare(schedule);
    std::vector<float> data(5000, 1.0f);
    testing_support::count_allocations_of_this_thread(true);
    const Status status = executor.run(
        schedule, {data.data(), data.data(), data.size(), DataType::kFloat32, ReduceOp::kSum}, kTag);
    testing_support::count_allocations_of_this_thread(false);
    ASSERT_TRUE(status);
    EXPECT_EQ(data[4999], 3.0f);
  });
  EXPECT_EQ(testing_support::allocations_counted(), 0);
}

TEST(Executor, ReportsBytesToTheObserverAsTheyArrive) {
  on_all_ranks(2, kSmall, [&](int rank, Executor& executor) {
    std::vector<std::uint64_t> seen;
    executor.set_observer([&](std::uint64_t bytes) { seen.push_back(bytes); });
    std::vector<char> data(4096, 1);
    ASSERT_TRUE(executor.run(ring_allreduce(rank, 2), {data.data(), data.data(), data.size()}, kTag));
    ASSERT_GT(seen.size(), 4u);
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
    EXPECT_EQ(seen.back(), 4096u);
  });
}

TEST(Executor, NamesTheRankThatIsGone) {
  auto connections = testing_support::connect_in_memory(2);
  connections[1][0].reset();
  Executor executor({nullptr, connections[0][1].get()}, kSmall);
  std::vector<char> data(100);
  const Status status = executor.run(ring_allreduce(0, 2), {data.data(), data.data(), data.size()}, kTag);
  EXPECT_EQ(status.code(), StatusCode::kPeerLost);
  EXPECT_NE(status.message().find("rank 0, peer rank 1"), std::string::npos) << status.message();
  connections[0][1].reset();
}

TEST(Executor, NoticesThatRanksDisagreeOnTheSize) {
  std::atomic<int> noticed{0};
  // They outlive the ranks: one that gives up leaves requests of the other pending on its buffer.
  std::array<std::vector<char>, 2> buffers{std::vector<char>(64, 1), std::vector<char>(64, 1)};
  on_all_ranks(2, kSmall, [&](int rank, Executor& executor) {
    std::vector<char>& data = buffers[static_cast<std::size_t>(rank)];
    const std::size_t elements = rank == 0 ? 64 : 32;
    const Status status = executor.run(ring_allreduce(rank, 2), {data.data(), data.data(), elements}, kTag);
    if (!status && status.message().find("same sizes") != std::string::npos) ++noticed;
  });
  EXPECT_GE(noticed.load(), 1);
}

}  // namespace
}  // namespace weft::algorithms::host
