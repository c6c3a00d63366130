#include "bench/perf/progress.h"

#include <fmt/format.h>
#include <unistd.h>

namespace weft::bench {
namespace {
using std::chrono::steady_clock;
constexpr auto kSilence = std::chrono::seconds(2);
constexpr auto kInterval = std::chrono::milliseconds(250);

void write_to(int terminal, const std::string& text) {
  if (::write(terminal, text.data(), text.size()) < 0) return;  // a progress line is not worth an error
}
}  // namespace

Progress::Progress(int terminal)
    : terminal_(terminal), start_(steady_clock::now()), next_(start_ + kSilence) {}

void Progress::show(const std::string& what, int done, int total) {
  if (terminal_ < 0) return;
  const auto now = steady_clock::now();
  if (now < next_) return;
  next_ = now + kInterval;
  shown_ = true;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  write_to(terminal_, fmt::format("\r\033[K{}: {} of {}, {:.0f} s", what, done, total, elapsed));
}

void Progress::clear() {
  if (shown_) write_to(terminal_, "\r\033[K");
  shown_ = false;
}

}  // namespace weft::bench
