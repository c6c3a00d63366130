#include "bench/perf/report_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace weft::bench {
namespace {

// -J /dev/stdout, where that is a file: the table is in it already.
bool is_standard_output(int descriptor) {
  struct stat ours {};
  struct stat standard {};
  return ::fstat(descriptor, &ours) == 0 && ::fstat(STDOUT_FILENO, &standard) == 0 &&
         ours.st_dev == standard.st_dev && ours.st_ino == standard.st_ino;
}

}  // namespace

ReportFile::~ReportFile() {
  if (is_open()) ::close(descriptor_);
}

Status ReportFile::open(const std::string& path) {
  path_ = path;
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  return is_open() ? Status::ok() : failed("open", errno);
}

Status ReportFile::write(const std::string& text) {
  if (is_standard_output(descriptor_)) {
    (void)::lseek(descriptor_, 0, SEEK_END);
  } else if (::ftruncate(descriptor_, 0) != 0 && errno != EINVAL) {  // EINVAL: a pipe or a device
    return failed("empty", errno);
  }
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t put = ::write(descriptor_, text.data() + done, text.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return failed("write", put < 0 ? errno : EIO);
    done += static_cast<std::size_t>(put);
  }
  // A network file system may say only now that it is full.
  return ::close(std::exchange(descriptor_, -1)) == 0 ? Status::ok() : failed("write", errno);
}

Status ReportFile::failed(const char* what, int error) const {
  return {StatusCode::kBadConfiguration,
          "cannot " + std::string(what) + " the report " + path_ + " (-J): " + std::strerror(error)};
}

}  // namespace weft::bench
