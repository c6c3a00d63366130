// The file that -J names: opened before anything is measured, filled when all is known.
//
// One thread; a process that is forked off may write in place of the one that opened it. Errors name the file
// and say why.
#pragma once

#include <string>

#include "weft/status.h"

namespace weft::bench {

class ReportFile {
 public:
  ReportFile() = default;
  ~ReportFile();
  ReportFile(const ReportFile&) = delete;
  ReportFile& operator=(const ReportFile&) = delete;

  // What the file holds stays there until write(), for the case that there never is a report.
  Status open(const std::string& path);
  bool is_open() const { return descriptor_ >= 0; }
  // Replaces what the file held; once.
  Status write(const std::string& text);

 private:
  Status failed(const char* what, int error) const;

  std::string path_;
  int descriptor_ = -1;
};

}  // namespace weft::bench
