#include "bench/conform/message_queue.h"

#include <fmt/format.h>

#include <algorithm>

namespace weft::bench::conform {
namespace {

constexpr int kGarbageDone = 0x6B6B6B6B;
constexpr int kGarbageSize = 0x5A5A5A5A;

size_t largest_receive(const std::vector<Message>& plan) {
  size_t largest = 1;
  for (const Message& message : plan) largest = std::max(largest, message.receive_bytes());
  return largest;
}

}  // namespace

std::vector<Message> uniform(int count, size_t bytes, size_t capacity, int tag) {
  return std::vector<Message>(count, Message{bytes, capacity, tag});
}

MessageQueue::MessageQueue(const Session& session, void* comm, std::vector<Message> plan,
                           QueueOptions options)
    : session_(&session),
      comm_(comm),
      plan_(std::move(plan)),
      options_(options),
      buffer_(session, comm, options.window, largest_receive(plan_), options.misalign),
      requests_(options.window, nullptr) {}

bool MessageQueue::test_head(int* size) {
  int done = kGarbageDone;
  *size = kGarbageSize;
  require_success(session_->plugin().test(requests_[slot_of(done_)], &done, size),
                  side_ + std::string(" test"));
  require(done != kGarbageDone, [&] { return name_of(done_) + ": test returned without writing *done"; });
  return done != 0;
}

std::string MessageQueue::name_of(size_t index) const {
  const Message& message = plan_[index];
  return fmt::format("{} {} of {} ({} bytes, capacity {}, tag {})", side_, index, plan_.size(), message.bytes,
                     message.receive_bytes(), message.tag);
}

std::string MessageQueue::state() const {
  return fmt::format("{} of {} {}s (posted {})", done_, plan_.size(), side_, posted_);
}

SendQueue::SendQueue(const Session& session, void* send_comm, std::vector<Message> plan, QueueOptions options)
    : MessageQueue(session, send_comm, std::move(plan), options) {
  side_ = "send";
}

bool SendQueue::post() {
  if (!room()) return false;
  const Message& message = plan_[posted_];
  const size_t slot = slot_of(posted_);
  if (prepared_ == posted_) {
    buffer_.fill(slot, message.bytes, options_.stream + posted_);
    ++prepared_;
  }
  // Never dereferenced by a plugin: NCCL's profiler handles are opaque.
  void* phandle = reinterpret_cast<void*>(uintptr_t{0x10} + slot);
  require_success(session_->plugin().isend(comm_, buffer_.slot(slot), message.bytes, message.tag,
                                           buffer_.mhandle(), phandle, &requests_[slot]),
                  "isend");
  if (!requests_[slot]) return false;
  ++posted_;
  return true;
}

bool SendQueue::test() {
  if (idle()) return false;
  int size = 0;
  if (!test_head(&size)) return false;
  const size_t slot = slot_of(done_);
  buffer_.verify(slot, plan_[done_].bytes, options_.stream + done_, "source of " + name_of(done_));
  buffer_.poison(slot);
  ++done_;
  return true;
}

bool SendQueue::progress() {
  const bool posted = post();
  return test() || posted;
}

RecvQueue::RecvQueue(const Session& session, void* recv_comm, std::vector<Message> plan, QueueOptions options)
    : MessageQueue(session, recv_comm, std::move(plan), options) {
  side_ = "receive";
}

bool RecvQueue::post() {
  if (!room()) return false;
  const Message& message = plan_[posted_];
  const size_t slot = slot_of(posted_);
  if (prepared_ == posted_) {
    buffer_.poison(slot);
    ++prepared_;
  }
  void* data[1] = {buffer_.slot(slot)};
  size_t bytes[1] = {message.receive_bytes()};
  int tags[1] = {message.tag};
  void* mhandles[1] = {buffer_.mhandle()};
  void* phandles[1] = {reinterpret_cast<void*>(uintptr_t{0x10} + slot)};
  require_success(session_->plugin().irecv(comm_, data, bytes, tags, mhandles, phandles, &requests_[slot]),
                  "irecv");
  if (!requests_[slot]) return false;
  ++posted_;
  return true;
}

bool RecvQueue::test() {
  if (idle()) return false;
  int size = 0;
  if (!test_head(&size)) return false;
  const Message& message = plan_[done_];
  require(size == static_cast<int>(message.bytes), [&] {
    return size == kGarbageSize ? name_of(done_) + ": done, but its size was not written"
                                : fmt::format("{}: the plugin reports {} bytes", name_of(done_), size);
  });
  buffer_.verify(slot_of(done_), message.bytes, options_.stream + done_, name_of(done_));
  ++done_;
  return true;
}

bool RecvQueue::progress() {
  const bool posted = post();
  return test() || posted;
}

void exchange(const Connection& connection, const std::vector<Message>& plan, QueueOptions options) {
  SendQueue sends(connection.session(), connection.send(), plan, options);
  RecvQueue receives(connection.session(), connection.recv(), plan, options);
  Patience patience = connection.session().patience();
  while (!sends.finished() || !receives.finished()) {
    const bool received = receives.progress();
    const bool sent = sends.progress();
    if (received || sent)
      patience.moved();
    else
      patience.wait([&] { return sends.state() + ", " + receives.state(); });
  }
  sends.deregister();
  receives.deregister();
}

}  // namespace weft::bench::conform
