// The reference plugin's connections: one local socket each, credit for every receive, bytes straight into
// place.
//
// As simple as a correct plugin can be; what it is for is to be right and to be broken on purpose
// (planted_fault.h). A Link may be used by several threads (one mutex each); every call returns at once.
// Progress is made by any call on the link, and nothing waits for a call of the peer beyond those that it
// needs for its own requests.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>

#include "plugins/nccl_net/abi/types.h"
#include "tests/conform/planted_fault.h"

namespace weft::conform_test {

using nccl::Result;

inline constexpr int kMaxGroup = 8;

extern nccl::LogFunction log_function;

struct Registration {
  const void* comm;
  std::byte* data;
  size_t bytes;
};

class Link {
 public:
  enum class Side { kSend, kReceive };
  Link(Side side, int fd) : side_(side), fd_(fd) {}
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  Result isend(void* data, size_t bytes, int tag, const Registration* registration, void** request);
  Result irecv(int n, void** data, const size_t* bytes, const int* tags, void** mhandles, void** request);
  Result iflush(void** request);
  static Result test(void* request, int* done, int* sizes);
  bool in_flight() const;
  // Ends the connection under its user's feet (Fault::kFinalizeEndsOthers).
  void shut();

 private:
  struct Request {
    Link* link = nullptr;
    bool used = false;
    bool flush = false;
    bool done = false;
    int parts = 0;
    int parts_left = 0;
    uint64_t group = 0;
    std::array<std::byte*, kMaxGroup> data{};
    std::array<size_t, kMaxGroup> capacity{};
    std::array<size_t, kMaxGroup> received{};
  };

  // Both directions use one frame: a receive's credit, or the header before a message's bytes.
  struct Frame {
    enum Kind : uint32_t { kCredit = 1, kData = 2, kAck = 3 };
    uint32_t kind;
    uint32_t parts;  // of a credit; the slot of a message
    uint64_t group;
    uint64_t bytes[kMaxGroup];
    int32_t tags[kMaxGroup];
  };

  struct Outgoing {
    Frame frame;
    const std::byte* payload;
    size_t payload_bytes;
    Request* request;
    size_t written;
  };

  struct Credit {
    Frame frame;
    std::array<bool, kMaxGroup> taken{};
    uint32_t left;
  };

  Request* free_request();
  Request* oldest_receive();
  bool ring_is_full() const;
  int slot_for(Credit& credit, int tag) const;
  Result no_request(void** request) const;
  void progress(const Request* tested);
  void write_out();
  void write_what_others_owe();
  void read_in();
  bool read_frame();
  bool read_payload();
  void part_complete(Request& request, uint32_t slot);
  bool inside(const void* registration, const void* data, size_t bytes) const;

  const Side side_;
  const int fd_;
  mutable std::mutex mutex_;
  std::array<Request, nccl::kMaxRequests> requests_;
  std::deque<Outgoing> outgoing_;
  std::deque<Credit> credits_;
  std::deque<Request*> unacknowledged_;
  uint64_t next_group_ = 0;
  bool broken_ = false;

  Frame incoming_{};
  size_t incoming_bytes_ = 0;
  Request* receiving_ = nullptr;
  uint32_t receiving_slot_ = 0;
  size_t receiving_bytes_ = 0;
  size_t payload_read_ = 0;
  std::byte* finished_buffer_ = nullptr;
};

}  // namespace weft::conform_test
