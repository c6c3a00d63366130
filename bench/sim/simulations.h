// Runs of the simulator, one row each: what `weft sim` prints.
//
// One thread. The reason of a broken promise goes to stderr, with the command that runs it again.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>

#include "transport/sim/simulation.h"

namespace weft::bench {

struct SimulationOptions {
  std::string scenario;  // empty: drawn from the seed
  std::uint64_t first_seed = 1;
  std::uint64_t seeds = 1;
  bool trace = false;  // every event, before its row
};

using RunScenario = std::function<sim::RunResult(const sim::Scenario&, std::FILE* trace)>;

// The exit status: 0 if every promise was kept, 1 if one was broken, 2 if there is no such scenario.
int run_simulations(const SimulationOptions& options, std::FILE* out, const RunScenario& run);

}  // namespace weft::bench
