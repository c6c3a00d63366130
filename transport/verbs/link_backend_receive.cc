// What comes in: completions become frames, and acknowledgements of the NIC.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "transport/multipath/crc32c.h"
#include "transport/verbs/link_backend.h"

namespace weft::verbs {

using multipath::FrameHeader;
using multipath::FrameType;
using multipath::kHeaderBytes;
using multipath::kSlots;
using multipath::Landing;
using multipath::LandingVerdict;
using multipath::LossReason;
using multipath::PathId;
using multipath::serial_distance;
using multipath::TimePoint;

namespace {

constexpr std::size_t kPolledAtOnce = 32;
constexpr int kMostRounds = 8;  // a turn, so that one busy plane does not keep the others waiting (I6)
constexpr const char* kBadChecksum = "its payload checksum is wrong";

LossReason reason_of(ibv_wc_status status) {
  switch (status) {
    case IBV_WC_RETRY_EXC_ERR:
    case IBV_WC_RNR_RETRY_EXC_ERR:
    case IBV_WC_RESP_TIMEOUT_ERR:
    case IBV_WC_REM_ABORT_ERR:
      return LossReason::kUnanswered;
    case IBV_WC_REM_ACCESS_ERR:
    case IBV_WC_REM_INV_REQ_ERR:
    case IBV_WC_REM_INV_RD_REQ_ERR:
    case IBV_WC_REM_OP_ERR:
      return LossReason::kRefused;
    case IBV_WC_FATAL_ERR:
      return LossReason::kDeviceFailed;
    default:
      return LossReason::kLocalFault;
  }
}

std::uint32_t announced_number(const FrameHeader& header) {
  if (header.flags & multipath::kFlagCredit) return header.credit_number;
  return static_cast<std::uint32_t>(multipath::message_number(header.epoch, header.slot));
}

}  // namespace

bool LinkBackend::receive(multipath::Endpoint& endpoint, TimePoint now) {
  give_up_unfenced(endpoint);
  bool moved = false;
  for (std::size_t plane = 0; plane < rails_.size(); ++plane) moved |= poll_rail(plane, endpoint, now);
  if (flushes_.are_pending()) flushes_.poll();
  return moved;
}

bool LinkBackend::poll_rail(std::size_t plane, multipath::Endpoint& endpoint, TimePoint now) {
  Rail& rail = *rails_[plane];
  std::array<ibv_wc, kPolledAtOnce> completions;
  bool moved = false;
  for (int round = 0; round < kMostRounds; ++round) {
    const int count = rail.poll(completions);
    bool any_received = false;
    for (int i = 0; i < count; ++i) {
      const ibv_wc& completion = completions[static_cast<std::size_t>(i)];
      if (completion.wr_id & SendMark::kSendBit) {
        handle_sent(completion, endpoint, now);
        continue;
      }
      moved |= handle_received(plane, completion, endpoint, now);
      rail.recycle(completion);
      any_received = true;
    }
    const bool broken = count < 0 || (any_received && !rail.post_receives());
    for (std::size_t i = 0; broken && i < paths_.size(); ++i) {
      if (plane_of(static_cast<PathId>(i)) == plane)
        lose(static_cast<PathId>(i), LossReason::kDeviceFailed, endpoint, now);
    }
    if (count < static_cast<int>(kPolledAtOnce)) break;
  }
  return moved;
}

void LinkBackend::handle_sent(const ibv_wc& completion, multipath::Endpoint& endpoint, TimePoint now) {
  const SendMark mark = SendMark::unpack(completion.wr_id);
  const std::size_t index = mark.token % multipath::kMaxPaths;
  if (index >= paths_.size() || !paths_[index].queue || paths_[index].queue->token() != mark.token) return;
  const PathId path = static_cast<PathId>(index);
  PathSlot& slot = paths_[index];
  if (completion.status != IBV_WC_SUCCESS) {
    if (log_->wants(LogLevel::kDebug)) {
      (*log_)(LogLevel::kDebug,
              fmt::format("path {} on device {}: a send failed: {} (vendor error {:#x})", index, slot.device,
                          rails_[plane_of(path)]->port().verbs->wc_status_str(completion.status),
                          completion.vendor_err));
    }
    lose(path, reason_of(completion.status), endpoint, now);
    return;
  }
  if (!slot.queue->complete(mark.posted)) {
    lose(path, LossReason::kLocalFault, endpoint, now);
  } else {
    answer(path, endpoint, now);
  }
}

bool LinkBackend::handle_received(std::size_t plane, const ibv_wc& completion, multipath::Endpoint& endpoint,
                                  TimePoint now) {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    PathSlot& slot = paths_[i];
    const PathId path = static_cast<PathId>(i);
    const bool is_awaited = slot.awaited && slot.awaited->queue->number() == completion.qp_num;
    const bool is_live = slot.queue && slot.queue->number() == completion.qp_num;
    if (plane_of(path) != plane || !(is_awaited || is_live)) continue;
    if (completion.status != IBV_WC_SUCCESS) {
      if (is_live) lose(path, LossReason::kLocalFault, endpoint, now);
      return false;
    }
    if (is_awaited && !accept_awaited(path, endpoint, now)) return false;
    if (!is_in_service(path, endpoint)) return false;
    has_heard_ = true;
    if (const char* wrong = slot.queue->arrived(completion)) {
      protocol_error(path, wrong, endpoint, now);
    } else {
      handle_arrivals(path, endpoint, now);
    }
    return true;
  }
  return false;  // of a queue pair that is out of service
}

// The endpoint may have left the path a frame ago, and its fence not been carried out yet. From then on it
// checks nothing of what comes this way, so nothing may be made of it.
bool LinkBackend::is_in_service(PathId path, const multipath::Endpoint& endpoint) const {
  const multipath::Path& state = endpoint.paths()[multipath::index(path)];
  return state.connected && state.incarnation == paths_[multipath::index(path)].incarnation;
}

void LinkBackend::handle_arrivals(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = at(path);
  QueuePair* const queue = slot.queue.get();
  Arrival arrival;
  while (slot.queue.get() == queue && is_in_service(path, endpoint) && queue->next_arrival(arrival)) {
    const char* wrong = arrival.wrong;
    if (wrong == nullptr) {
      wrong = arrival.is_chunk ? handle_chunk(path, arrival, endpoint, now)
                               : handle_message(path, arrival.message, endpoint, now);
    }
    if (wrong != nullptr) protocol_error(path, wrong, endpoint, now);
  }
  if (slot.queue.get() == queue) answer(path, endpoint, now);
}

// What the queue pair has to tell by itself, and what its room lets go on.
void LinkBackend::answer(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = at(path);
  if (slot.queue->answer_arrivals()) {
    dirty_ |= multipath::mask_of(path);
    if (slot.queue->needs_flush()) flush_path(path, endpoint, now);
    if (!slot.queue) return;
  }
  if (!slot.blocked || !slot.queue->has_plenty_of_room()) return;
  slot.blocked = false;
  endpoint.path_writable(path);
}

bool LinkBackend::accept_awaited(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  std::unique_ptr<Prepared> awaited = std::move(at(path).awaited);
  install(path, awaited->incarnation, std::move(awaited->queue), awaited->peer, endpoint, now);
  return at(path).queue != nullptr;
}

// A queue pair that waits for its first frame serves already, and data may land by it. When the endpoint has
// accounted for its incarnation as dead, it must be gone before the peer hears of that.
void LinkBackend::drop_dead_awaited(PathId path, multipath::Endpoint& endpoint) {
  if (multipath::index(path) >= paths_.size()) return;
  PathSlot& slot = at(path);
  if (!slot.awaited || !endpoint.is_dead(path, slot.awaited->incarnation)) return;
  discard(std::move(std::exchange(slot.awaited, nullptr)->queue));
}

void LinkBackend::protocol_error(PathId path, const char* what, multipath::Endpoint& endpoint,
                                 TimePoint now) {
  const PathSlot& slot = at(path);
  (*log_)(LogLevel::kWarn,
          fmt::format(
              "path {} on device {}, {} -> peer {}, is closed: the peer sent a malformed frame: {}. Do both "
              "ends run the same version of Weft?",
              multipath::index(path), slot.device, slot.local_address, slot.peer_address, what));
  lose(path, what == kBadChecksum ? LossReason::kChecksum : LossReason::kProtocolError, endpoint, now);
}

// The place of the receive that a header announces, taken off the front of what follows it.
const char* LinkBackend::take_place(const FrameHeader& header, std::span<const std::byte>& rest,
                                    std::optional<Place>& place) const {
  const bool rides = header.flags & multipath::kFlagCredit;
  if (header.type != FrameType::kClearToSend && !rides) return nullptr;
  place = decode_place(rest);
  if (!place) return "a clear-to-send that does not say where";
  const std::uint64_t capacity = rides ? header.credit_capacity : header.message_bytes;
  const bool needs_keys = capacity > kSmallPayloadBytes || (place->flags & Place::kNoCpuAccess) != 0;
  if (place->key_count != (needs_keys ? rails_.size() : 0))
    return "a clear-to-send without a key for each plane";
  rest = rest.subspan(place->encoded_bytes());
  return nullptr;
}

const char* LinkBackend::keep_place(const FrameHeader& header, const Place& place) {
  const std::uint32_t number = announced_number(header);
  RemoteReceive& remote = remote_[number % kSlots];
  const auto ahead = serial_distance(remote.number, number);
  if (ahead < 0) return nullptr;  // it is late, and repeated
  if (ahead == 0 && remote.announced && !(remote.place == place))
    return "a receive that was announced in another place before";
  remote = {number, true, place};
  return nullptr;
}

const char* LinkBackend::handle_message(PathId path, std::span<const std::byte> message,
                                        multipath::Endpoint& endpoint, TimePoint now) {
  if (message.size() < kHeaderBytes) return "it is shorter than a header";
  FrameHeader header;
  multipath::FrameError error = multipath::decode(message.first<kHeaderBytes>(), header);
  if (error != multipath::FrameError::kNone) return multipath::to_string(error);
  std::span<const std::byte> rest = message.subspan(kHeaderBytes);
  std::optional<Place> place;
  if (const char* wrong = take_place(header, rest, place)) return wrong;
  PathSlot& slot = at(path);
  if (header.type == FrameType::kData) {
    if (header.path_sequence != slot.next_sequence) return "data frames out of order";
    if (const char* wrong = handle_data(path, header, rest, endpoint, now)) return wrong;
  } else {
    if (!rest.empty()) return "bytes behind a control frame";
    if (const char* wrong = endpoint.handle_frame(path, slot.incarnation, header, now)) return wrong;
    if (header.type == FrameType::kPathDown) drop_dead_awaited(static_cast<PathId>(header.slot), endpoint);
  }
  slot.heard_acknowledged = header.path_acknowledged;
  slot.heard_credit_seen = header.credit_seen;
  return place ? keep_place(header, *place) : nullptr;
}

const char* LinkBackend::handle_data(PathId path, const FrameHeader& header,
                                     std::span<const std::byte> payload, multipath::Endpoint& endpoint,
                                     TimePoint now) {
  PathSlot& slot = at(path);
  const Landing landing = endpoint.data_begins(path, slot.incarnation, header);
  if (landing.verdict == LandingVerdict::kProtocolError) return landing.error;
  if (const char* wrong = check_payload(header, payload.size(), landing)) return wrong;
  if (landing.verdict == LandingVerdict::kPlace && header.length != 0) {
    if (!payload.empty()) std::memcpy(landing.at, payload.data(), payload.size());
    if ((header.flags & multipath::kFlagChecksum) &&
        multipath::crc32c(0, landing.at, header.length) != header.payload_checksum)
      return kBadChecksum;
  }
  if (const char* wrong = endpoint.data_landed(path, slot.incarnation, header, landing, now)) return wrong;
  if (landing.memory == MemoryKind::kDevice) flushes_.note_landing(plane_of(path));
  ++slot.next_sequence;
  heard_.note(path, header);
  return nullptr;
}

const char* LinkBackend::handle_chunk(PathId path, const Arrival& arrival, multipath::Endpoint& endpoint,
                                      TimePoint now) {
  PathSlot& slot = at(path);
  const Immediate& immediate = arrival.chunk;
  const FrameHeader* announced = heard_.find(path, immediate.slot);
  if (announced == nullptr) return "a chunk of a message that it has not announced";
  if (arrival.has_sequence && immediate.sequence != (slot.next_sequence & Immediate::kSequenceMask))
    return "data frames out of order";
  FrameHeader header = *announced;
  header.flags = 0;
  header.offset = std::uint64_t{immediate.chunk} << header.chunk_shift;
  if (header.offset >= header.message_bytes) return "a chunk outside its message";
  header.length = static_cast<std::uint32_t>(
      std::min(header.message_bytes - header.offset, std::uint64_t{1} << header.chunk_shift));
  if (arrival.length != header.length) return "a chunk of the wrong length";
  header.path_sequence = slot.next_sequence;
  header.path_acknowledged = slot.heard_acknowledged;
  header.credit_seen = slot.heard_credit_seen;
  const Landing landing = endpoint.data_begins(path, slot.incarnation, header);
  if (const char* wrong = endpoint.data_landed(path, slot.incarnation, header, landing, now)) return wrong;
  if (landing.memory == MemoryKind::kDevice) flushes_.note_landing(plane_of(path));
  ++slot.next_sequence;
  return nullptr;
}

}  // namespace weft::verbs
