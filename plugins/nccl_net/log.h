// Weft's lines on their way into NCCL's log, so that NCCL_DEBUG, NCCL_DEBUG_SUBSYS and NCCL_DEBUG_FILE rule
// them.
//
// Any thread. Before NCCL has handed its log function over, lines are dropped. Nothing is owned.
#pragma once

#include <string>

#include "plugins/nccl_net/abi/types.h"
#include "weft/config.h"

namespace weft::nccl_net {

// NCCL passes the same function with every init; it stays valid for the life of the process.
void set_log_function(nccl::LogFunction function);

// Shown with NCCL_DEBUG=WARN and above, whatever the subsystems.
void log_warning(const std::string& message);
// Shown with NCCL_DEBUG=INFO if one of `subsystems` (kLogInit, ...) is asked for.
void log_info(unsigned long subsystems, const std::string& message);

// What Context::create gets: errors and warnings become NCCL warnings, the rest INFO lines of subsystem NET.
LogSink context_log_sink();

}  // namespace weft::nccl_net
