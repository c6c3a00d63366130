// One end of a connection as a pure state machine: requests, credit, chunks, path choice, failover, revival
// and deadlines. It has no socket, clock, thread or random source: the driver (transport/engine with a
// backend, or transport/sim) tells it what happened and when, and asks it what to send and what to do.
//
//   handle_*, path_*, tick      what happened
//   poll_transmit, poll_action  what to do about it; call both until they return false, after every input
//
// How a failed path is settled (docs/transport.md has the reasons): the end that notices fences the path
// (nothing lands there any more) and sends the peer, over any other path or the path's next incarnation, a
// *path-down* with the final account of what had landed. The peer fences too and answers with its own
// account. Each end then sends again exactly the chunks that the other's account lacks. So no chunk ever
// lands twice, no late copy can meet a reused buffer, and a message is complete when its chunks are there.
//
// Threads: none of its own; one caller at a time. Nothing allocates after construction.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "transport/multipath/credit.h"
#include "transport/multipath/frame.h"
#include "transport/multipath/messages.h"
#include "transport/multipath/path.h"
#include "transport/multipath/path_choice.h"
#include "transport/multipath/plane.h"
#include "transport/multipath/types.h"
#include "weft/connection.h"

namespace weft::multipath {

struct EndpointConfig {
  std::vector<PlaneId> path_planes;      // one element a path
  std::uint64_t standby_planes = 0;      // bit i: plane i, as set_standby()
  bool connects = false;                 // this end reconnects failed paths; the other accepts
  std::size_t chunk_bytes = 512 * 1024;  // a power of two; equal at both ends
  Duration peer_timeout = std::chrono::milliseconds(1800);
  Duration path_timeout = std::chrono::milliseconds(20);
  Duration first_backoff = std::chrono::milliseconds(10);
  Duration largest_backoff = std::chrono::milliseconds(400);
  std::uint32_t good_probes_needed = 3;
  // For how long a plane may hold data beyond what its round trips need. Small where nothing but this limits
  // what a path takes.
  Duration window_slack = std::chrono::milliseconds(8);
};

// A process that is stopped, in a debugger or short of memory, is waited for while its host acknowledges what
// is sent, but not for ever: of one that died its host may go on acknowledging too, where somebody else holds
// its connections. This many times peer_timeout, by default 36 s; NCCL's own transport over InfiniBand waits
// about as long.
inline constexpr int kStoppedPeerPatience = 20;

// A frame to put on a path. `payload` points to header.length bytes of the caller's send buffer.
struct Transmission {
  PathId path{};
  FrameHeader header;
  const std::byte* payload = nullptr;
  // For backends that place data by themselves: the slot of the send whose chunk this is, and where the
  // receive lands that a clear-to-send announces.
  std::uint16_t send_slot = 0;
  MemoryKind payload_memory = MemoryKind::kHost;
  MemoryKind landing_memory = MemoryKind::kHost;
  std::byte* landing = nullptr;
};

enum class ActionKind : std::uint8_t {
  kFence,       // let nothing land from this path any more and send nothing on it; then call path_fenced()
  kReconnect,   // connect it anew with `incarnation`; then call path_connected() or reconnect_failed()
  kLost,        // news for the log: the path failed for `reason`
  kNotRevived,  // news for the log: a path that was connected anew failed for `reason` before it was trusted
  kRevived,     // news for the log: the path is in use again
  kFailed,      // news for the log: every path was silent for the peer timeout; all requests have failed
  kPeerClosed,  // news for the log: the peer closed the connection
};
struct Action {
  ActionKind kind{};
  PathId path{};
  Incarnation incarnation{};
  LossReason reason{};
};

// A request id names the direction and the slot; backends keep what belongs to a request by them.
struct RequestSlot {
  bool receives = false;
  std::uint16_t slot = 0;
};
RequestSlot slot_of(RequestId request);
// Ids below 2^30 are none of the endpoint's; to take_completion() they are unknown.
constexpr bool is_message(RequestId request) {
  return static_cast<std::uint32_t>(request) >> 30 != 0;
}

// Where a data frame's payload goes.
enum class LandingVerdict : std::uint8_t { kPlace, kDiscard, kProtocolError };
struct Landing {
  LandingVerdict verdict = LandingVerdict::kDiscard;
  std::byte* at = nullptr;      // header.length bytes, where verdict is kPlace
  const char* error = nullptr;  // what the peer did wrong
  std::uint32_t chunk = 0;      // where the message is cut into `chunks`
  std::uint32_t chunks = 0;
  MemoryKind memory = MemoryKind::kHost;  // of what is at `at`
};

class Endpoint {
 public:
  explicit Endpoint(const EndpointConfig& config);

  // Requests. See weft/connection.h.
  RequestId post_send(TimePoint now, const std::byte* data, std::uint64_t bytes, std::uint32_t tag,
                      MemoryKind memory = MemoryKind::kHost);
  RequestId post_receive(std::byte* data, std::uint64_t capacity, std::uint32_t tag,
                         MemoryKind memory = MemoryKind::kHost);
  bool has_receive_room(std::size_t count) const;
  // Whether a request is done; if so it is forgotten.
  Completion take_completion(RequestId request);
  bool has_pending_requests() const { return pending_requests_ != 0; }

  // Whether the account is closed of all that this connection of the path carried, or the link ends.
  bool is_dead(PathId path, Incarnation incarnation) const;
  // Paths. False from path_connected(): this incarnation is dead already; close it.
  bool may_connect(PathId path, Incarnation incarnation) const;
  bool path_connected(PathId path, Incarnation incarnation, TimePoint now);
  void reconnect_failed(PathId path, TimePoint now);
  // The peer answered that it does not know this connection (any more).
  void peer_forgot() { begin_end(Ending::kPeerClosed); }
  // The backend cannot go on: all requests fail, as if every path had been silent for the peer timeout.
  void give_up() { begin_end(Ending::kFailed); }
  // The connection of a path broke, and the backend has fenced it already.
  void path_lost(PathId path, Incarnation incarnation, LossReason reason, TimePoint now);
  void path_fenced(PathId path, TimePoint now);
  void path_blocked(PathId path) { paths_[index(path)].writable = false; }
  void path_writable(PathId path) { paths_[index(path)].writable = true; }
  // The path works although no frame has come: a large chunk crawls over a slow path, or the peer's process
  // is slow.
  void path_progressed(PathId path, TimePoint now);
  // Bytes came that the peer's process must have sent, though no frame is whole yet.
  void peer_spoke(TimePoint now) { peer_spoke_ = now; }
  // Sends a probe now, for its bytes' sake: the backend wants to see whether they get through.
  void request_probe(PathId path) {
    paths_[index(path)].probe_due = true;
    control_mask_ |= std::uint64_t{1} << index(path);
  }
  // The peer wants no larger chunks.
  void limit_chunk_bytes(std::size_t bytes) {
    config_.chunk_bytes = std::min(config_.chunk_bytes, std::bit_floor(bytes));
  }
  // Administration (MRC's DENIED). The last usable path cannot be denied: false.
  bool set_denied(PathId path, bool denied);

  // The plane's port at this end is far from what the process works with: it carries this end's data only
  // while a near one cannot.
  void set_standby(PlaneId plane, bool standby) { planes_[index(plane)].standby = standby; }

  // A control frame arrived, or the header of a data frame whose payload is `landing`. Null: all is well;
  // else what the peer did wrong, and the driver calls path_lost(kProtocolError).
  //
  // Duties of the driver that keep a hostile peer away from buffers that are the caller's again. A place from
  // data_begins() holds only until something else happens at this endpoint; before more of the payload is put
  // there, ask again and drop the rest if the answer differs. A frame that acknowledges data which still
  // waits in the driver's queue is a protocol error. kFailed and kPeerClosed end every use of buffers, queued
  // frames included.
  const char* handle_frame(PathId path, Incarnation incarnation, const FrameHeader& header, TimePoint now);
  Landing data_begins(PathId path, Incarnation incarnation, const FrameHeader& header) const;
  const char* data_landed(PathId path, Incarnation incarnation, const FrameHeader& header, TimePoint now);
  // The same where the payload was put in place right after data_begins() and nothing happened between them.
  const char* data_landed(PathId path, Incarnation incarnation, const FrameHeader& header,
                          const Landing& landing, TimePoint now);

  // About once a millisecond.
  void tick(TimePoint now);
  // Data that has arrived and that the peer has not been told of.
  std::uint64_t unacknowledged_bytes() const;
  // Feedback that waited for a data frame to travel with goes out by itself.
  void flush_feedback() { control_mask_ |= feedback_mask_; }
  // Cancels all requests; no user memory is referred to by what is sent or received from here on.
  void abandon() { fail_all(StatusCode::kCancelled); }
  void close(TimePoint now);  // says goodbye on every path
  // Everything that the peer has to know before this end may vanish was confirmed or sent.
  bool nothing_left_to_tell() const;

  bool poll_transmit(TimePoint now, Transmission& out);
  bool poll_action(Action& out);
  bool has_action() const { return action_count_ != 0; }
  bool wants_to_transmit() const;
  // A path that is silent for so long that its kernel or NIC should be asked whether it moves bytes.
  bool is_suspicious(PathId path, TimePoint now) const;

  std::span<const Path> paths() const { return {paths_.data(), paths_.size()}; }
  const Plane& plane_of(const Path& path) const { return planes_[index(path.plane)]; }
  // What `path` can be expected to carry in `time`, its plane's other paths being busy too. 0: unknown.
  std::uint64_t bytes_drained_in(Duration time, PathId path) const;
  bool failed() const { return ended_ && ending_ == Ending::kFailed; }
  // It failed although the paths work: the peer's process has said nothing for kStoppedPeerPatience timeouts.
  bool peer_is_mute() const { return peer_is_mute_; }
  bool peer_closed() const { return ended_ && ending_ == Ending::kPeerClosed; }
  Duration silence(TimePoint now) const { return now - heard_any_; }
  std::uint64_t stalls() const { return stalls_; }
  Duration longest_stall() const { return longest_stall_; }
  std::uint64_t messages_sent() const { return messages_sent_; }
  std::uint64_t messages_received() const { return messages_received_; }
  std::uint64_t duplicates_discarded() const { return duplicates_discarded_; }

 private:
  // Why the connection ends. Its requests fail only when every path is fenced: until then a frame may still
  // land in their buffers, or be read from them.
  enum class Ending : std::uint8_t { kNone, kFailed, kPeerClosed };
  struct Resend {
    std::uint16_t send_slot = 0;
    std::uint32_t chunk = 0;
    TimePoint stalled_since{};
  };

  // endpoint_requests.cc
  void bind(std::uint16_t send_slot, const Credit& credit);
  void match_credit();
  std::uint8_t choose_chunk_shift(std::uint64_t bytes) const;
  void complete_send(SendMessage& send, StatusCode result);
  void complete_receive(ReceiveMessage& receive, StatusCode result);
  void fail_all(StatusCode code);

  // endpoint_receive.cc
  ReceiveMessage* find_receive(const FrameHeader& header);
  const char* apply_feedback(Path& path, const FrameHeader& header, TimePoint now);
  void acknowledge_next(Path& path, TimePoint now);
  void credit_chunk(const OutstandingFrame& frame);
  const char* handle_credit(const Credit& credit);
  const char* handle_credit_with_data(const FrameHeader& header);
  void owe_feedback(PathId path, std::uint64_t bytes);
  void note_life(Path& path, TimePoint now);
  void note_overtaken(Path& path, TimePoint now);

  // endpoint_failover.cc
  void disconnect(PathId path);
  void tell_on_all_paths(PathId about);
  void declare_bad(PathId path, LossReason reason, bool fenced, TimePoint now);
  const char* handle_path_down(PathId arrived_on, const FrameHeader& header, TimePoint now);
  void settle(PathId path, TimePoint now);
  void resolve_outstanding(Path& path, TimePoint now);
  void consider_trust(PathId path, TimePoint now);
  void consider_goodbye();
  void begin_end(Ending ending);
  void consider_end();
  void push_action(ActionKind kind, PathId path, LossReason reason);

  // endpoint_deadlines.cc
  void tick_path(PathId path, TimePoint now);
  TimePoint silent_since(const Path& path) const;
  Duration silence_limit(const Path& path) const;
  Duration late_limit(const Path& path) const;
  bool peer_is_alive_elsewhere(PathId path, TimePoint since) const;
  void ask_others(PathId path, TimePoint since);
  bool wants_probe(const Path& path, TimePoint now) const;
  bool has_lost_frames(const Path& path, TimePoint now) const;
  void repeat_control(TimePoint now);
  void heartbeat_when_idle(TimePoint now);
  void doubt_asked_paths(TimePoint now);

  // endpoint_transmit.cc
  bool credit_can_ride() const;
  void add_credit(PathId path, Transmission& out);
  bool transmit_global_control(Transmission& out);
  bool transmit_path_down(Transmission& out);
  bool transmit_path_control(TimePoint now, Transmission& out);
  bool transmit_data(TimePoint now, Transmission& out);
  std::optional<PathId> control_path();
  std::optional<PathId> trustworthy_control_path();
  void stamp(PathId path, FrameHeader& header);
  void emit_chunk(PathId path, std::uint16_t slot, std::uint32_t chunk, bool resent, TimePoint now,
                  Transmission& out);
  void pop_resend();

  EndpointConfig config_;
  std::vector<Path> paths_;
  std::vector<Plane> planes_;
  PathChooser chooser_;

  std::vector<SendMessage> sends_;
  std::vector<ReceiveMessage> receives_;
  SlotList free_sends_;
  SlotList unbound_;       // sends without a credit, in order of posting
  SlotList transmitting_;  // bound sends with chunks that no path has, in order
  CreditStore credits_;
  std::uint64_t queued_bytes_ = 0;  // of `transmitting_` and `resends_`
  std::uint64_t next_receive_ = 0;
  std::uint64_t credits_sent_ = 0;  // receives below this were announced; steps back to announce them again
  std::uint64_t credits_ever_sent_ = 0;  // the furthest that it has been
  std::uint64_t credits_confirmed_ = 0;  // the peer has seen these
  std::size_t pending_requests_ = 0;
  // Since when there has been a pending request without a break; the tick notes it, so that posting needs no
  // clock.
  std::optional<TimePoint> pending_since_;

  std::vector<Resend> resends_;  // a ring; its capacity is all that can be outstanding
  std::size_t resend_first_ = 0;
  std::size_t resend_count_ = 0;

  std::vector<Action> actions_;  // a ring
  std::size_t action_first_ = 0;
  std::size_t action_count_ = 0;

  std::uint64_t control_mask_ = 0;   // paths with a control frame to send now
  std::uint64_t feedback_mask_ = 0;  // paths that owe feedback for data; it goes out when the driver is idle
  std::uint64_t lazy_feedback_mask_ =
      0;                         // paths that owe feedback for credit; it goes out with the next tick
  std::uint64_t down_mask_ = 0;  // paths whose path-down or confirmation is to be sent over others
  // Paths that carried a frame which the peer has to confirm: since the last round of repeats, and in the one
  // before. Where it did not and not a word came since, the path is doubtful, and repeats avoid it.
  std::uint64_t asked_mask_ = 0;
  std::uint64_t asked_before_mask_ = 0;
  std::uint64_t doubtful_mask_ = 0;
  TimePoint last_repeat_{};
  std::uint64_t credits_sent_at_last_repeat_ = 0;
  TimePoint heard_any_{};   // from the peer's process, or from its host on its behalf
  TimePoint peer_spoke_{};  // from its process
  bool peer_is_mute_ = false;
  TimePoint last_tick_{};
  TimePoint blind_until_{};         // before this nobody looked: silence until then proves nothing
  bool closing_ = false;            // close() was called
  std::uint64_t goodbye_mask_ = 0;  // paths on which we still have to say goodbye
  bool goodbye_seen_ = false;       // the peer has begun to say it; it is done when all its paths have
  Ending ending_ = Ending::kNone;
  bool ended_ = false;

  std::uint64_t stalls_ = 0;
  Duration longest_stall_{};
  std::uint64_t messages_sent_ = 0;
  std::uint64_t messages_received_ = 0;
  std::uint64_t duplicates_discarded_ = 0;
};

}  // namespace weft::multipath
