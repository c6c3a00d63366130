// The `weft` command.
#include <CLI/CLI.hpp>
#include <string>

#include "bench/conform/conform.h"
#include "bench/demo/demo_command.h"
#include "bench/exit_status.h"
#include "bench/perf/perf_command.h"
#include "bench/sim/sim_command.h"
#include "bench/subcommand_choice.h"
#include "bench/version.h"

int main(int argc, char** argv) {
  int exit_code = 0;
  CLI::App app("Weft: collective operations over many paths at once", "weft");
  app.set_version_flag("--version", "weft " + weft::bench::version_text() + "\nbuilt by " +
                                        weft::bench::compiler() + ", " + weft::bench::build_type());
  app.require_subcommand(1);
  app.fallthrough(false);
  weft::bench::add_perf_command(app, {argv, argv + argc}, exit_code);
  weft::bench::add_demo_command(app, exit_code);
  weft::bench::add_conform_command(app, exit_code);
  weft::bench::add_sim_command(app, exit_code);
  if (const auto refused = weft::bench::refuse_unclear_subcommand(app, argc, argv)) return *refused;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : weft::bench::kCouldNotRun;
  }
  return exit_code;
}
