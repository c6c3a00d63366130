#include "transport/multipath/path.h"

#include <algorithm>

#include "transport/multipath/planted_bug.h"

namespace weft::multipath {

const char* to_string(PathState state) {
  switch (state) {
    case PathState::kGood:
      return "GOOD";
    case PathState::kSkip:
      return "SKIP";
    case PathState::kAssumedBad:
      return "ASSUMED_BAD";
    case PathState::kDenied:
      return "DENIED";
  }
  return "?";
}

const char* to_string(LossReason reason) {
  switch (reason) {
    case LossReason::kSilent:
      return "it fell silent while data on it was unacknowledged";
    case LossReason::kClosed:
      return "the peer's end of it was closed";
    case LossReason::kReset:
      return "its connection broke";
    case LossReason::kPeerSaidSo:
      return "the peer gave it up";
    case LossReason::kProtocolError:
      return "the peer sent a malformed frame on it";
    case LossReason::kChecksum:
      return "a payload on it had a wrong checksum";
    case LossReason::kCut:
      return "it was cut by hand";
    case LossReason::kReplaced:
      return "the peer connected it anew";
    case LossReason::kLostFrames:
      return "data on it was lost although the path answers";
    case LossReason::kUnanswered:
      return "the peer's NIC left every retry unanswered";
    case LossReason::kRefused:
      return "the peer's NIC refused an operation on it";
    case LossReason::kLocalFault:
      return "the local NIC reported an error on it";
    case LossReason::kPortDown:
      return "the local port went down";
    case LossReason::kAddressGone:
      return "the local port's address changed";
    case LossReason::kDeviceFailed:
      return "the local NIC failed";
  }
  return "?";
}

bool Path::mark_received(std::uint32_t sequence) {
  std::int32_t ahead = serial_distance(received_in_order, sequence);
  if (ahead < 0) return true;
  if (ahead >= static_cast<std::int32_t>(kPathWindowFrames)) return false;
  if (ahead > 0) {
    received_beyond |= std::uint64_t{1} << (ahead - 1);
    return true;
  }
  ++received_in_order;
  while (received_beyond & 1) {
    ++received_in_order;
    received_beyond >>= 1;
  }
  received_beyond >>= 1;
  return true;
}

void Path::begin(Incarnation fresh, TimePoint now) {
  incarnation = fresh;
  connected = true;
  writable = true;
  received_in_order = 0;
  received_beyond = 0;
  feedback_due = false;
  unacknowledged_frames = 0;
  unacknowledged_bytes = 0;
  last_heard = now;
  last_probe = {};
  probe_in_flight = 0;
  overtaken = false;
  good_probes = 0;
  probe_due = false;
  reply_due = 0;
  reconnecting = false;
}

void Path::begin_sending() {
  sending_incarnation = incarnation;
  next_sequence = 0;
  if (!planted(Bug::kAcknowledgesAcrossIncarnations)) acknowledged = 0;
}

}  // namespace weft::multipath
