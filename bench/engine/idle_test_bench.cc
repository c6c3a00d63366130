// What test() costs while nothing comes: the call that NCCL's progress thread makes most. The aim is under
// 200 ns.
//
//   idle_test_bench --benchmark_repetitions=9 --benchmark_report_aggregates_only=true
#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "weft/context.h"

namespace {

struct Loopback {
  std::unique_ptr<weft::Context> context;
  std::unique_ptr<weft::Connection> sender, receiver;
};

// Empty pointers, and a reason in `state`, where there is no connection.
Loopback connect(benchmark::State& state, int paths) {
  weft::Config config;
  config.interfaces = "=lo";
  config.address_family = 4;
  config.paths_per_plane = paths;
  Loopback loopback;
  auto context = weft::Context::create(config, {});
  if (!context) return state.SkipWithError(context.status().message().c_str()), Loopback();
  auto listener = (*context)->listen();
  if (!listener) return state.SkipWithError(listener.status().message().c_str()), Loopback();
  auto connector = (*context)->connect((*listener)->address());
  if (!connector) return state.SkipWithError(connector.status().message().c_str()), Loopback();
  loopback.context = std::move(*context);
  while (!loopback.sender || !loopback.receiver) {
    if (!loopback.sender) {
      auto polled = (*connector)->poll();
      if (!polled) return state.SkipWithError(polled.status().message().c_str()), Loopback();
      loopback.sender = std::move(*polled);
    }
    auto accepted = (*listener)->accept();
    if (accepted && *accepted) loopback.receiver = std::move(*accepted);
  }
  return loopback;
}

void idle_test(benchmark::State& state) {
  Loopback loopback = connect(state, static_cast<int>(state.range(0)));
  if (!loopback.receiver) return;
  std::vector<char> buffer(4096);
  const auto receives = static_cast<std::size_t>(state.range(1));
  std::vector<weft::RequestId> requests;
  for (std::size_t i = 0; i < receives; ++i)
    requests.push_back(loopback.receiver->post_receive(buffer.data(), buffer.size(), 0));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the last of the set-up has passed
  std::size_t at = 0;
  for (auto _ : state) {
    if (loopback.receiver->test(requests[at]).done) return state.SkipWithError("a message that nobody sent");
    if (++at == receives) at = 0;
  }
}

}  // namespace

BENCHMARK(idle_test)
    ->ArgNames({"paths", "receives"})
    ->Args({1, 1})
    ->Args({4, 1})
    ->Args({16, 1})
    ->Args({4, 32});
BENCHMARK_MAIN();
