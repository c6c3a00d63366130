// Finds out from the environment which launcher started this process and what its place in the job is.
//
// Pure: variables come through a function, so that every launcher can be tested without it. Any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "weft/bootstrap.h"

namespace weft::bootstrap {

using Environment = std::function<std::optional<std::string>(const char* name)>;

// `launcher_process` tells jobs on one host apart whose launcher gives them no name; see launcher_process.h.
Result<JobPlace> place_from(const Environment& environment, int launcher_process);

}  // namespace weft::bootstrap
