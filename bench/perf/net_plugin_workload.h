// `weft perf sendrecv --net-plugin FILE`: the same rows, with the data moved by a plugin for NCCL's network,
// whose ever it is, called as NCCL's proxy calls it: a ring of eight slices of 512 KiB (the buffer of NCCL's
// Simple protocol) in each direction, each a message, of which the oldest is tested. What nccl-tests cannot
// show without GPUs, and with them not apart from the rest of NCCL.
//
// One thread. The job's own connections carry nothing meanwhile.
#pragma once

#include <memory>
#include <string>

#include "bench/job/job.h"
#include "bench/perf/workload.h"

namespace weft::bench {

// Loads the plugin's highest version, and connects to the next rank and from the previous. Collective: all
// ranks fail where one does, with its words (kBadConfiguration).
Result<std::unique_ptr<Workload>> make_net_plugin_workload(Job& job, const std::string& path);

}  // namespace weft::bench
