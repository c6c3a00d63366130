// `weft sim`: the protocol on the simulated fabric, by seed or by scenario.
#pragma once

namespace CLI {
class App;
}

namespace weft::bench {

// Adds the subcommand; when it has run, `exit_code` is set: 0 every promise was kept, 1 one was broken, 2 it
// could not run.
void add_sim_command(CLI::App& app, int& exit_code);

}  // namespace weft::bench
