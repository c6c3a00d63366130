// The variables of NCCL that users have set already, and what they mean to Weft: some stand in where Weft's
// own are unset, and of the NCCL_IB_* ones the others are named, so that nobody wonders why they do nothing.
//
// Pure; any thread.
#pragma once

#include "transport/engine/environment.h"

namespace weft::engine {

// Takes over what `environment` says where the WEFT_* variable of the same meaning is unset or empty; a
// variable that is overruled is not judged. kBadConfiguration names variable and value, what is accepted and
// what overrules it. Remarks go to config->nccl_remarks.
Status read_nccl_variables(const Environment& environment, Config* config);

}  // namespace weft::engine
