// Counters as JSON, for files and for people.
#pragma once

#include <string>
#include <vector>

#include "weft/connection.h"

namespace weft::engine {

// {"version","pid","host","connections":[{"peer",...,"paths":[...]}]}; the fields are those of
// ConnectionStatistics and PathStatistics. `open` says of each connection whether it is still in use.
struct NamedConnection {
  ConnectionStatistics statistics;
  bool open = true;
};
std::string to_json(const std::vector<NamedConnection>& connections);

// Replaces %p by the process id and %h by the host name.
std::string expand_file_name(const std::string& pattern);

// Writes a whole file or nothing: a reader never sees half of it.
Status write_file(const std::string& name, const std::string& text);

}  // namespace weft::engine
