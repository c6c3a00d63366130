// Words for a person who replays a seed: one line an event, with the virtual time and the host.
#pragma once

#include <cstdio>
#include <string>

#include "transport/multipath/frame.h"
#include "transport/sim/clock.h"

namespace weft::sim {

class Trace {
 public:
  Trace(const Clock& clock, std::FILE* out) : clock_(clock), out_(out) {}
  bool on() const { return out_ != nullptr; }
  __attribute__((format(printf, 3, 4))) void line(int host, const char* format, ...);
  void frame(int host, const char* what, std::size_t path, std::uint32_t incarnation,
             const multipath::FrameHeader& header);

 private:
  const Clock& clock_;
  std::FILE* out_;
};

const char* to_string(multipath::FrameType type);

}  // namespace weft::sim
