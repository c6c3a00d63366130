// The user's log sink, made safe to call from any thread, and the level below which nothing is said.
#pragma once

#include <atomic>
#include <mutex>
#include <set>
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
  // What would otherwise be said again and again, by everybody who meets it: true for the first.
  bool is_first_without_descriptors() const { return !told_of_descriptors_.exchange(true); }
  // The same for what is said once of each peer: the first time that `what` comes.
  bool is_first(const std::string& what) const {
    std::lock_guard lock(mutex_);
    return told_.insert(what).second;
  }

 private:
  LogSink sink_;
  LogLevel level_;
  mutable std::mutex mutex_;
  mutable std::atomic<bool> told_of_descriptors_{false};
  mutable std::set<std::string> told_;
};

}  // namespace weft::engine
