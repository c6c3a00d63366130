// Which paths are silent for too long, what is asked of them and of others before they are left, and what is
// said again.
#include <algorithm>
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

}  // namespace

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
