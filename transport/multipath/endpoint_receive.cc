// What arrives: data, credit, feedback, probes.
#include <algorithm>
#include <bit>
#include <cassert>

#include "transport/multipath/endpoint.h"
#include "transport/multipath/planted_bug.h"

namespace weft::multipath {
namespace {

// Feedback goes out by itself after so much data; earlier when the driver is idle or has a frame for the same
// path.
constexpr std::uint64_t kFeedbackBytes = 1024 * 1024;
constexpr std::uint32_t kFeedbackFrames = kPathWindowFrames / 4;

// The chunk that a data frame names, or an error if no sender could have made it.
const char* check_chunk(const FrameHeader& header, std::uint32_t& chunk, std::uint32_t& chunks) {
  if (header.chunk_shift >= 31) return "a data frame with an impossible chunk size";
  std::uint64_t size = std::uint64_t{1} << header.chunk_shift;
  std::uint64_t wire_bytes = header.flags & kFlagTruncated ? 0 : header.message_bytes;
  if (wire_bytes > size * kMaxChunksPerMessage) return "a message in more chunks than the limit";
  std::uint64_t count = std::max<std::uint64_t>(1, (wire_bytes + size - 1) >> header.chunk_shift);
  std::uint64_t number = header.offset >> header.chunk_shift;
  if ((header.offset & (size - 1)) != 0 || number >= count) return "a chunk outside its message";
  std::uint64_t expected = std::min(size, wire_bytes - header.offset);
  if (header.length != expected) return "a chunk of the wrong length";
  chunk = static_cast<std::uint32_t>(number);
  chunks = static_cast<std::uint32_t>(count);
  return nullptr;
}

bool has_sequence(const Path& path, std::uint32_t sequence) {
  std::int32_t ahead = serial_distance(path.received_in_order, sequence);
  if (ahead < 0) return true;
  return ahead > 0 && ahead < static_cast<std::int32_t>(kPathWindowFrames) &&
         ((path.received_beyond >> (ahead - 1)) & 1);
}

}  // namespace

ReceiveMessage* Endpoint::find_receive(const FrameHeader& header) {
  ReceiveMessage& receive = receives_[header.slot % kSlots];
  bool same = receive.number == message_number(header.epoch, header.slot);
  return receive.state == RequestState::kPending && same ? &receive : nullptr;
}

Landing Endpoint::data_begins(PathId path_id, Incarnation incarnation, const FrameHeader& header) const {
  const Path& path = paths_[index(path_id)];
  if (!path.connected || path.incarnation != incarnation) return {};
  std::uint32_t chunk = 0;
  std::uint32_t chunks = 0;
  if (const char* error = check_chunk(header, chunk, chunks))
    return {LandingVerdict::kProtocolError, nullptr, error};
  if (header.slot >= kSlots) return {LandingVerdict::kProtocolError, nullptr, "a slot beyond the limit"};
  std::uint64_t number = message_number(header.epoch, header.slot);
  if (number >= next_receive_)
    return {LandingVerdict::kProtocolError, nullptr, "data for a receive that was never posted"};
  std::int32_t ahead = serial_distance(path.received_in_order, header.path_sequence);
  if (ahead >= static_cast<std::int32_t>(kPathWindowFrames)) {
    return {LandingVerdict::kProtocolError, nullptr, "more unacknowledged frames than the window"};
  }
  if (has_sequence(path, header.path_sequence) && !planted(Bug::kCountsDuplicateChunks)) return {};
  const ReceiveMessage* receive = const_cast<Endpoint*>(this)->find_receive(header);
  if (receive == nullptr) return {};  // a message that is complete, or failed with the connection
  bool truncated = header.flags & kFlagTruncated;
  if (!truncated && header.message_bytes > receive->capacity) {
    return {LandingVerdict::kProtocolError, nullptr, "a message larger than its receive"};
  }
  if (receive->begun && (receive->bytes != header.message_bytes ||
                         receive->chunk_shift != header.chunk_shift || receive->truncated != truncated)) {
    return {LandingVerdict::kProtocolError, nullptr, "chunks of one message that disagree"};
  }
  if (receive->begun && receive->has(chunk) && !planted(Bug::kCountsDuplicateChunks)) return {};
  return {LandingVerdict::kPlace, receive->data + header.offset, nullptr, chunk, chunks, receive->memory};
}

const char* Endpoint::data_landed(PathId path_id, Incarnation incarnation, const FrameHeader& header,
                                  TimePoint now) {
  return data_landed(path_id, incarnation, header, data_begins(path_id, incarnation, header), now);
}

const char* Endpoint::data_landed(PathId path_id, Incarnation incarnation, const FrameHeader& header,
                                  const Landing& landing, TimePoint now) {
  Path& path = paths_[index(path_id)];
  if (!path.connected || path.incarnation != incarnation) return nullptr;
  if (landing.verdict == LandingVerdict::kProtocolError) return landing.error;
  if (const char* error = apply_feedback(path, header, now)) return error;
  if (header.flags & kFlagCredit) {
    if (const char* error = handle_credit_with_data(header)) return error;
  }
  path.bytes_received += header.length;
  if (!path.mark_received(header.path_sequence)) return "more unacknowledged frames than the window";
  owe_feedback(path_id, header.length);
  if (landing.verdict == LandingVerdict::kDiscard) {
    ++duplicates_discarded_;
    return nullptr;
  }
  ReceiveMessage& receive = receives_[header.slot % kSlots];
  receive.begun = true;
  receive.truncated = header.flags & kFlagTruncated;
  receive.chunk_shift = header.chunk_shift;
  receive.bytes = header.message_bytes;
  receive.chunks = landing.chunks;
  receive.set(landing.chunk);
  if (++receive.arrived_chunks == receive.chunks) {
    complete_receive(receive, receive.truncated ? StatusCode::kTruncated : StatusCode::kOk);
  }
  return nullptr;
}

void Endpoint::owe_feedback(PathId path_id, std::uint64_t bytes) {
  Path& path = paths_[index(path_id)];
  path.feedback_due = true;
  feedback_mask_ |= mask_of(path_id);
  path.unacknowledged_bytes += bytes;
  ++path.unacknowledged_frames;
  if (path.unacknowledged_bytes >= kFeedbackBytes || path.unacknowledged_frames >= kFeedbackFrames) {
    control_mask_ |= mask_of(path_id);
  }
}

std::uint64_t Endpoint::unacknowledged_bytes() const {
  std::uint64_t bytes = 0;
  for (std::uint64_t rest = feedback_mask_; rest != 0; rest &= rest - 1)
    bytes += paths_[static_cast<std::size_t>(std::countr_zero(rest))].unacknowledged_bytes;
  return bytes;
}

// A denied path that answers is no reason to hope: no data may go over it.
void Endpoint::note_life(Path& path, TimePoint now) {
  path.last_heard = now;
  if (path.state != PathState::kDenied) heard_any_ = now;
  doubtful_mask_ &= ~mask_of(static_cast<PathId>(&path - paths_.data()));
}

const char* Endpoint::apply_feedback(Path& path, const FrameHeader& header, TimePoint now) {
  note_life(path, now);
  peer_spoke_ = now;
  // While the fate of older frames is open the sending counters are not this incarnation's, and nothing was
  // sent on it.
  if (!path.unresolved && path.sending_incarnation == path.incarnation) {
    std::int32_t advance = serial_distance(path.acknowledged, header.path_acknowledged);
    if (advance > static_cast<std::int32_t>(path.in_flight_frames())) {
      return "an acknowledgement of frames that were never sent";
    }
    for (; advance > 0; --advance) acknowledge_next(path, now);
  }
  std::int32_t seen = serial_distance(static_cast<std::uint32_t>(credits_confirmed_), header.credit_seen);
  if (seen > 0) {
    if (static_cast<std::uint64_t>(seen) > credits_ever_sent_ - credits_confirmed_) {
      return "it saw more clear-to-sends than were sent";
    }
    credits_confirmed_ += static_cast<std::uint64_t>(seen);
    credits_sent_ = std::max(credits_sent_, credits_confirmed_);
  }
  return nullptr;
}

void Endpoint::acknowledge_next(Path& path, TimePoint now) {
  const OutstandingFrame frame = path.outstanding[path.acknowledged % kPathWindowFrames];
  ++path.acknowledged;
  Plane& plane = planes_[index(path.plane)];
  path.bytes_in_flight -= frame.length;
  plane.bytes_in_flight -= frame.length;
  plane.bytes_delivered += frame.length;
  // A peer nearby may answer while a burst is still being sent, under one reading of the clock: that measures
  // nothing, and one such rate would outshine all others for hundreds of frames.
  if (const Duration rtt = now - frame.sent; rtt > Duration::zero()) {
    path.rtt.sample(rtt);
    path.smallest_rtt = std::min(path.smallest_rtt, rtt);
    plane.smallest_rtt = std::min(plane.smallest_rtt, rtt);
    if (frame.length >= std::min(kMinChunkBytes, config_.chunk_bytes)) {
      double delivered = static_cast<double>(plane.bytes_delivered - frame.delivered_before);
      plane.rate.sample(now, delivered / static_cast<double>(rtt.count()), frame.busy);
    }
  }
  credit_chunk(frame);
}

// A chunk is known to have landed.
void Endpoint::credit_chunk(const OutstandingFrame& frame) {
  SendMessage& send = sends_[frame.send_slot];
  if (send.state != RequestState::kPending) return;  // failed meanwhile
  if (++send.acknowledged_chunks == send.chunks) {
    complete_send(send, send.truncated ? StatusCode::kTruncated : StatusCode::kOk);
  }
}

// A path keeps its frames in order, as a rule. So when a probe is answered and data from before it is not
// acknowledged, that data is lost, even if the path is full of life otherwise.
void Endpoint::note_overtaken(Path& path, TimePoint now) {
  bool behind = path.in_flight_frames() != 0 && path.sending_incarnation == path.incarnation &&
                serial_distance(path.acknowledged, path.probe_behind) > 0;
  if (path.overtaken && behind && path.overtaken_sequence == path.acknowledged) return;
  path.overtaken = behind;
  path.overtaken_sequence = path.acknowledged;
  path.overtaken_since = now;
}

const char* Endpoint::handle_credit(const Credit& credit) {
  std::uint64_t before = credits_.seen();
  if (!credits_.add(credit)) return "more clear-to-sends than slots";
  if (credits_.seen() != before) match_credit();
  return nullptr;
}

const char* Endpoint::handle_credit_with_data(const FrameHeader& header) {
  // The number's upper half is that of its neighbours: honest credits are at most kSlots from what was seen.
  std::int32_t ahead = serial_distance(static_cast<std::uint32_t>(credits_.seen()), header.credit_number);
  if (ahead < 0) return nullptr;  // seen already: the frame was sent again, or another overtook it
  return handle_credit(
      {credits_.seen() + static_cast<std::uint64_t>(ahead), header.credit_capacity, header.credit_tag});
}

const char* Endpoint::handle_frame(PathId path_id, Incarnation incarnation, const FrameHeader& header,
                                   TimePoint now) {
  Path& path = paths_[index(path_id)];
  if (!path.connected || path.incarnation != incarnation) return nullptr;
  if (header.type == FrameType::kData) return data_landed(path_id, incarnation, header, now);
  if (const char* error = apply_feedback(path, header, now)) return error;
  switch (header.type) {
    case FrameType::kClearToSend:
      lazy_feedback_mask_ |= mask_of(path_id);
      if (header.slot >= kSlots) return "a clear-to-send for a slot beyond the limit";
      return handle_credit({message_number(header.epoch, header.slot), header.message_bytes, header.tag});
    case FrameType::kPathDown:
      return handle_path_down(path_id, header, now);
    case FrameType::kPathDownConfirm: {
      if (header.slot >= paths_.size()) return "a confirmation for a path that does not exist";
      DownState& down = paths_[header.slot].down;
      if (down.to_tell && header.epoch >= down.dead_through) {
        down.to_tell = false;
        down.to_send = 0;
      }
      return nullptr;
    }
    case FrameType::kProbe:
      path.reply_due = header.path_sequence;
      control_mask_ |= mask_of(path_id);
      return nullptr;
    case FrameType::kProbeReply:
      if (header.path_sequence == path.probe_in_flight && path.probe_in_flight != 0) {
        path.probe_in_flight = 0;
        path.rtt.sample(std::max(now - path.last_probe, Duration(1)));
        ++path.good_probes;
        note_overtaken(path, now);
        consider_trust(path_id, now);
      }
      return nullptr;
    case FrameType::kGoodbye:
      path.said_goodbye = true;
      goodbye_seen_ = true;
      consider_goodbye();
      return nullptr;
    case FrameType::kFeedback:
    case FrameType::kData:
      return nullptr;
  }
  return "a frame of unknown type";
}

}  // namespace weft::multipath
