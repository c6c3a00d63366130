#include "tests/conform/reference_link.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace weft::conform_test {

nccl::LogFunction log_function = nullptr;

namespace {

std::byte* closed_buffer = nullptr;  // Fault::kWritesAfterClose

// Fault::kReceiverMustPoll: links whose last acknowledgement leaves with the process's next call, whichever
// link that is for. Otherwise a receiver that has nothing more to test in the same process as the sender
// would be stuck too, or not, as the bytes happened to come.
std::mutex owing_lock;
std::vector<Link*> owing;

void warn(const char* text) {
  if (log_function)
    log_function(nccl::LogLevel::kWarn, nccl::kLogNet, __FILE__, __LINE__, "reference: %s", text);
}

}  // namespace

Link::~Link() {
  if (has(Fault::kReceiverMustPoll)) {
    const std::lock_guard guard(owing_lock);
    std::erase(owing, this);
  }
  if (has(Fault::kWritesAfterClose) && side_ == Side::kReceive) {
    for (Request& request : requests_) {
      if (request.used && !request.done && request.parts > 0) closed_buffer = request.data[0];
    }
  }
  if (!has(Fault::kLeaksDescriptors)) close(fd_);
}

void Link::shut() {
  shutdown(fd_, SHUT_RDWR);
}

bool Link::in_flight() const {
  const std::lock_guard guard(mutex_);
  return std::any_of(requests_.begin(), requests_.end(), [](const Request& request) { return request.used; });
}

Link::Request* Link::free_request() {
  for (Request& request : requests_) {
    if (request.used) continue;
    request = Request{};
    request.link = this;
    request.used = true;
    return &request;
  }
  return nullptr;
}

Link::Request* Link::oldest_receive() {
  Request* oldest = nullptr;
  for (Request& request : requests_) {
    if (!request.used || request.done || request.flush) continue;
    if (!oldest || request.group < oldest->group) oldest = &request;
  }
  return oldest;
}

// The next group's place, were they taken in turn.
bool Link::ring_is_full() const {
  return std::any_of(requests_.begin(), requests_.end(), [this](const Request& request) {
    return request.used && !request.flush && next_group_ - request.group >= requests_.size();
  });
}

// For isend and irecv that cannot post now.
Result Link::no_request(void** request) const {
  if (!has(Fault::kRequestNotWritten)) *request = nullptr;
  return Result::kSuccess;
}

bool Link::inside(const void* registration, const void* data, size_t bytes) const {
  const auto* region = static_cast<const Registration*>(registration);
  const auto* begin = static_cast<const std::byte*>(data);
  return region && region->comm == this && begin >= region->data &&
         begin + bytes <= region->data + region->bytes;
}

int Link::slot_for(Credit& credit, int tag) const {
  for (uint32_t slot = 0; slot < credit.frame.parts; ++slot) {
    if (!credit.taken[slot] && (has(Fault::kIgnoresTags) || credit.frame.tags[slot] == tag)) {
      return static_cast<int>(slot);
    }
  }
  return -1;
}

Result Link::isend(void* data, size_t bytes, int tag, const Registration* registration, void** request) {
  const std::lock_guard guard(mutex_);
  progress(nullptr);
  if (broken_) return Result::kRemoteError;
  if (!inside(registration, data, bytes)) {
    warn("the buffer of an isend lies outside its registration");
    return Result::kInvalidArgument;
  }
  if (credits_.empty()) return no_request(request);
  Credit& credit = credits_.front();
  const int slot = slot_for(credit, tag);
  if (slot < 0) return no_request(request);
  if (bytes > credit.frame.bytes[slot]) {
    if (!has(Fault::kTruncates)) {
      warn("a send is larger than the receive that it meets");
      return Result::kInvalidUsage;
    }
    bytes = credit.frame.bytes[slot];
  }
  Request* taken = free_request();
  if (!taken) return has(Fault::kLimitIsError) ? Result::kInternalError : no_request(request);
  taken->parts = 1;
  taken->received[0] = bytes;
  *request = taken;
  if (has(Fault::kZeroByteLost) && bytes == 0) {
    taken->done = true;
    return Result::kSuccess;
  }
  credit.taken[slot] = true;
  Frame frame{};
  frame.kind = Frame::kData;
  frame.parts = static_cast<uint32_t>(slot);
  frame.group = credit.frame.group;
  frame.bytes[0] = bytes;
  if (--credit.left == 0) credits_.pop_front();
  outgoing_.push_back({frame, static_cast<const std::byte*>(data), bytes, taken, 0});
  if (has(Fault::kSendDoneEarly)) {
    outgoing_.back().request = nullptr;
    taken->done = true;
  }
  write_out();
  return Result::kSuccess;
}

Result Link::irecv(int n, void** data, const size_t* bytes, const int* tags, void** mhandles,
                   void** request) {
  const std::lock_guard guard(mutex_);
  if (has(Fault::kKeepsOptionalRequest) &&
      *request == reinterpret_cast<void*>(nccl::kOptionalRecvCompletion)) {
    return Result::kSuccess;
  }
  if (n < 1 || n > kMaxGroup) return Result::kInvalidArgument;
  for (int i = 0; i < n; ++i) {
    if (inside(mhandles[i], data[i], bytes[i])) continue;
    warn("a buffer of an irecv lies outside its registration");
    return Result::kInvalidArgument;
  }
  Request* taken = free_request();
  if (!taken) return has(Fault::kLimitIsError) ? Result::kInternalError : no_request(request);
  taken->group = next_group_;
  if (has(Fault::kRingOfGroups) && ring_is_full()) return Result::kInternalError;
  Frame frame{};
  frame.kind = Frame::kCredit;
  frame.parts = static_cast<uint32_t>(n);
  frame.group = next_group_++;
  taken->parts = taken->parts_left = n;
  for (int i = 0; i < n; ++i) {
    taken->data[i] = static_cast<std::byte*>(data[i]);
    taken->capacity[i] = bytes[i];
    frame.bytes[i] = bytes[i];
    frame.tags[i] = tags[i];
  }
  outgoing_.push_back({frame, nullptr, 0, nullptr, 0});
  progress(nullptr);
  *request = taken;
  return Result::kSuccess;
}

Result Link::iflush(void** request) {
  const std::lock_guard guard(mutex_);
  Request* taken = free_request();
  if (!taken) return no_request(request);
  taken->flush = true;
  taken->done = true;
  *request = taken;
  return Result::kSuccess;
}

Result Link::test(void* request, int* done, int* sizes) {
  auto& tested = *static_cast<Request*>(request);
  Link& link = *tested.link;
  const std::lock_guard guard(link.mutex_);
  if (!has(Fault::kDoneNotWritten)) *done = 0;
  if (!tested.done) link.progress(&tested);
  if (!tested.done) return link.broken_ ? Result::kRemoteError : Result::kSuccess;
  *done = 1;
  if (tested.flush) {
    if (has(Fault::kFlushWritesSizes)) sizes[0] = 0;
  } else if (sizes) {
    for (int i = 0; i < tested.parts; ++i) {
      const bool wrong = has(Fault::kWrongSizes) && link.side_ == Side::kReceive;
      sizes[i] = static_cast<int>(wrong ? tested.capacity[i] : tested.received[i]);
    }
  }
  tested.used = false;
  return Result::kSuccess;
}

void Link::progress(const Request* tested) {
  if (has(Fault::kWritesAfterClose) && closed_buffer)
    *std::exchange(closed_buffer, nullptr) ^= std::byte{0xFF};
  if (has(Fault::kNeedsOtherPolls) && side_ == Side::kReceive && tested && tested == oldest_receive() &&
      std::count_if(requests_.begin(), requests_.end(), [](const Request& r) { return r.used; }) > 4) {
    return;
  }
  if (has(Fault::kReceiverMustPoll)) write_what_others_owe();
  write_out();
  read_in();
}

void Link::write_what_others_owe() {
  const std::lock_guard guard(owing_lock);
  for (Link* link : std::exchange(owing, {})) {
    if (link == this) continue;  // this call writes it out anyway
    const std::unique_lock other(link->mutex_, std::try_to_lock);
    if (other) {
      link->write_out();
    } else {
      owing.push_back(link);
    }
  }
}

void Link::write_out() {
  while (!outgoing_.empty() && !broken_) {
    Outgoing& next = outgoing_.front();
    iovec parts[2];
    int count = 0;
    const size_t in_payload = next.written > sizeof(Frame) ? next.written - sizeof(Frame) : 0;
    if (next.written < sizeof(Frame)) {
      parts[count++] = {reinterpret_cast<char*>(&next.frame) + next.written, sizeof(Frame) - next.written};
    }
    if (next.payload_bytes > in_payload) {
      parts[count++] = {const_cast<std::byte*>(next.payload) + in_payload, next.payload_bytes - in_payload};
    }
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    const ssize_t sent = sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno != EAGAIN && errno != EINTR) broken_ = true;
      return;
    }
    next.written += sent;
    if (next.written < sizeof(Frame) + next.payload_bytes) continue;
    if (next.request) {
      if (has(Fault::kReceiverMustPoll))
        unacknowledged_.push_back(next.request);
      else
        next.request->done = true;
    }
    outgoing_.pop_front();
  }
}

void Link::read_in() {
  // A bounded share, so that no call lasts long.
  for (int i = 0; i < 64 && !broken_; ++i) {
    if (!(receiving_ ? read_payload() : read_frame())) return;
  }
}

bool Link::read_frame() {
  const ssize_t got = recv(fd_, reinterpret_cast<char*>(&incoming_) + incoming_bytes_,
                           sizeof(Frame) - incoming_bytes_, MSG_DONTWAIT);
  if (got <= 0) {
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) broken_ = true;
    return false;
  }
  incoming_bytes_ += got;
  if (incoming_bytes_ < sizeof(Frame)) return true;
  incoming_bytes_ = 0;
  if (incoming_.kind == Frame::kCredit && side_ == Side::kSend && incoming_.parts <= kMaxGroup) {
    credits_.push_back({incoming_, {}, incoming_.parts});
    return true;
  }
  if (incoming_.kind == Frame::kAck && !unacknowledged_.empty()) {
    unacknowledged_.front()->done = true;
    unacknowledged_.pop_front();
    return true;
  }
  for (Request& request : requests_) {
    if (!request.used || request.flush || request.group != incoming_.group) continue;
    if (incoming_.kind != Frame::kData || side_ != Side::kReceive) break;
    const uint32_t slot = incoming_.parts;
    if (slot >= static_cast<uint32_t>(request.parts) || incoming_.bytes[0] > request.capacity[slot]) break;
    receiving_ = &request;
    receiving_slot_ = slot;
    receiving_bytes_ = incoming_.bytes[0];
    payload_read_ = 0;
    request.received[slot] = receiving_bytes_;
    if (has(Fault::kDoneWithoutData) && request.parts == 1 && receiving_bytes_ > 4096) {
      request.done = true;
      return false;
    }
    if (receiving_bytes_ == 0) part_complete(request, slot);
    return true;
  }
  warn("the peer sent a frame that does not fit");
  broken_ = true;
  return false;
}

bool Link::read_payload() {
  const ssize_t got = recv(fd_, receiving_->data[receiving_slot_] + payload_read_,
                           receiving_bytes_ - payload_read_, MSG_DONTWAIT);
  if (got <= 0) {
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) broken_ = true;
    return false;
  }
  payload_read_ += got;
  if (payload_read_ == receiving_bytes_) part_complete(*receiving_, receiving_slot_);
  return true;
}

void Link::part_complete(Request& request, uint32_t slot) {
  receiving_ = nullptr;
  std::byte* data = request.data[slot];
  const size_t bytes = request.received[slot];
  if (has(Fault::kWritesBeyondMessage)) std::memset(data + bytes, 0, request.capacity[slot] - bytes);
  if (has(Fault::kCorruptsLarge) && bytes > (1u << 20)) data[bytes - 77] ^= std::byte{1};
  if (has(Fault::kLateWrite)) {
    if (finished_buffer_) *finished_buffer_ ^= std::byte{0x10};
    finished_buffer_ = data;
  }
  if (has(Fault::kReceiverMustPoll)) {
    Frame ack{};
    ack.kind = Frame::kAck;
    outgoing_.push_back({ack, nullptr, 0, nullptr, 0});
    const std::lock_guard guard(owing_lock);
    owing.push_back(this);
  }
  if (--request.parts_left == 0) request.done = true;
}

}  // namespace weft::conform_test
