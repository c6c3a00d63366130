// The file of WEFT_STATS_FILE, and the thread that keeps it up to date. The thread does nothing else: a file
// system that hangs holds up no deadline and no probe, only the writer's own end.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "transport/engine/log.h"
#include "weft/status.h"

namespace weft::engine {

// Replaces %p by the process id, %h by the host name and %% by a percent sign.
std::string expand_file_name(const std::string& pattern);

// A file that is replaced as a whole. One thread.
class StatisticsFile {
 public:
  // Tries whether it can be written. kBadConfiguration says why not.
  static Result<StatisticsFile> open(const std::string& pattern);

  // A reader sees the text before or after, never half of it.
  Status write(const std::string& text);
  // Another process has written the file since open(), or since the last write(): they undo each other's
  // work.
  bool has_other_writer() const { return has_other_writer_; }
  const std::string& name() const { return name_; }

 private:
  // What stands under the name: a file that was written by rename() is known again by these.
  struct Identity {
    dev_t device = 0;
    ino_t number = 0;
    std::time_t seconds = 0;
    long nanoseconds = 0;

    bool operator==(const Identity&) const = default;
  };
  static Identity identity_of(const std::string& name);

  std::string name_;
  std::string temporary_;  // this writer's alone
  Identity last_seen_;
  bool has_other_writer_ = false;
};

// Writes `make_text()` at every interval (0: never) and when it is destroyed. `make_text` is called on its
// thread.
class StatisticsWriter {
 public:
  StatisticsWriter(StatisticsFile file, std::chrono::milliseconds interval,
                   std::function<std::string()> make_text, std::shared_ptr<const Log> log);
  // Waits for the last write.
  ~StatisticsWriter();

 private:
  void run();
  void write();

  StatisticsFile file_;
  const std::chrono::milliseconds interval_;
  const std::function<std::string()> make_text_;
  const std::shared_ptr<const Log> log_;
  bool failing_ = false;
  bool has_warned_of_other_ = false;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace weft::engine
