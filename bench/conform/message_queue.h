// One end of a connection, worked as NCCL's progress thread works it: up to eight messages in flight, a slot
// of registered memory for each, stale request pointers on entry, garbage in *done, and only the oldest
// request tested.
//
// SendQueue and RecvQueue of one connection share nothing, so that they may run on different threads or in
// different processes; the two sides agree on the plan: message i carries the pattern of seed `stream` + i.
// Each queue belongs to one thread at a time. All errors are thrown as Failure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/conform/session.h"
#include "bench/conform/slot_buffer.h"

namespace weft::bench::conform {

struct Message {
  size_t bytes = 0;
  size_t capacity = 0;  // of the receive; 0 stands for exactly `bytes`
  int tag = 0;
  size_t receive_bytes() const { return capacity > bytes ? capacity : bytes; }
};

struct QueueOptions {
  int window = nccl::kMaxSteps;
  uint64_t stream = 1;
  size_t misalign = 0;
};

// Messages of one size.
std::vector<Message> uniform(int count, size_t bytes, size_t capacity = 0, int tag = 0);

class MessageQueue {
 public:
  MessageQueue(const Session& session, void* comm, std::vector<Message> plan, QueueOptions options);

  bool finished() const { return done_ == plan_.size(); }
  size_t done() const { return done_; }
  size_t posted() const { return posted_; }
  bool idle() const { return done_ == posted_; }
  std::string state() const;
  void deregister() { buffer_.deregister(); }

 protected:
  bool room() const {
    return posted_ < plan_.size() && posted_ - done_ < static_cast<size_t>(options_.window);
  }
  // Tests the oldest request; true when it is complete. `size` gets what the plugin reports.
  bool test_head(int* size);
  std::string name_of(size_t index) const;
  size_t slot_of(size_t index) const { return index % options_.window; }

  const Session* session_;
  void* comm_;
  const char* side_ = "";
  std::vector<Message> plan_;
  QueueOptions options_;
  SlotBuffer buffer_;
  std::vector<void*> requests_;  // one a slot; keeps the stale pointer of its last use
  size_t posted_ = 0;
  size_t prepared_ =
      0;  // messages whose slot is filled: a post that gave NULL is repeated without filling again
  size_t done_ = 0;
};

class SendQueue : public MessageQueue {
 public:
  SendQueue(const Session& session, void* send_comm, std::vector<Message> plan, QueueOptions options = {});
  // Posts what the window allows, tests the head. True when anything moved. A slot is overwritten as soon as
  // its send is done.
  bool progress();
  bool post();
  bool test();
};

class RecvQueue : public MessageQueue {
 public:
  RecvQueue(const Session& session, void* recv_comm, std::vector<Message> plan, QueueOptions options = {});
  // As above. A message is verified in the moment in which the plugin says that it is done.
  bool progress();
  bool post();
  bool test();
};

// Moves the plan over the connection, both ends on this thread, and verifies it.
void exchange(const Connection& connection, const std::vector<Message>& plan, QueueOptions options = {});

// Polls one queue until it has finished.
template <class Queue>
void work_off(const Session& session, Queue& queue) {
  Patience patience = session.patience();
  while (!queue.finished()) {
    if (queue.progress())
      patience.moved();
    else
      patience.wait([&] { return queue.state(); });
  }
}

}  // namespace weft::bench::conform
