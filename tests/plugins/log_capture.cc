#include "tests/plugins/log_capture.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <utility>

namespace weft::nccl {
namespace {

std::mutex mutex;
std::vector<LogLine> lines;

}  // namespace

void capture_log(LogLevel level, unsigned long subsystems, const char*, int, const char* format, ...) {
  char text[4096];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  std::lock_guard lock(mutex);
  lines.push_back({level, subsystems, text});
}

std::vector<LogLine> take_log() {
  std::lock_guard lock(mutex);
  return std::exchange(lines, {});
}

int count_lines(const std::vector<LogLine>& from, LogLevel level, const std::string& text) {
  return static_cast<int>(std::count_if(from.begin(), from.end(), [&](const LogLine& line) {
    return line.level == level && line.text.find(text) != std::string::npos;
  }));
}

}  // namespace weft::nccl
