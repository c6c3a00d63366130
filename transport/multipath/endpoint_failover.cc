// Paths that come, fail, are settled and come back; deadlines and probes.
#include <algorithm>
#include <cassert>
#include <utility>

#include "transport/multipath/endpoint.h"
#include "transport/multipath/planted_bug.h"

namespace weft::multipath {
namespace {

constexpr Duration kProbeInterval = std::chrono::milliseconds(2);
constexpr Duration kRepeatInterval = std::chrono::milliseconds(20);
constexpr std::uint64_t kAcknowledgedAtOnce = 64 * 1024;  // what receiving kernels merge at most
constexpr Duration kRttUnknownLimit = std::chrono::milliseconds(100);
constexpr Duration kLongPause = std::chrono::milliseconds(4);  // between two ticks
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
  path.stalled_since = path.is_waiting() ? std::max(path.last_heard, path.waiting_since) : now;
  disconnect(id);
  path.last_loss = reason;
  ++path.failures;
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
  push_action(ActionKind::kLost, id, reason);
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

// How long a path that works may say nothing. What goes out on a quiet path waits in queues, of which the
// round trip tells; where much is in flight, something of it is acknowledged every now and then, on a slow
// path seldom even by the kernel.
Duration Endpoint::silence_limit(const Path& path) const {
  if (path.smallest_rtt == Duration::max()) return std::max(config_.path_timeout, kRttUnknownLimit);
  Duration limit = std::max(config_.path_timeout, 4 * path.smallest_rtt);
  if (!path.is_waiting()) return limit;
  std::int64_t steps = 1;
  if (path.bytes_in_flight >= kAcknowledgedAtOnce) {
    constexpr Duration kSecond = std::chrono::seconds(1);
    auto drained =
        static_cast<std::int64_t>(bytes_drained_in(kSecond, static_cast<PathId>(&path - paths_.data())));
    Duration step = kRttUnknownLimit;
    if (drained != 0) step = Duration(kSecond.count() * std::int64_t{kAcknowledgedAtOnce} / drained);
    limit = std::max(limit, 3 * step);
    bool heard = path.last_heard > path.waiting_since;
    if (heard) steps = static_cast<std::int64_t>(path.bytes_in_flight / kAcknowledgedAtOnce);
  }
  return std::max(limit, 2 * path.rtt.smoothed() / steps);
}

// Time in which this process itself was not running does not count: what arrived meanwhile was not read.
TimePoint Endpoint::silent_since(const Path& path) const {
  return std::max({path.waiting_since, path.last_heard, blind_until_});
}

// Without proof a path is left only late: a new connection may find a way where the old one waits for a
// retransmission timer that has backed off.
Duration Endpoint::late_limit(const Path& path) const {
  return std::max(config_.peer_timeout / 4, 2 * silence_limit(path));
}

bool Endpoint::is_suspicious(PathId id, TimePoint now) const {
  const Path& path = paths_[index(id)];
  if (!path.connected || !path.is_waiting()) return false;
  return now - silent_since(path) > config_.path_timeout / 4;
}

// By paths that could take over: where the peer is slow and its paths seem to die one after the other, new
// ones, which may not carry data yet, must not talk this end out of the last old one.
bool Endpoint::peer_is_alive_elsewhere(PathId id, TimePoint since) const {
  for (std::size_t i = 0; i < paths_.size(); ++i)
    if (i != index(id) && paths_[i].trusted && paths_[i].last_heard > since) return true;
  return false;
}

// A silent path and a silent peer look the same; only another path that answers tells them apart.
void Endpoint::ask_others(PathId id, TimePoint since) {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    Path& other = paths_[i];
    if (i == index(id) || !other.connected || other.probe_in_flight != 0 || other.last_heard > since)
      continue;
    other.probe_due = true;
    control_mask_ |= mask_of(static_cast<PathId>(i));
  }
}

bool Endpoint::wants_probe(const Path& path, TimePoint now) const {
  Duration since_last = now - path.last_probe;
  Duration limit = silence_limit(path);
  if (path.probe_in_flight != 0) {
    // Lost, on a path that lives: an untrusted one has nothing queued in front of it.
    return path.last_heard > path.last_probe && since_last > (path.trusted ? late_limit(path) : limit);
  }
  if (!path.trusted && path.failures != 0) return since_last >= kProbeInterval;
  if (path.in_flight_frames() != 0) {
    const OutstandingFrame& oldest = path.outstanding[path.acknowledged % kPathWindowFrames];
    return now - oldest.sent > limit && since_last > limit;
  }
  return pending_requests_ != 0 && now - path.last_heard > config_.peer_timeout / 8;
}

bool Endpoint::has_lost_frames(const Path& path, TimePoint now) const {
  return path.overtaken && path.in_flight_frames() != 0 && path.acknowledged == path.overtaken_sequence &&
         now - path.overtaken_since > silence_limit(path);
}

void Endpoint::tick_path(PathId id, TimePoint now) {
  Path& path = paths_[index(id)];
  if (!path.connected) {
    if (!config_.connects || path.reconnecting || path.fence_pending || now < path.reconnect_at) return;
    if (goodbye_seen_ || planted(Bug::kNeverRevives)) return;
    path.reconnecting = true;
    path.last_attempt = std::max(path.last_attempt + 1, path.dead_before);
    push_action(ActionKind::kReconnect, id, path.last_loss);
    actions_[(action_first_ + action_count_ - 1) % actions_.size()].incarnation =
        static_cast<Incarnation>(path.last_attempt);
    return;
  }
  if (wants_probe(path, now)) {
    path.probe_due = true;
    control_mask_ |= mask_of(id);
  }
  if (has_lost_frames(path, now)) return declare_bad(id, LossReason::kLostFrames, false, now);
  if (!path.is_waiting() || planted(Bug::kTrustsDeadPaths)) return;
  TimePoint since = silent_since(path);
  Duration limit = silence_limit(path);
  if (now - since > limit / 2) ask_others(id, since + limit / 2);
  // Paths of a plane tend to fail together, by the port or the cable that they share.
  const std::optional<TimePoint>& silence = planes_[index(path.plane)].fell_silent;
  bool shared = silence && now - *silence < limit && limit <= config_.path_timeout * 5 / 4;
  Duration patience = shared ? limit / 2 : limit;
  bool proven_dead = now - since > patience && peer_is_alive_elsewhere(id, since + limit / 2);
  if (proven_dead || now - since > late_limit(path)) {
    declare_bad(id, LossReason::kSilent, false, now);
  }
}

// One of these paths lost what it was given, or is only slow: a probe tells, and the repeat takes another.
void Endpoint::doubt_asked_paths(TimePoint now) {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    Path& path = paths_[i];
    std::uint64_t bit = mask_of(static_cast<PathId>(i));
    if (!(asked_before_mask_ & bit) || !path.connected) continue;
    doubtful_mask_ |= bit;
    if (path.probe_in_flight != 0) continue;
    path.probe_due = true;
    control_mask_ |= bit;
  }
}

// Without requests too, now and then: the peer may have lost every path unnoticed and wait for a request that
// this end has not posted yet, and only the connecting end can help.
void Endpoint::heartbeat_when_idle(TimePoint now) {
  if (pending_requests_ != 0 || now - heard_any_ <= config_.peer_timeout / 4) return;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    Path& path = paths_[i];
    if (!path.connected) continue;
    if (path.is_waiting() || now - path.last_heard <= config_.peer_timeout / 4) return;
    path.probe_due = true;
    control_mask_ |= mask_of(static_cast<PathId>(i));
    return;
  }
}

// Control frames that were not confirmed since the last round are taken for lost.
void Endpoint::repeat_control(TimePoint now) {
  if (now - last_repeat_ < kRepeatInterval) return;
  last_repeat_ = now;
  bool unconfirmed = credits_confirmed_ < credits_sent_at_last_repeat_;
  for (const Path& path : paths_) unconfirmed |= path.down.to_tell;
  if (unconfirmed) doubt_asked_paths(now);
  asked_before_mask_ = std::exchange(asked_mask_, 0);
  if (credits_confirmed_ < credits_sent_at_last_repeat_ && !planted(Bug::kNeverRepeatsCredit)) {
    credits_sent_ = credits_confirmed_;
  }
  credits_sent_at_last_repeat_ = credits_sent_;
  if (planted(Bug::kNeverRepeatsPathDown)) return;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    if (paths_[i].down.to_tell) tell_on_all_paths(static_cast<PathId>(i));
  }
}

void Endpoint::tick(TimePoint now) {
  if (ending_ != Ending::kNone) return;
  // Not again too soon: a process whose every tick is late must still come to a judgement.
  bool paused = now - last_tick_ > std::max(config_.path_timeout / 4, kLongPause);
  if (paused && now - blind_until_ > config_.peer_timeout / 2) blind_until_ = now;
  // Nor can the peer be expected to have spoken to a process that was stopped, perhaps together with it.
  if (now - last_tick_ > config_.peer_timeout / 2) heard_any_ = peer_spoke_ = now;
  last_tick_ = now;
  for (std::size_t i = 0; i < paths_.size(); ++i) tick_path(static_cast<PathId>(i), now);
  control_mask_ |= feedback_mask_ | lazy_feedback_mask_;
  repeat_control(now);
  heartbeat_when_idle(now);
  if (pending_requests_ == 0) return;
  if (!pending_since_) pending_since_ = now;
  peer_is_mute_ = now - std::max(peer_spoke_, *pending_since_) > kStoppedPeerPatience * config_.peer_timeout;
  if (peer_is_mute_ || now - std::max(heard_any_, *pending_since_) > config_.peer_timeout) {
    begin_end(Ending::kFailed);
  }
}

}  // namespace weft::multipath
