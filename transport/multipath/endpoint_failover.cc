// Paths that come, fail, are settled and come back; the end of a connection.
#include <algorithm>
#include <cassert>
#include <utility>

#include "transport/multipath/endpoint.h"
#include "transport/multipath/planted_bug.h"

namespace weft::multipath {
namespace {

constexpr Duration kProvenGood = std::chrono::seconds(1);

bool landed(std::uint32_t sequence, std::uint32_t in_order, std::uint64_t beyond) {
  std::int32_t ahead = serial_distance(in_order, sequence);
  if (ahead < 0) return true;
  if (planted(Bug::kIgnoresAccountMask)) return false;
  return ahead > 0 && ahead < static_cast<std::int32_t>(kPathWindowFrames) && ((beyond >> (ahead - 1)) & 1);
}

}  // namespace

void Endpoint::push_action(ActionKind kind, PathId path, LossReason reason) {
  if (action_count_ == actions_.size())
    return;  // news only: orders are at most two a path and are taken at once
  actions_[(action_first_ + action_count_++) % actions_.size()] = {kind, path,
                                                                   paths_[index(path)].incarnation, reason};
}

bool Endpoint::poll_action(Action& out) {
  if (action_count_ == 0) return false;
  out = actions_[action_first_];
  action_first_ = (action_first_ + 1) % actions_.size();
  --action_count_;
  return true;
}

bool Endpoint::may_connect(PathId id, Incarnation incarnation) const {
  if (index(id) >= paths_.size() || ending_ != Ending::kNone) return false;
  const Path& path = paths_[index(id)];
  if (number(incarnation) < path.dead_before || path.fence_pending) return false;
  return !path.connected || number(incarnation) > number(path.incarnation);
}

bool Endpoint::is_dead(PathId id, Incarnation incarnation) const {
  return ending_ != Ending::kNone || number(incarnation) < paths_[index(id)].dead_before;
}

bool Endpoint::path_connected(PathId id, Incarnation incarnation, TimePoint now) {
  Path& path = paths_[index(id)];
  if (!may_connect(id, incarnation)) {
    if (path.reconnecting && number(incarnation) == path.last_attempt) reconnect_failed(id, now);
    return false;
  }
  if (path.connected) declare_bad(id, LossReason::kReplaced, true, now);
  path.begin(incarnation, now);
  path.last_attempt = std::max(path.last_attempt, number(incarnation));
  // A connection is no sign of life by itself: attempts can reach this end, one after another, over a fabric
  // that carries nothing back. The first one is the beginning of time.
  if (heard_any_ == TimePoint{}) heard_any_ = peer_spoke_ = now;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    if (!paths_[i].down.to_tell || planted(Bug::kNeverRepeatsPathDown)) continue;
    paths_[i].down.to_send |= mask_of(id);
    down_mask_ |= mask_of(static_cast<PathId>(i));
  }
  if (closing_) {
    // The path that was to carry our goodbye may have been given up for the buffer of which it held a part.
    goodbye_mask_ |= mask_of(id);
    control_mask_ |= mask_of(id);
  }
  consider_trust(id, now);
  return true;
}

void Endpoint::reconnect_failed(PathId id, TimePoint now) {
  Path& path = paths_[index(id)];
  path.reconnecting = false;
  path.reconnect_at = now + path.backoff;
  path.backoff = std::min(path.backoff * 2, config_.largest_backoff);
}

void Endpoint::path_lost(PathId id, Incarnation incarnation, LossReason reason, TimePoint now) {
  Path& path = paths_[index(id)];
  if (!path.connected || path.incarnation != incarnation) return;
  if (closing_ && !(goodbye_mask_ & mask_of(id))) {
    // Our goodbye is out; that the peer ends the path is its answer.
    path.said_goodbye = true;
    goodbye_seen_ = true;
  }
  declare_bad(id, reason, true, now);
}

void Endpoint::path_fenced(PathId id, TimePoint now) {
  if (paths_[index(id)].fence_pending) settle(id, now);
}

void Endpoint::path_progressed(PathId id, TimePoint now) {
  Path& path = paths_[index(id)];
  if (path.connected) note_life(path, now);
}

bool Endpoint::set_denied(PathId id, bool denied) {
  Path& path = paths_[index(id)];
  if (!denied) {
    if (path.state == PathState::kDenied)
      path.state = path.trusted ? PathState::kGood : PathState::kAssumedBad;
    return true;
  }
  bool another = std::any_of(paths_.begin(), paths_.end(),
                             [&](const Path& other) { return &other != &path && other.usable(); });
  if (!another) return false;
  path.state = PathState::kDenied;
  return true;
}

void Endpoint::tell_on_all_paths(PathId about) {
  for (std::size_t i = 0; i < paths_.size(); ++i)
    if (paths_[i].connected) paths_[index(about)].down.to_send |= mask_of(static_cast<PathId>(i));
  if (paths_[index(about)].down.to_send != 0) down_mask_ |= mask_of(about);
}

// Nothing more is sent on the path, and what comes on it is ignored.
void Endpoint::disconnect(PathId id) {
  Path& path = paths_[index(id)];
  path.connected = path.writable = path.trusted = false;
  if (path.state != PathState::kDenied) path.state = PathState::kAssumedBad;
  path.dead_before = std::max(path.dead_before, number(path.incarnation) + 1);
  if (path.in_flight_frames() != 0 && path.sending_incarnation == path.incarnation) path.unresolved = true;
  planes_[index(path.plane)].bytes_in_flight -= std::exchange(path.bytes_in_flight, 0u);
  path.probe_in_flight = 0;
  path.probe_due = false;
  path.reply_due = 0;
  path.feedback_due = false;
  for (std::uint64_t* mask : {&control_mask_, &feedback_mask_, &lazy_feedback_mask_, &goodbye_mask_,
                              &asked_mask_, &asked_before_mask_, &doubtful_mask_})
    *mask &= ~mask_of(id);
}

void Endpoint::declare_bad(PathId id, LossReason reason, bool fenced, TimePoint now) {
  Path& path = paths_[index(id)];
  assert(path.connected);
  bool proven = path.trusted && now - path.trusted_since > kProvenGood;
  // Attempts to revive it are no failures of their own, whether they end before or after it is connected: a
  // plane that lets TCP through and no RoCE would have one every few hundred milliseconds.
  bool is_news = path.trusted || path.failures == 0;
  path.stalled_since = path.is_waiting() ? std::max(path.last_heard, path.waiting_since) : now;
  disconnect(id);
  path.last_loss = reason;
  path.failures += is_news;
  if (reason == LossReason::kSilent || reason == LossReason::kUnanswered || reason == LossReason::kPeerSaidSo)
    planes_[index(path.plane)].fell_silent = now;
  path.backoff = proven ? config_.first_backoff : std::min(path.backoff * 2, config_.largest_backoff);
  path.reconnect_at = now + path.backoff;

  // Whatever control frame was on it may be lost.
  if (!planted(Bug::kNeverRepeatsCredit)) credits_sent_ = credits_confirmed_;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    if (paths_[i].down.to_tell && !planted(Bug::kNeverRepeatsPathDown))
      tell_on_all_paths(static_cast<PathId>(i));
  }
  push_action(is_news ? ActionKind::kLost : ActionKind::kNotRevived, id, reason);
  if (planted(Bug::kSkipsFence)) fenced = true;
  path.fence_pending = !fenced;
  if (fenced) {
    settle(id, now);
  } else {
    push_action(ActionKind::kFence, id, reason);
  }
  if (goodbye_seen_) consider_goodbye();
}

// Nothing lands from the path any more: the account of what did is final.
void Endpoint::settle(PathId id, TimePoint now) {
  Path& path = paths_[index(id)];
  path.fence_pending = false;
  DownState& down = path.down;
  down.dead_through = path.dead_before - 1;  // the peer may speak of incarnations that never reached this end
  if (path.received_in_order != 0 || path.received_beyond != 0) {
    down.account_incarnation = number(path.incarnation);
    down.account_in_order = path.received_in_order;
    down.account_beyond = path.received_beyond;
  }
  down.to_tell = true;
  tell_on_all_paths(id);
  resolve_outstanding(path, now);
  consider_end();
}

const char* Endpoint::handle_path_down(PathId arrived_on, const FrameHeader& header, TimePoint now) {
  if (header.slot >= paths_.size()) return "a path-down for a path that does not exist";
  PathId id = static_cast<PathId>(header.slot);
  Path& path = paths_[header.slot];
  DownState& down = path.down;
  if (id == arrived_on && header.epoch >= number(path.incarnation))
    return "a path-down sent over the dead path itself";
  if (header.account_incarnation > header.epoch)
    return "a path-down whose account is of a living incarnation";
  down.confirm_due = true;
  down_mask_ |= mask_of(id);
  if (down.peer_told && header.epoch <= down.peer_dead_through) return nullptr;  // repeated
  down.peer_told = true;
  down.peer_dead_through = header.epoch;
  down.peer_account_incarnation = header.account_incarnation;
  down.peer_in_order = header.path_sequence;
  down.peer_beyond = header.offset;
  path.dead_before = std::max(path.dead_before, header.epoch + 1);
  if (path.connected && number(path.incarnation) <= header.epoch) {
    declare_bad(id, LossReason::kPeerSaidSo, false, now);
  } else if (!path.fence_pending) {
    if (down.dead_through < header.epoch) {
      // It speaks of an incarnation that never lived here. It can never live now, and that is the account.
      down.dead_through = header.epoch;
      down.to_tell = true;
      tell_on_all_paths(id);
    }
    resolve_outstanding(path, now);
  }
  return nullptr;
}

// Sends again what the peer's account lacks, as soon as it is here and our own fence stands (until then the
// backend may still read the send buffers).
void Endpoint::resolve_outstanding(Path& path, TimePoint now) {
  const DownState& down = path.down;
  bool blind = planted(Bug::kResendsWithoutAccount);
  if (!path.unresolved || path.fence_pending) return;
  if (!blind && (!down.peer_told || down.peer_dead_through < number(path.sending_incarnation))) return;
  bool about_these = down.peer_told && down.peer_account_incarnation == number(path.sending_incarnation);
  if (planted(Bug::kAccountOfOtherIncarnation)) about_these = true;
  if (blind) about_these = false;
  std::uint32_t in_order = about_these ? down.peer_in_order : 0;
  std::uint64_t beyond = about_these ? down.peer_beyond : 0;
  bool lost_any = false;
  for (; path.acknowledged != path.next_sequence; ++path.acknowledged) {
    const OutstandingFrame& frame = path.outstanding[path.acknowledged % kPathWindowFrames];
    SendMessage& send = sends_[frame.send_slot];
    if (send.state != RequestState::kPending) continue;
    if (about_these && landed(path.acknowledged, in_order, beyond)) {
      credit_chunk(frame);
      continue;
    }
    if (planted(Bug::kForgetsOutstandingChunks)) continue;
    lost_any = true;
    ++path.chunks_resent;
    queued_bytes_ += frame.length;
    assert(resend_count_ < resends_.size());
    resends_[(resend_first_ + resend_count_++) % resends_.size()] = {frame.send_slot, frame.chunk,
                                                                     path.stalled_since};
  }
  path.unresolved = false;
  if (lost_any) ++stalls_;
  consider_trust(static_cast<PathId>(&path - paths_.data()), now);
}

// A path is used when it is connected, nothing that it carried before is in doubt, and, if it has failed
// before, it has answered enough probes.
void Endpoint::consider_trust(PathId id, TimePoint now) {
  Path& path = paths_[index(id)];
  if (!path.connected || path.trusted || path.unresolved) return;
  if (path.failures != 0 && path.good_probes < config_.good_probes_needed) return;
  path.trusted = true;
  path.trusted_since = now;
  path.begin_sending();
  if (path.state != PathState::kDenied) path.state = PathState::kGood;
  if (path.failures != 0) {
    ++path.revivals;
    push_action(ActionKind::kRevived, id, path.last_loss);
  }
}

// The peer has closed when every path that still stands has said so: each says it behind its last
// acknowledgements.
void Endpoint::consider_goodbye() {
  for (const Path& path : paths_)
    if (path.connected && !path.said_goodbye) return;
  begin_end(Ending::kPeerClosed);
}

void Endpoint::begin_end(Ending ending) {
  if (ending_ != Ending::kNone) return;
  ending_ = ending;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    if (!paths_[i].connected) continue;
    PathId id = static_cast<PathId>(i);
    disconnect(id);
    paths_[i].fence_pending = true;
    push_action(ActionKind::kFence, id,
                ending == Ending::kFailed ? LossReason::kSilent : LossReason::kClosed);
  }
  consider_end();
}

void Endpoint::consider_end() {
  if (ending_ == Ending::kNone || ended_) return;
  for (const Path& path : paths_)
    if (path.fence_pending) return;
  ended_ = true;
  fail_all(StatusCode::kPeerLost);
  bool failed = ending_ == Ending::kFailed;
  push_action(failed ? ActionKind::kFailed : ActionKind::kPeerClosed, static_cast<PathId>(0),
              failed ? LossReason::kSilent : LossReason::kClosed);
}

void Endpoint::close(TimePoint) {
  closing_ = true;
  for (std::size_t i = 0; i < paths_.size(); ++i)
    if (paths_[i].connected) goodbye_mask_ |= mask_of(static_cast<PathId>(i));
  flush_feedback();
  control_mask_ |= goodbye_mask_;
}

bool Endpoint::nothing_left_to_tell() const {
  if (ending_ != Ending::kNone) return true;
  if (control_mask_ != 0 || down_mask_ != 0) return false;
  bool connected = false;
  for (const Path& path : paths_) {
    connected |= path.connected;
    if (path.down.to_tell) return false;
  }
  return connected;
}

}  // namespace weft::multipath
