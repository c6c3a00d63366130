// Reads the compressed lists of hosts that Slurm writes: "node[01-04,07],gpu1".
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weft::bootstrap {

// The first host of the list; nothing if the text is not such a list. Pure, any thread.
std::optional<std::string> first_host(std::string_view list);

}  // namespace weft::bootstrap
