// Which subcommand the user wants: says what there is, and what was probably meant, where the parser would
// only say that something is missing.
#pragma once

#include <optional>

namespace CLI {
class App;
}

namespace weft::bench {

// The exit status if the words do not lead to a subcommand that does something; the reason is on stderr then.
std::optional<int> refuse_unclear_subcommand(const CLI::App& app, int argc, const char* const* argv);

}  // namespace weft::bench
