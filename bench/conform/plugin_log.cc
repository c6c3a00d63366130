#include "bench/conform/plugin_log.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>

namespace weft::bench::conform {
namespace {
std::atomic<bool> log_everything{false};
std::atomic<int> warnings{0};
}  // namespace

void plugin_log(nccl::LogLevel level, unsigned long, const char* file, int line, const char* format, ...) {
  const bool warn = level == nccl::LogLevel::kWarn;
  if (warn) warnings.fetch_add(1, std::memory_order_relaxed);
  if (!warn && !log_everything.load(std::memory_order_relaxed)) return;
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  std::fprintf(stderr, "plugin %s: %s (%s:%d)\n", warn ? "warns" : "says", text, file ? file : "?", line);
}

void set_plugin_log_verbose(bool verbose) {
  log_everything.store(verbose, std::memory_order_relaxed);
}
int plugin_warnings() {
  return warnings.load(std::memory_order_relaxed);
}

nccl::Result plugin_profiler(void**, int, void*, int64_t, void*) {
  return nccl::Result::kSuccess;
}

}  // namespace weft::bench::conform
