// The name of this host, for file names and reports.
#pragma once

#include <string>

namespace weft::engine {

std::string host_name();

}  // namespace weft::engine
