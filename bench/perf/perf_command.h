// `weft perf`: its subcommands and flags.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace weft::bench {

// Adds the subcommand; when it has run, `exit_code` is set: 0 all was right, 1 something was wrong or failed,
// 2 it could not run as asked. `words` is the whole command line, for the report.
void add_perf_command(CLI::App& app, const std::vector<std::string>& words, int& exit_code);

}  // namespace weft::bench
