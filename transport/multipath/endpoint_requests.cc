// Requests: posting, meeting (credit.h), completing.
#include <algorithm>
#include <bit>
#include <cassert>

#include "transport/multipath/endpoint.h"
#include "transport/multipath/planted_bug.h"

namespace weft::multipath {
namespace {

// Request ids: a bit that is always set, the direction, a generation that tells a stale id, the slot.
constexpr std::uint32_t kIdBit = 1u << 30;
constexpr std::uint32_t kReceiveBit = 1u << 31;

RequestId make_id(bool receive, std::uint16_t generation, std::size_t slot) {
  return static_cast<RequestId>(kIdBit | (receive ? kReceiveBit : 0u) | (std::uint32_t{generation} << 8) |
                                static_cast<std::uint32_t>(slot));
}

std::size_t count_planes(const std::vector<PlaneId>& planes) {
  std::size_t most = 0;
  for (PlaneId plane : planes) most = std::max(most, index(plane) + 1);
  return most;
}

}  // namespace

static_assert(is_message(static_cast<RequestId>(kIdBit)) && !is_message(RequestId::kRefused));
static_assert(kSlots == 256, "request ids keep the slot in eight bits");
static_assert(kMaxPendingRequests == static_cast<int>(kSlots));

RequestSlot slot_of(RequestId request) {
  std::uint32_t id = static_cast<std::uint32_t>(request);
  return {(id & kReceiveBit) != 0, static_cast<std::uint16_t>(id & 0xFF)};
}

Endpoint::Endpoint(const EndpointConfig& config)
    : config_(config),
      paths_(config.path_planes.size()),
      planes_(count_planes(config.path_planes)),
      chooser_(config.window_slack),
      sends_(kSlots),
      receives_(kSlots),
      resends_(config.path_planes.size() * kPathWindowFrames),
      actions_(config.path_planes.size() * 8 + 16) {
  assert(!paths_.empty() && paths_.size() <= kMaxPaths);
  assert(std::has_single_bit(config.chunk_bytes));
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    paths_[i].plane = config.path_planes[i];
    paths_[i].backoff = config.first_backoff;
  }
  for (std::size_t i = 0; i < planes_.size(); ++i) planes_[i].standby = (config.standby_planes >> i & 1) != 0;
  for (std::size_t slot = 0; slot < kSlots; ++slot) free_sends_.push_back(static_cast<std::uint16_t>(slot));
}

RequestId Endpoint::post_send(TimePoint now, const std::byte* data, std::uint64_t bytes, std::uint32_t tag,
                              MemoryKind memory) {
  if (free_sends_.empty()) return RequestId::kNone;
  std::uint16_t slot = free_sends_.front();
  free_sends_.remove(slot);
  std::uint16_t generation = static_cast<std::uint16_t>(sends_[slot].generation + 1);
  sends_[slot] = {};
  SendMessage& send = sends_[slot];
  send.state = RequestState::kPending;
  send.generation = generation;
  send.memory = memory;
  send.data = data;
  send.bytes = bytes;
  send.tag = tag;
  if (pending_requests_++ == 0) pending_since_.reset();
  if (ending_ != Ending::kNone) {
    complete_send(send, StatusCode::kPeerLost);
  } else if (auto credit = credits_.take(tag)) {
    bind(slot, *credit);
  } else {
    unbound_.push_back(slot);
  }
  return make_id(false, generation, slot);
}

RequestId Endpoint::post_receive(std::byte* data, std::uint64_t capacity, std::uint32_t tag,
                                 MemoryKind memory) {
  std::size_t slot = next_receive_ % kSlots;
  if (receives_[slot].state != RequestState::kFree) return RequestId::kNone;
  std::uint16_t generation = static_cast<std::uint16_t>(receives_[slot].generation + 1);
  receives_[slot] = {};
  ReceiveMessage& receive = receives_[slot];
  receive.state = RequestState::kPending;
  receive.generation = generation;
  receive.memory = memory;
  receive.data = data;
  receive.capacity = capacity;
  receive.tag = tag;
  receive.number = next_receive_++;
  if (pending_requests_++ == 0) pending_since_.reset();
  if (ending_ != Ending::kNone) complete_receive(receive, StatusCode::kPeerLost);
  return make_id(true, generation, slot);
}

bool Endpoint::has_receive_room(std::size_t count) const {
  if (count > kSlots) return false;
  for (std::size_t i = 0; i < count; ++i)
    if (receives_[(next_receive_ + i) % kSlots].state != RequestState::kFree) return false;
  return true;
}

Completion Endpoint::take_completion(RequestId request) {
  std::uint32_t id = static_cast<std::uint32_t>(request);
  std::size_t slot = slot_of(request).slot;
  std::uint16_t generation = static_cast<std::uint16_t>(id >> 8);
  Completion completion;
  if (id & kReceiveBit) {
    ReceiveMessage& receive = receives_[slot];
    if (receive.generation != generation || receive.state == RequestState::kFree) {
      return {true, 0, StatusCode::kInvalidArgument};
    }
    if (receive.state != RequestState::kDone) return completion;
    completion = {true, static_cast<std::size_t>(receive.bytes), receive.result};
    receive.state = RequestState::kFree;
  } else {
    SendMessage& send = sends_[slot];
    if (send.generation != generation || send.state == RequestState::kFree || !(id & kIdBit)) {
      return {true, 0, StatusCode::kInvalidArgument};
    }
    if (send.state != RequestState::kDone) return completion;
    completion = {true, static_cast<std::size_t>(send.bytes), send.result};
    send.state = RequestState::kFree;
    free_sends_.push_front(static_cast<std::uint16_t>(slot));  // the next send finds it in the cache
  }
  return completion;
}

// A chunk should keep its path busy for about a millisecond: then what is queued in front of a control frame,
// or lost with a path, is little, and planes finish together. Until rates are known, large messages over
// several planes are cut finely.
std::uint8_t Endpoint::choose_chunk_shift(std::uint64_t bytes) const {
  constexpr Duration kChunkTime = std::chrono::milliseconds(1);
  const std::uint64_t least = std::min(kMinChunkBytes, config_.chunk_bytes);
  if (bytes <= least) return static_cast<std::uint8_t>(std::countr_zero(least));
  std::uint64_t fastest = 0;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    if (paths_[i].usable()) fastest = std::max(fastest, bytes_drained_in(kChunkTime, static_cast<PathId>(i)));
  }
  std::uint64_t chunk = config_.chunk_bytes;
  if (fastest != 0) {
    chunk = std::bit_ceil(fastest);
  } else if (planes_.size() > 1) {
    chunk = std::bit_floor(std::max<std::uint64_t>(1, bytes / (64 * planes_.size())));
  }
  chunk = std::clamp<std::uint64_t>(chunk, least, config_.chunk_bytes);
  while (chunk * kMaxChunksPerMessage < bytes) chunk *= 2;
  return static_cast<std::uint8_t>(std::countr_zero(chunk));
}

void Endpoint::bind(std::uint16_t slot, const Credit& credit) {
  SendMessage& send = sends_[slot];
  send.bound = true;
  send.number = credit.number;
  send.truncated = send.bytes > credit.capacity;
  if (send.truncated && planted(Bug::kLosesTruncation)) {
    complete_send(send, StatusCode::kTruncated);
    return;
  }
  send.chunk_shift = choose_chunk_shift(send.wire_bytes());
  std::uint64_t chunk = std::uint64_t{1} << send.chunk_shift;
  send.chunks = static_cast<std::uint32_t>(
      std::max<std::uint64_t>(1, (send.wire_bytes() + chunk - 1) >> send.chunk_shift));
  queued_bytes_ += send.wire_bytes();
  transmitting_.push_back(slot);
}

// A new credit came: the sends that waited for one, in order.
void Endpoint::match_credit() {
  for (std::uint16_t slot = unbound_.front(); !SlotList::at_end(slot);) {
    std::uint16_t next = unbound_.next(slot);
    if (auto credit = credits_.take(sends_[slot].tag)) {
      unbound_.remove(slot);
      bind(slot, *credit);
    }
    slot = next;
  }
}

void Endpoint::complete_send(SendMessage& send, StatusCode result) {
  assert(send.state == RequestState::kPending);
  send.state = RequestState::kDone;
  send.result = result;
  --pending_requests_;
  if (result == StatusCode::kOk) ++messages_sent_;
}

void Endpoint::complete_receive(ReceiveMessage& receive, StatusCode result) {
  assert(receive.state == RequestState::kPending);
  receive.state = RequestState::kDone;
  receive.result = result;
  --pending_requests_;
  if (result == StatusCode::kOk) ++messages_received_;
}

void Endpoint::fail_all(StatusCode code) {
  for (SendMessage& send : sends_)
    if (send.state == RequestState::kPending) complete_send(send, code);
  for (ReceiveMessage& receive : receives_)
    if (receive.state == RequestState::kPending) complete_receive(receive, code);
  unbound_.clear();
  transmitting_.clear();
  queued_bytes_ = 0;
  resend_count_ = 0;
}

}  // namespace weft::multipath
