#include "bench/sim/sim_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "bench/exit_status.h"
#include "bench/sim/simulations.h"

namespace weft::bench {
namespace {

constexpr std::uint64_t kSeedsUnlessNamed = 20;

std::string scenario_problem(const std::string& name) {
  if (sim::named_scenario(name, 1)) return "";
  std::string known;
  for (const std::string& one : sim::scenario_names()) known += (known.empty() ? "" : ", ") + one;
  return "there is no scenario \"" + name + "\"; there are " + known;
}

}  // namespace

void add_sim_command(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand(
      "sim",
      "The protocol on a simulated fabric, in virtual time: cuts, losses and delays drawn from a seed");
  command->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  auto options = std::make_shared<SimulationOptions>();
  auto list = std::make_shared<bool>(false);
  auto* scenario = command->add_option("--scenario", options->scenario, "A scenario with a name (--list)")
                       ->check(CLI::Validator(scenario_problem, "NAME"));
  auto* seed = command->add_option("--seed", options->first_seed, "The seed, or the first of several")
                   ->capture_default_str();
  auto* count =
      command->add_option("--count", options->seeds, "Seeds from there on (1; 20 if nothing is given)")
          ->check(CLI::Range(1, 1'000'000'000));
  command->add_flag("--trace", options->trace, "Every event, with its virtual time");
  command->add_flag("--list", *list, "The names of the scenarios");
  command->footer(
      "Same seed, same run. Exit status: 0 every promise of the protocol was kept, 1 one was broken, 2 it "
      "could "
      "not run.");
  command->callback([=, &exit_code] {
    if (*list) {
      for (const std::string& name : sim::scenario_names())
        std::printf("%s\n", describe(*sim::named_scenario(name, options->first_seed)).c_str());
      return;
    }
    if (count->empty()) options->seeds = seed->empty() && scenario->empty() ? kSeedsUnlessNamed : 1;
    exit_code = run_simulations(*options, stdout, sim::run_scenario);
  });
}

}  // namespace weft::bench
