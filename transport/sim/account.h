// The simulator's own account of what was sent, what landed where, and what was reported. It knows nothing of
// the core's state: it sees the caller's requests, the bytes that move, and the completions, and holds them
// against the promises (I1 to I5). The first broken promise ends the run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "transport/sim/clock.h"
#include "weft/connection.h"

namespace weft::sim {

// A caller's buffer with guard bytes on both sides.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes);
  std::byte* data() { return storage_.get() + kGuardBytes; }
  std::size_t capacity() const { return bytes_; }
  bool guards_stand() const;

 private:
  static constexpr std::size_t kGuardBytes = 64;
  std::size_t bytes_;
  std::unique_ptr<std::byte[]> storage_;
};

// Byte `offset` of message `id`, and whole ranges of it. No two messages look alike.
void fill_message(std::uint64_t id, std::byte* to, std::size_t bytes);
// Offset of the first byte that differs, or `bytes`.
std::size_t differs_at(std::uint64_t id, const std::byte* at, std::size_t bytes);

class Account {
 public:
  struct Message {
    std::uint64_t id = 0;
    std::uint64_t bytes = 0;  // of the send
    std::uint64_t capacity = 0;
    std::uint32_t tag = 0;
    bool sent = false, received = false;  // posted
    bool send_reported = false, receive_reported = false;
    bool matched = false;  // the receive posted with number `number` is this message's
    std::uint64_t number = 0;
    TimePoint send_posted{}, receive_posted{};
    std::byte* to = nullptr;
    const std::byte* from = nullptr;
    std::vector<std::uint8_t> landings;  // of every byte
    std::uint64_t touched_paths = 0;     // that carried any frame for it

    std::uint64_t wire_bytes() const { return bytes > capacity ? 0 : bytes; }
    TimePoint both_posted() const { return std::max(send_posted, receive_posted); }
  };

  // One direction of traffic; the caller says what will meet what: message k of a direction is send k in the
  // order of sending, and is known to the receiver by its tag and rank within the tag.
  void plan(int sender, std::uint64_t bytes, std::uint64_t capacity, std::uint32_t tag);
  std::size_t planned(int sender) const { return directions_[sender].messages.size(); }
  Message& message(int sender, std::size_t k) { return directions_[sender].messages[k]; }

  void send_posted(int sender, std::size_t k, const std::byte* from, TimePoint now);
  // Receives are numbered by the order of posting.
  void receive_posted(int sender, std::size_t k, std::byte* to, TimePoint now);

  // The message whose receive has this number, or null: none was posted.
  Message* by_number(int sender, std::uint64_t number);

  // The wire takes payload from the sender's memory.
  void departs(int sender, std::uint64_t number, const std::byte* from, std::uint64_t offset,
               std::uint32_t length, std::size_t path);
  // Bytes are written into the receiver's memory. False: they must not be (the account has said so).
  bool lands(int sender, std::uint64_t number, const std::byte* at, std::uint64_t offset,
             std::uint32_t length);

  void send_completed(int sender, std::size_t k, const Completion& completion, bool may_fail);
  void receive_completed(int sender, std::size_t k, const Completion& completion, bool may_fail,
                         Buffer& buffer);

  void violation(std::string text);
  bool broken() const { return !violation_.empty(); }
  const std::string& first_violation() const { return violation_; }

  std::uint64_t completed = 0, failed = 0, bytes_landed = 0, bytes_landed_again = 0;
  std::uint64_t bytes_received = 0;  // in messages reported complete

 private:
  struct Direction {
    std::deque<Message> messages;
    std::vector<std::size_t> by_number;
  };
  std::string where(int sender, const Message& message) const;

  Direction directions_[2];
  std::uint64_t next_id_ = 1;
  std::string violation_;
};

}  // namespace weft::sim
