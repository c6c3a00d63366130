// A log function as NCCL passes it, which keeps what it is given. Any thread.
#pragma once

#include <string>
#include <vector>

#include "plugins/nccl_net/abi/types.h"

namespace weft::nccl {

struct LogLine {
  LogLevel level;
  unsigned long subsystems;
  std::string text;
};

void capture_log(LogLevel level, unsigned long subsystems, const char* file, int line, const char* format,
                 ...) __attribute__((format(printf, 5, 6)));
// What was logged since the last call.
std::vector<LogLine> take_log();
// Lines of this level that contain `text`, out of `lines`.
int count_lines(const std::vector<LogLine>& lines, LogLevel level, const std::string& text);

}  // namespace weft::nccl
