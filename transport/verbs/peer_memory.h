// Whether the kernel can give NICs the memory of a GPU by its addresses: a module beside the GPU's driver
// translates them then (nvidia_peermem, before that nv_peer_mem; AMD's driver has it built in).
//
// Pure but for reading /sys; any thread.
#pragma once

#include <string>

namespace weft::verbs {

// `sys`: where sysfs is.
bool has_peer_memory(const std::string& sys = "/sys");

}  // namespace weft::verbs
