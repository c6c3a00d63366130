// `weft demo`: what Weft is for, in half a minute on any machine.
#pragma once

namespace CLI {
class App;
}

namespace weft::bench {

// exit_code is 0 only if every element was right and the cut path came back; 2 if the demonstration could not
// run.
void add_demo_command(CLI::App& app, int& exit_code);

}  // namespace weft::bench
