// The user's log sink, made safe to call from any thread, and the level below which nothing is said.
#pragma once

#include <mutex>
#include <string>

#include "weft/config.h"

namespace weft::engine {

class Log {
 public:
  Log(LogSink sink, LogLevel level) : sink_(std::move(sink)), level_(level) {}
  bool wants(LogLevel level) const { return sink_ && level <= level_; }
  void operator()(LogLevel level, const std::string& message) const {
    if (!wants(level)) return;
    std::lock_guard lock(mutex_);
    sink_(level, message);
  }

 private:
  LogSink sink_;
  LogLevel level_;
  mutable std::mutex mutex_;
};

}  // namespace weft::engine
