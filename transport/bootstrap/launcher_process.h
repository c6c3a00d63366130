// Finds the process that started the ranks of this host. MPICH's mpirun gives its jobs no name; their ranks
// share this process, also where each runs under a shell or a wrapper of its own.
#pragma once

#include <span>
#include <string_view>

namespace weft::bootstrap {

// The nearest ancestor without this process's value of any of `rank_variables` in its environment; as near to
// it as /proc shows. Reads the environment and /proc: not while another thread sets variables.
int launcher_process(std::span<const char* const> rank_variables);

// Whether an environment, as /proc/PID/environ has it, holds the entry "NAME=value".
bool has_entry(std::string_view environment, std::string_view entry);

}  // namespace weft::bootstrap
