// `weft conform PLUGIN.so`: does a network plugin behave as NCCL needs? Works for any plugin, on host memory.
//
// The process that runs it must have one thread only: every check is forked off.
#pragma once

namespace CLI {
class App;
}

namespace weft::bench {

// Adds the subcommand. When the user chose it, app.parse() runs the suite and sets exit_code: 0 passed, 1
// failed, 2 could not run.
void add_conform_command(CLI::App& app, int& exit_code);

// The same with a command line of its own: argv[1] and on are the subcommand's arguments.
int conform_main(int argc, char** argv);

}  // namespace weft::bench
