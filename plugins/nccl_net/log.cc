#include "plugins/nccl_net/log.h"

#include <atomic>

namespace weft::nccl_net {
namespace {

std::atomic<nccl::LogFunction> log_function{nullptr};

void write(nccl::LogLevel level, unsigned long subsystems, const std::string& message) {
  if (nccl::LogFunction function = log_function.load(std::memory_order_acquire)) {
    function(level, subsystems, "nccl_net_weft", 0, "NET/Weft : %s", message.c_str());
  }
}

}  // namespace

void set_log_function(nccl::LogFunction function) {
  if (function) log_function.store(function, std::memory_order_release);
}

void log_warning(const std::string& message) {
  write(nccl::LogLevel::kWarn, nccl::kLogAll, message);
}

void log_info(unsigned long subsystems, const std::string& message) {
  write(nccl::LogLevel::kInfo, subsystems, message);
}

LogSink context_log_sink() {
  return [](LogLevel level, const std::string& message) {
    if (level == LogLevel::kError || level == LogLevel::kWarn) {
      log_warning(message);
    } else {
      log_info(nccl::kLogNet, message);
    }
  };
}

}  // namespace weft::nccl_net
