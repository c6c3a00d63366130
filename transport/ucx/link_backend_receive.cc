// What comes in: active messages become frames, rendezvous become landings.
#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <utility>

#include "transport/multipath/crc32c.h"
#include "transport/ucx/link_backend.h"
#include "transport/ucx/prepared_path.h"

namespace weft::ucx {

using multipath::FrameHeader;
using multipath::FrameType;
using multipath::kHeaderBytes;
using multipath::LandingVerdict;
using multipath::LossReason;
using multipath::PathId;
using multipath::TimePoint;

namespace {

constexpr const char* kBadChecksum = "its payload checksum is wrong";
constexpr const char* kTooLate = "it is of a path that was given up";
constexpr const char* kTwice = "a chunk that another one on its way contradicts";

bool has_good_payload(const FrameHeader& header, const std::byte* payload) {
  return (header.flags & multipath::kFlagChecksum) == 0 ||
         multipath::crc32c(0, payload, header.length) == header.payload_checksum;
}

}  // namespace

class LinkBackend::Inlet final : public FrameTaker {
 public:
  // `awaited`: the worker is one that waits for its first frame, which makes it the path's.
  Inlet(LinkBackend& backend, PathId path, bool awaited, multipath::Endpoint& endpoint, TimePoint now)
      : backend_(backend), path_(path), awaited_(awaited), endpoint_(endpoint), now_(now) {}

  const char* take_frame(std::span<const std::byte> bytes, std::span<const std::byte> payload) override {
    FrameHeader header;
    if (const char* wrong = begin(bytes, payload.size(), header)) return wrong;
    if (header.type == FrameType::kData) return backend_.handle_data(path_, header, payload, endpoint_, now_);
    return backend_.handle_control(path_, header, endpoint_, now_);
  }
  Place place_payload(std::span<const std::byte> bytes, std::size_t length) override {
    FrameHeader header;
    if (const char* wrong = begin(bytes, length, header)) return {nullptr, 0, wrong};
    return backend_.begin_landing(path_, header, endpoint_, now_);
  }
  const char* landed(std::uint32_t number) override {
    return backend_.end_landing(path_, number, endpoint_, now_);
  }

 private:
  const char* begin(std::span<const std::byte> bytes, std::size_t payload_bytes, FrameHeader& header) {
    if (std::exchange(awaited_, false) && !backend_.accept_awaited(path_, endpoint_, now_)) return kTooLate;
    return backend_.read_header(path_, bytes, payload_bytes, header);
  }

  LinkBackend& backend_;
  const PathId path_;
  bool awaited_;
  multipath::Endpoint& endpoint_;
  const TimePoint now_;
};

bool LinkBackend::receive(multipath::Endpoint& endpoint, TimePoint now) {
  bool moved = false;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    const PathId path = static_cast<PathId>(i);
    PathSlot& slot = paths_[i];
    if (slot.worker) {
      Inlet inlet(*this, path, false, endpoint, now);
      moved |= slot.worker->progress(inlet);
      settle_path(path, endpoint, now);
    }
    if (slot.awaited) {
      Inlet inlet(*this, path, true, endpoint, now);
      PathWorker* const worker = slot.awaited->worker.get();
      moved |= worker->progress(inlet);
      if (slot.awaited && worker->wrong() != nullptr) give_up_awaited(path, endpoint, now);
      if (!slot.awaited) settle_path(path, endpoint, now);
    }
  }
  return moved;
}

// What came of a worker's turn.
void LinkBackend::settle_path(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = at(path);
  if (!slot.worker) return;
  const char* wrong = slot.worker->wrong();
  if (wrong == nullptr) wrong = tell_feedback(path, endpoint, now);
  if (wrong != nullptr) return protocol_error(path, wrong, endpoint, now);
  if (slot.worker->is_broken()) return lose(path, LossReason::kReset, endpoint, now);
  if (slot.blocked && slot.worker->has_plenty_of_room()) {
    slot.blocked = false;
    endpoint.path_writable(path);
  }
}

bool LinkBackend::accept_awaited(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = at(path);
  if (!endpoint.may_connect(path, slot.awaited->incarnation)) return false;  // receive() lets it go
  install(std::move(slot.awaited), endpoint, now);
  return true;
}

void LinkBackend::protocol_error(PathId path, const char* what, multipath::Endpoint& endpoint,
                                 TimePoint now) {
  const PathSlot& slot = at(path);
  (*log_)(
      LogLevel::kWarn,
      fmt::format("path {} on device {}, {} -> peer {}, is closed: the peer sent a malformed frame: {}. Do "
                  "both ends run the same version of Weft?",
                  multipath::index(path), slot.device, slot.local_address, slot.peer_address, what));
  lose(path, what == kBadChecksum ? LossReason::kChecksum : LossReason::kProtocolError, endpoint, now);
}

const char* LinkBackend::read_header(PathId path, std::span<const std::byte> bytes, std::size_t payload_bytes,
                                     FrameHeader& header) {
  multipath::FrameError error = multipath::decode(bytes.first<kHeaderBytes>(), header);
  if (error != multipath::FrameError::kNone) return multipath::to_string(error);
  if (payload_bytes != header.length) return "a payload that its header does not speak of";
  PathSlot& slot = at(path);
  if (multipath::serial_distance(slot.heard_acknowledged, header.path_acknowledged) > 0)
    slot.heard_acknowledged = header.path_acknowledged;
  if (multipath::serial_distance(heard_credit_seen_, header.credit_seen) > 0)
    heard_credit_seen_ = header.credit_seen;
  header.path_acknowledged = slot.worker->sent_of(header.path_acknowledged);
  has_heard_ = true;
  return nullptr;
}

// An acknowledgement counts when UCX, too, is done with the payload: the send completes by it, and its buffer
// is the caller's again. The NIC's word and the peer's may cross, and a hostile peer may speak early.
const char* LinkBackend::tell_feedback(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = at(path);
  if (slot.told_acknowledged == slot.heard_acknowledged) return nullptr;
  const std::uint32_t acknowledged = slot.worker->sent_of(slot.heard_acknowledged);
  if (acknowledged == slot.told_acknowledged) return nullptr;
  slot.told_acknowledged = acknowledged;
  FrameHeader header;
  header.path_acknowledged = acknowledged;
  header.credit_seen = heard_credit_seen_;
  return endpoint.handle_frame(path, slot.incarnation, header, now);
}

// While a payload is being fetched its place must stay the receive's. The endpoint counts a chunk when it is
// here, so it cannot know; what would complete the message without it, which no honest peer sends, is
// refused.
bool LinkBackend::collides(const FrameHeader& header) const {
  for (const PathSlot& slot : paths_) {
    for (std::uint64_t rest = slot.landing; rest != 0; rest &= rest - 1) {
      const FrameHeader& other = slot.landings[static_cast<std::size_t>(std::countr_zero(rest))].header;
      if (other.slot != header.slot || other.epoch != header.epoch) continue;
      if (other.offset == header.offset || other.message_bytes != header.message_bytes ||
          other.chunk_shift != header.chunk_shift || (header.flags & multipath::kFlagTruncated) != 0)
        return true;
    }
  }
  return false;
}

const char* LinkBackend::handle_data(PathId path, const FrameHeader& header,
                                     std::span<const std::byte> payload, multipath::Endpoint& endpoint,
                                     TimePoint now) {
  if (collides(header)) return kTwice;
  const multipath::Incarnation incarnation = at(path).incarnation;
  const multipath::Landing landing = endpoint.data_begins(path, incarnation, header);
  if (landing.verdict == LandingVerdict::kProtocolError) return landing.error;
  if (landing.verdict == LandingVerdict::kPlace && !payload.empty()) {
    std::memcpy(landing.at, payload.data(), payload.size());
    if (!has_good_payload(header, landing.at)) return kBadChecksum;
  }
  return endpoint.data_landed(path, incarnation, header, landing, now);
}

const char* LinkBackend::handle_control(PathId path, const FrameHeader& header, multipath::Endpoint& endpoint,
                                        TimePoint now) {
  PathSlot& slot = at(path);
  if (header.type == FrameType::kProbe && slot.landing != 0) {
    slot.held_probe = header;
    slot.probe_waits_for = slot.landing;
    FrameHeader feedback = header;
    feedback.type = FrameType::kFeedback;
    return endpoint.handle_frame(path, slot.incarnation, feedback, now);
  }
  return endpoint.handle_frame(path, slot.incarnation, header, now);
}

FrameTaker::Place LinkBackend::begin_landing(PathId path, const FrameHeader& header,
                                             multipath::Endpoint& endpoint, TimePoint now) {
  if (header.type != FrameType::kData) return {nullptr, 0, "a control frame with a payload"};
  if (header.length == 0) return {nullptr, 0, "a payload of nothing, to be fetched"};
  if (collides(header)) return {nullptr, 0, kTwice};
  PathSlot& slot = at(path);
  const multipath::Landing landing = endpoint.data_begins(path, slot.incarnation, header);
  if (landing.verdict == LandingVerdict::kProtocolError) return {nullptr, 0, landing.error};
  if (landing.verdict == LandingVerdict::kDiscard)
    return {nullptr, 0, endpoint.data_landed(path, slot.incarnation, header, landing, now)};
  if (slot.landing == ~std::uint64_t{0}) return {nullptr, 0, "more payloads under way than the window"};
  const auto number = static_cast<std::uint32_t>(std::countr_one(slot.landing));
  slot.landing |= std::uint64_t{1} << number;
  slot.landings[number] = {header, landing.at};
  // What the header acknowledges, and that the peer lives, counts at once.
  FrameHeader feedback;
  feedback.path_acknowledged = header.path_acknowledged;
  feedback.credit_seen = header.credit_seen;
  return {landing.at, number, endpoint.handle_frame(path, slot.incarnation, feedback, now)};
}

const char* LinkBackend::end_landing(PathId path, std::uint32_t number, multipath::Endpoint& endpoint,
                                     TimePoint now) {
  PathSlot& slot = at(path);
  const std::uint64_t bit = std::uint64_t{1} << number;
  const Landing& landing = slot.landings[number];
  slot.landing &= ~bit;
  if (!has_good_payload(landing.header, landing.at)) return kBadChecksum;
  if (const char* wrong = endpoint.data_landed(path, slot.incarnation, landing.header, now)) return wrong;
  if (slot.probe_waits_for == 0) return nullptr;
  slot.probe_waits_for &= ~bit;
  if (slot.probe_waits_for != 0) return nullptr;
  FrameHeader probe = slot.held_probe;
  probe.path_acknowledged = slot.told_acknowledged;  // the held one is of the past
  return endpoint.handle_frame(path, slot.incarnation, probe, now);
}

}  // namespace weft::ucx
