// What the suite hands to a plugin as NCCL's log function and profiler callback. Both may be called from any
// thread.
#pragma once

#include "plugins/nccl_net/abi/types.h"

namespace weft::bench::conform {

// Warnings go to stderr, which the runner captures and shows with a failure; the rest only when verbose.
void plugin_log(nccl::LogLevel level, unsigned long flags, const char* file, int line, const char* format,
                ...) __attribute__((format(printf, 5, 6)));
void set_plugin_log_verbose(bool verbose);
int plugin_warnings();

nccl::Result plugin_profiler(void** event_handle, int type, void* phandle, int64_t plugin_id,
                             void* extra_data);

}  // namespace weft::bench::conform
