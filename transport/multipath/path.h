// One path as its sender and receiver see it: its state, what is unacknowledged on it, what arrived on it,
// and how fast and how alive it is. States are those of the MRC specification (Open Compute Project, 2026).
#pragma once

#include <array>
#include <cstdint>

#include "transport/multipath/types.h"

namespace weft::multipath {

enum class PathState : std::uint8_t {
  kGood,        // takes traffic
  kSkip,        // congested: passed over for one rotation
  kAssumedBad,  // failed or silent: fenced, and needs good probes before it is used again
  kDenied,      // taken out by the administrator; nothing but an order brings it back
};
const char* to_string(PathState state);

enum class LossReason : std::uint8_t {
  kSilent,
  kClosed,
  kReset,
  kPeerSaidSo,
  kProtocolError,
  kChecksum,
  kCut,
  kReplaced,
  kLostFrames,
  kUnanswered,  // the reasons of a NIC from here on
  kRefused,
  kLocalFault,
  kPortDown,
  kAddressGone,
  kDeviceFailed,
};
const char* to_string(LossReason reason);

// Smoothed round trip and deviation, RFC 6298 with its constants.
class RttEstimator {
 public:
  void sample(Duration rtt) {
    if (smoothed_ == Duration::zero()) {
      smoothed_ = rtt;
      deviation_ = rtt / 2;
      return;
    }
    Duration error = rtt > smoothed_ ? rtt - smoothed_ : smoothed_ - rtt;
    deviation_ += (error - deviation_) / 4;
    smoothed_ += (rtt - smoothed_) / 8;
  }
  Duration smoothed() const { return smoothed_; }
  Duration deviation() const { return deviation_; }

 private:
  Duration smoothed_{};
  Duration deviation_{};
};

// A data frame that is sent and not yet acknowledged.
struct OutstandingFrame {
  std::uint16_t send_slot = 0;
  std::uint32_t chunk = 0;
  std::uint32_t length = 0;
  TimePoint sent{};
  std::uint64_t delivered_before = 0;  // bytes acknowledged on the plane when it was sent
  bool resent = false;
  bool busy = false;  // others were unacknowledged on the plane when it was sent
};

// What this end has to tell the peer about a path's dead incarnations. An end sends data on an incarnation
// only when it knows the fate of everything that it sent on earlier ones; so one account, that of the last
// incarnation on which anything landed here, says all: on later ones nothing did, and earlier ones are
// settled.
struct DownState {
  bool to_tell = false;  // not yet confirmed by the peer
  // Paths over which it still has to go out. It goes over all, and the one with the shortest queue decides
  // how long the path's data waits.
  std::uint64_t to_send = 0;
  std::uint32_t dead_through = 0;  // this incarnation and all before are fenced here
  std::uint32_t account_incarnation = 0;
  std::uint32_t account_in_order = 0;  // data frames that landed, as in Path::received_in_order
  std::uint64_t account_beyond = 0;
  // The peer's account, kept until our own fence stands.
  bool peer_told = false;  // meaningless before this is set:
  std::uint32_t peer_dead_through = 0;
  std::uint32_t peer_account_incarnation = 0;
  std::uint32_t peer_in_order = 0;
  std::uint64_t peer_beyond = 0;
  bool confirm_due = false;  // the peer waits for our confirmation of its account
};

struct Path {
  PlaneId plane{};
  PathState state = PathState::kAssumedBad;
  Incarnation incarnation{};          // of the present or the last connection
  std::uint32_t dead_before = 0;      // incarnations below this are fenced for good and may not connect
  Incarnation sending_incarnation{};  // to which the sending counters belong; they wait for an account after
                                      // a failure
  bool connected = false;
  bool writable = false;  // the backend takes frames now
  bool trusted = false;   // connected, and probed if it has failed before
  LossReason last_loss = LossReason::kSilent;

  // Sending.
  std::uint32_t next_sequence = 0;                                // of the next data frame
  std::uint32_t acknowledged = 0;                                 // data frames the peer has in order
  std::array<OutstandingFrame, kPathWindowFrames> outstanding{};  // by sequence modulo the window
  std::uint64_t bytes_in_flight = 0;
  bool unresolved = false;    // it failed with frames outstanding, and the peer's account is not here yet
  TimePoint stalled_since{};  // last sign of life before that failure
  RttEstimator rtt;
  Duration smallest_rtt = Duration::max();

  // Receiving.
  std::uint32_t received_in_order = 0;
  std::uint64_t received_beyond = 0;  // bit i: frame received_in_order + 1 + i is here
  bool feedback_due = false;
  std::uint32_t unacknowledged_frames = 0;
  std::uint64_t unacknowledged_bytes = 0;

  DownState down;

  // Signs of life.
  TimePoint last_heard{};
  TimePoint waiting_since{};  // since when an answer is due; meaningful while is_waiting()
  TimePoint last_probe{};
  std::uint32_t next_probe = 1;
  std::uint32_t probe_in_flight = 0;  // 0: none
  std::uint32_t probe_behind = 0;     // next_sequence when that probe went out
  // Data that a later probe has overtaken is lost, unless it comes soon.
  bool overtaken = false;
  std::uint32_t overtaken_sequence = 0;
  TimePoint overtaken_since{};
  std::uint32_t good_probes = 0;
  bool probe_due = false;
  std::uint32_t reply_due = 0;  // number of the probe to answer; 0: none

  bool said_goodbye = false;

  // Revival (connecting side).
  std::uint32_t last_attempt = 0;  // incarnation of the last connection attempt; each attempt gets a new one
  TimePoint trusted_since{};
  Duration backoff{};
  TimePoint reconnect_at{};
  bool reconnecting = false;
  bool fence_pending = false;  // the backend was asked to fence it and has not said that it did

  // Counters for statistics.
  std::uint64_t bytes_sent = 0, bytes_received = 0, chunks_sent = 0, chunks_resent = 0;
  std::uint64_t failures = 0, revivals = 0;

  std::uint32_t in_flight_frames() const { return next_sequence - acknowledged; }
  bool is_waiting() const { return in_flight_frames() != 0 || probe_in_flight != 0; }
  // May carry new chunks (it may still be full at the moment).
  bool usable() const { return trusted && (state == PathState::kGood || state == PathState::kSkip); }
  // Takes note of data frame `sequence`. False: outside the window, which no honest peer does.
  bool mark_received(std::uint32_t sequence);
  // A new connection begins. The sending side's frames of the old one stay until their fate is known.
  void begin(Incarnation fresh, TimePoint now);
  // The sending counters start anew, for the present incarnation.
  void begin_sending();
};

}  // namespace weft::multipath
