#include "transport/multipath/plane.h"

namespace weft::multipath {
namespace {

constexpr Duration kWindow = std::chrono::seconds(1);
constexpr double kTypicalWeight = 1.0 / 16;
constexpr std::uint64_t kFirstWindowBytes = 256 * 1024;

}  // namespace

void RateEstimator::sample(TimePoint now, double bytes_per_ns, bool busy) {
  if (busy && now - window_began_ > kWindow) {
    previous_ = now - window_began_ > 4 * kWindow ? 0 : current_;
    current_ = 0;
    window_began_ = now;
  }
  current_ = std::max(current_, bytes_per_ns);
  if (typical_ == 0) {
    typical_ = bytes_per_ns;
  } else if (busy || bytes_per_ns > typical_) {
    typical_ += (bytes_per_ns - typical_) * kTypicalWeight;
  }
}

std::uint64_t Plane::window_bytes(Duration slack) const {
  double highest = rate.highest();
  if (highest == 0) return kFirstWindowBytes;
  Duration base = smallest_rtt == Duration::max() ? Duration::zero() : smallest_rtt;
  return static_cast<std::uint64_t>(highest * static_cast<double>((2 * base + slack).count()));
}

}  // namespace weft::multipath
