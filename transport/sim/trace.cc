#include "transport/sim/trace.h"

#include <cstdarg>

namespace weft::sim {

const char* to_string(multipath::FrameType type) {
  using multipath::FrameType;
  switch (type) {
    case FrameType::kData:
      return "DATA";
    case FrameType::kClearToSend:
      return "CTS";
    case FrameType::kFeedback:
      return "FEEDBACK";
    case FrameType::kPathDown:
      return "PATH_DOWN";
    case FrameType::kProbe:
      return "PROBE";
    case FrameType::kProbeReply:
      return "PROBE_REPLY";
    case FrameType::kGoodbye:
      return "GOODBYE";
    case FrameType::kPathDownConfirm:
      return "PATH_DOWN_CONFIRM";
  }
  return "?";
}

void Trace::line(int host, const char* format, ...) {
  if (!on()) return;
  double ms = static_cast<double>(clock_.now().time_since_epoch().count()) / 1e6;
  std::fprintf(out_, "%12.6f ms  %s  ", ms, host < 0 ? "-" : host == 0 ? "A" : "B");
  std::va_list arguments;
  va_start(arguments, format);
  std::vfprintf(out_, format, arguments);
  va_end(arguments);
  std::fputc('\n', out_);
}

void Trace::frame(int host, const char* what, std::size_t path, std::uint32_t incarnation,
                  const multipath::FrameHeader& header) {
  if (!on()) return;
  line(host,
       "%s %s path %zu.%u slot %u epoch %u length %u offset %llu bytes %llu seq %u account %u ack %u credit "
       "%u",
       what, to_string(header.type), path, incarnation, header.slot, header.epoch, header.length,
       static_cast<unsigned long long>(header.offset), static_cast<unsigned long long>(header.message_bytes),
       header.path_sequence, header.account_incarnation, header.path_acknowledged, header.credit_seen);
}

}  // namespace weft::sim
