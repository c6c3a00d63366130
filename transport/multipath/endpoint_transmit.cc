// What to send next, and on which path.
#include <algorithm>
#include <bit>
#include <utility>

#include "transport/multipath/endpoint.h"
#include "transport/multipath/planted_bug.h"

namespace weft::multipath {
bool Endpoint::wants_to_transmit() const {
  if (ending_ != Ending::kNone) return false;
  return control_mask_ != 0 || down_mask_ != 0 || credits_sent_ < next_receive_ || resend_count_ != 0 ||
         !transmitting_.empty();
}

bool Endpoint::poll_transmit(TimePoint now, Transmission& out) {
  if (ending_ != Ending::kNone || !wants_to_transmit()) return false;
  out.payload = nullptr;
  out.landing = nullptr;
  out.header = {};
  if (credit_can_ride() && transmit_data(now, out)) return true;
  return transmit_global_control(out) || transmit_path_control(now, out) || transmit_data(now, out);
}

std::uint64_t Endpoint::bytes_drained_in(Duration time, PathId id) const {
  PlaneId plane = paths_[index(id)].plane;
  auto sharing = std::count_if(paths_.begin(), paths_.end(),
                               [&](const Path& path) { return path.plane == plane && path.usable(); });
  double bytes = planes_[index(plane)].rate.typical() * static_cast<double>(time.count());
  return static_cast<std::uint64_t>(bytes / static_cast<double>(std::max<std::ptrdiff_t>(1, sharing)));
}

// Every frame carries feedback for its path, so whatever goes out pays what the path owes.
void Endpoint::stamp(PathId id, FrameHeader& header) {
  Path& path = paths_[index(id)];
  header.path_acknowledged = path.received_in_order;
  header.credit_seen = static_cast<std::uint32_t>(credits_.seen());
  path.feedback_due = false;
  path.unacknowledged_bytes = 0;
  path.unacknowledged_frames = 0;
  feedback_mask_ &= ~mask_of(id);
  lazy_feedback_mask_ &= ~mask_of(id);
  if (path.reply_due == 0 && !path.probe_due && !(goodbye_mask_ & mask_of(id))) control_mask_ &= ~mask_of(id);
}

// Control frames that belong to no path in particular travel with the next message; failing a usable path, on
// any that is connected.
std::optional<PathId> Endpoint::control_path() {
  auto path = chooser_.for_small(paths_, planes_, 0);
  if (path && (doubtful_mask_ & mask_of(*path)) == 0) return path;
  if (doubtful_mask_ != 0) {
    if (auto other = trustworthy_control_path()) return other;
  }
  if (path) return path;
  for (std::size_t i = 0; i < paths_.size(); ++i)
    if (paths_[i].connected && paths_[i].writable) return static_cast<PathId>(i);
  return std::nullopt;
}

std::optional<PathId> Endpoint::trustworthy_control_path() {
  std::optional<PathId> connected;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    PathId id = static_cast<PathId>(i);
    if (!paths_[i].connected || !paths_[i].writable || (doubtful_mask_ & mask_of(id))) continue;
    if (paths_[i].usable()) return id;
    connected = id;
  }
  return connected;
}

// One receive to announce, and a message of one chunk to send: they go together, in one frame.
bool Endpoint::credit_can_ride() const {
  return credits_sent_ + 1 == next_receive_ && down_mask_ == 0 && doubtful_mask_ == 0 && resend_count_ == 0 &&
         !transmitting_.empty() && sends_[transmitting_.front()].chunks == 1;
}

void Endpoint::add_credit(PathId path, Transmission& out) {
  const ReceiveMessage& receive = receives_[credits_sent_ % kSlots];
  FrameHeader& header = out.header;
  out.landing = receive.data;
  out.landing_memory = receive.memory;
  header.flags |= kFlagCredit;
  header.credit_number = static_cast<std::uint32_t>(credits_sent_);
  header.credit_tag = receive.tag;
  header.credit_capacity = receive.capacity;
  credits_ever_sent_ = std::max(credits_ever_sent_, ++credits_sent_);
  asked_mask_ |= mask_of(path);
  chooser_.keep_company(path);
}

bool Endpoint::transmit_global_control(Transmission& out) {
  if (down_mask_ != 0 && transmit_path_down(out)) return true;
  if (credits_sent_ == next_receive_) return false;
  auto path = control_path();
  if (!path) return false;
  const ReceiveMessage& receive = receives_[credits_sent_ % kSlots];
  out.path = *path;
  out.header.type = FrameType::kClearToSend;
  out.header.slot = static_cast<std::uint16_t>(credits_sent_ % kSlots);
  out.header.epoch = static_cast<std::uint32_t>(credits_sent_ / kSlots);
  out.header.tag = receive.tag;
  out.header.message_bytes = receive.capacity;
  out.landing = receive.data;
  out.landing_memory = receive.memory;
  credits_ever_sent_ = std::max(credits_ever_sent_, ++credits_sent_);
  asked_mask_ |= mask_of(*path);
  chooser_.keep_company(*path);
  stamp(*path, out.header);
  return true;
}

bool Endpoint::transmit_path_down(Transmission& out) {
  for (std::uint64_t rest = down_mask_; rest != 0; rest &= rest - 1) {
    std::size_t about = static_cast<std::size_t>(std::countr_zero(rest));
    DownState& down = paths_[about].down;
    std::optional<PathId> path;
    if (down.confirm_due) {
      path = control_path();
      if (path) {
        out.header.type = FrameType::kPathDownConfirm;
        out.header.epoch = down.peer_dead_through;
        down.confirm_due = false;
        asked_mask_ |= mask_of(*path);
      }
    }
    for (std::uint64_t others = path ? 0 : down.to_send; others != 0; others &= others - 1) {
      std::size_t other = static_cast<std::size_t>(std::countr_zero(others));
      bool connected = paths_[other].connected;
      if (connected && !paths_[other].writable) continue;
      down.to_send &= ~(std::uint64_t{1} << other);
      if (!connected) continue;
      path = static_cast<PathId>(other);
      out.header.type = FrameType::kPathDown;
      out.header.epoch = down.dead_through;
      out.header.account_incarnation = down.account_incarnation;
      out.header.path_sequence = down.account_in_order;
      out.header.offset = down.account_beyond;
      break;
    }
    if (!down.confirm_due && down.to_send == 0) down_mask_ &= ~(std::uint64_t{1} << about);
    if (!path) continue;
    out.path = *path;
    out.header.slot = static_cast<std::uint16_t>(about);
    stamp(*path, out.header);
    return true;
  }
  return false;
}

bool Endpoint::transmit_path_control(TimePoint now, Transmission& out) {
  for (std::uint64_t rest = control_mask_; rest != 0; rest &= rest - 1) {
    PathId id = static_cast<PathId>(std::countr_zero(rest));
    Path& path = paths_[index(id)];
    if (!path.connected) {
      control_mask_ &= ~mask_of(id);
      continue;
    }
    if (!path.writable) continue;
    out.path = id;
    if (path.reply_due != 0) {
      out.header.type = FrameType::kProbeReply;
      out.header.path_sequence = std::exchange(path.reply_due, 0u);
    } else if (path.probe_due) {
      path.probe_due = false;
      if (!path.is_waiting()) path.waiting_since = now;
      if (path.probe_in_flight == 0) {
        path.probe_in_flight = path.next_probe;
        path.next_probe = path.next_probe == ~0u ? 1 : path.next_probe + 1;
        path.probe_behind = path.next_sequence;
      }
      path.last_probe = now;
      out.header.type = FrameType::kProbe;
      out.header.path_sequence = path.probe_in_flight;
    } else if (goodbye_mask_ & mask_of(id)) {
      goodbye_mask_ &= ~mask_of(id);
      out.header.type = FrameType::kGoodbye;
    } else {
      out.header.type = FrameType::kFeedback;
    }
    stamp(id, out.header);
    return true;
  }
  return false;
}

void Endpoint::pop_resend() {
  resend_first_ = (resend_first_ + 1) % resends_.size();
  --resend_count_;
}

bool Endpoint::transmit_data(TimePoint now, Transmission& out) {
  while (resend_count_ != 0) {
    const Resend& resend = resends_[resend_first_];
    const SendMessage& send = sends_[resend.send_slot];
    if (send.state != RequestState::kPending) {  // failed with the connection; its slot waits for the caller
      pop_resend();
      continue;
    }
    auto path = chooser_.for_chunk(paths_, planes_, send.chunk_length(resend.chunk), queued_bytes_);
    if (!path) return false;
    longest_stall_ = std::max(longest_stall_, now - resend.stalled_since);
    emit_chunk(*path, resend.send_slot, resend.chunk, true, now, out);
    pop_resend();
    return true;
  }
  if (transmitting_.empty()) return false;
  std::uint16_t slot = transmitting_.front();
  SendMessage& send = sends_[slot];
  std::uint32_t length = send.chunk_length(send.next_chunk);
  auto path = send.chunks == 1 ? chooser_.for_small(paths_, planes_, length)
                               : chooser_.for_chunk(paths_, planes_, length, queued_bytes_);
  if (!path) return false;
  const bool with_credit = credit_can_ride();
  emit_chunk(*path, slot, send.next_chunk, false, now, out);
  if (with_credit) add_credit(*path, out);
  if (++send.next_chunk == send.chunks) {
    transmitting_.remove(slot);
    chooser_.rotate_past(*path, paths_.size());
    if (planted(Bug::kSendsCompleteUnacknowledged)) complete_send(send, StatusCode::kOk);
  }
  return true;
}

void Endpoint::emit_chunk(PathId id, std::uint16_t slot, std::uint32_t chunk, bool resent, TimePoint now,
                          Transmission& out) {
  Path& path = paths_[index(id)];
  Plane& plane = planes_[index(path.plane)];
  const SendMessage& send = sends_[slot];
  std::uint32_t length = send.chunk_length(chunk);
  out.path = id;
  out.header.type = FrameType::kData;
  out.header.flags =
      static_cast<std::uint8_t>((resent ? kFlagResent : 0) | (send.truncated ? kFlagTruncated : 0));
  out.header.chunk_shift = send.chunk_shift;
  out.header.slot = static_cast<std::uint16_t>(send.number % kSlots);
  out.header.epoch = static_cast<std::uint32_t>(send.number / kSlots);
  out.header.length = length;
  out.header.offset = std::uint64_t{chunk} << send.chunk_shift;
  out.header.message_bytes = send.bytes;
  out.header.path_sequence = path.next_sequence;
  out.header.tag = send.tag;
  out.payload = send.data + out.header.offset;
  out.payload_memory = send.memory;
  out.send_slot = slot;
  if (!path.is_waiting()) path.waiting_since = now;
  path.outstanding[path.next_sequence % kPathWindowFrames] = {
      slot, chunk, length, now, plane.bytes_delivered, resent, plane.bytes_in_flight >= 2 * length};
  ++path.next_sequence;
  path.bytes_in_flight += length;
  plane.bytes_in_flight += length;
  path.bytes_sent += length;
  ++path.chunks_sent;
  queued_bytes_ -= length;
  stamp(id, out.header);
}

}  // namespace weft::multipath
