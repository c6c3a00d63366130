#include "transport/engine/statistics_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <utility>

#include "transport/engine/host_name.h"
#include "transport/engine/service_thread.h"

namespace weft::engine {
namespace {

// Process ids are no name: ranks on other hosts may share the folder.
std::string unique_suffix() {
  std::random_device random;
  return fmt::format(".{:08x}{:08x}.tmp", random(), random());
}

int open_new(const std::string& name) {
  return ::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

// 0 or the reason.
int write_all(int descriptor, const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t put = ::write(descriptor, text.data() + done, text.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return put < 0 ? errno : EIO;
    done += static_cast<std::size_t>(put);
  }
  return 0;
}

}  // namespace

std::string expand_file_name(const std::string& pattern) {
  std::string name;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    bool escape = pattern[i] == '%' && i + 1 < pattern.size();
    if (escape && pattern[i + 1] == 'p') {
      name += std::to_string(getpid());
      ++i;
    } else if (escape && pattern[i + 1] == 'h') {
      name += host_name();
      ++i;
    } else if (escape && pattern[i + 1] == '%') {
      name += '%';
      ++i;
    } else {
      name += pattern[i];
    }
  }
  return name;
}

StatisticsFile::Identity StatisticsFile::identity_of(const std::string& name) {
  struct stat found {};
  if (::lstat(name.c_str(), &found) != 0) return {};
  return {found.st_dev, found.st_ino, found.st_mtim.tv_sec, found.st_mtim.tv_nsec};
}

Result<StatisticsFile> StatisticsFile::open(const std::string& pattern) {
  StatisticsFile file;
  file.name_ = expand_file_name(pattern);
  file.temporary_ = file.name_ + unique_suffix();
  const auto refused = [&](const char* why) {
    return Status(StatusCode::kBadConfiguration,
                  fmt::format("WEFT_STATS_FILE=\"{}\": cannot write {}: {}. Name a "
                              "file in a folder that is there and may be written.",
                              pattern, file.name_, why));
  };
  // The file is replaced, so a device or a folder in its place would go, or could not.
  struct stat found {};
  if (::stat(file.name_.c_str(), &found) == 0 && !S_ISREG(found.st_mode))
    return refused("not an ordinary file");
  const int descriptor = open_new(file.temporary_);
  if (descriptor < 0) return refused(std::strerror(errno));
  ::close(descriptor);
  ::unlink(file.temporary_.c_str());
  file.last_seen_ = identity_of(file.name_);
  return file;
}

Status StatisticsFile::write(const std::string& text) {
  const int descriptor = open_new(temporary_);
  int error = descriptor < 0 ? errno : write_all(descriptor, text);
  if (descriptor >= 0 && ::close(descriptor) != 0 && error == 0) error = errno;
  const Identity before = identity_of(name_);
  if (before != Identity() && before != last_seen_) has_other_writer_ = true;
  const Identity ours = identity_of(temporary_);
  if (error == 0 && ::rename(temporary_.c_str(), name_.c_str()) != 0) error = errno;
  if (error == 0) {
    last_seen_ = ours;
    return Status::ok();
  }
  ::unlink(temporary_.c_str());
  return {StatusCode::kInternal,
          fmt::format("cannot write statistics to {}: {} (WEFT_STATS_FILE)", name_, std::strerror(error))};
}

StatisticsWriter::StatisticsWriter(StatisticsFile file, std::chrono::milliseconds interval,
                                   std::function<std::string()> make_text, std::shared_ptr<const Log> log)
    : file_(std::move(file)),
      interval_(interval),
      make_text_(std::move(make_text)),
      log_(std::move(log)),
      thread_(start_service_thread("weft-stats", [this] { run(); })) {}

StatisticsWriter::~StatisticsWriter() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void StatisticsWriter::run() {
  std::unique_lock lock(mutex_);
  for (bool is_last = false; !is_last;) {
    if (interval_.count() == 0) {
      wake_.wait(lock, [this] { return stopping_; });
    } else {
      wake_.wait_for(lock, interval_, [this] { return stopping_; });
    }
    is_last = stopping_;
    lock.unlock();
    write();
    lock.lock();
  }
}

// What goes on is said once.
void StatisticsWriter::write() {
  const Status written = file_.write(make_text_());
  if (!written && !failing_) (*log_)(LogLevel::kWarn, written.message());
  failing_ = !written;
  if (!file_.has_other_writer() || std::exchange(has_warned_of_other_, true)) return;
  (*log_)(LogLevel::kWarn,
          fmt::format("another process writes {} too, and only the counters of the last one stand "
                      "there: put %p (process id) or %h (host name) into WEFT_STATS_FILE",
                      file_.name()));
}

}  // namespace weft::engine
