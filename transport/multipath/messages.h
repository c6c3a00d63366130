// The pending sends and receives of one endpoint: fixed tables, made once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "transport/multipath/types.h"
#include "weft/connection.h"
#include "weft/status.h"

namespace weft::multipath {

enum class RequestState : std::uint8_t { kFree, kPending, kDone };

struct SendMessage {
  RequestState state = RequestState::kFree;
  StatusCode result = StatusCode::kOk;
  MemoryKind memory = MemoryKind::kHost;
  bool bound = false;      // met a receive
  bool truncated = false;  // did not fit it; only that news is sent
  std::uint8_t chunk_shift = 0;
  std::uint16_t generation = 0;  // tells a stale request id
  std::uint32_t tag = 0;
  const std::byte* data = nullptr;
  std::uint64_t bytes = 0;
  std::uint64_t number = 0;  // of the receive that it met
  std::uint32_t chunks = 0;
  std::uint32_t next_chunk = 0;  // first that was never handed to a path
  std::uint32_t acknowledged_chunks = 0;

  std::uint64_t wire_bytes() const { return truncated ? 0 : bytes; }
  std::uint32_t chunk_length(std::uint32_t chunk) const {
    std::uint64_t at = std::uint64_t{chunk} << chunk_shift;
    std::uint64_t left = wire_bytes() - at;
    std::uint64_t whole = std::uint64_t{1} << chunk_shift;
    return static_cast<std::uint32_t>(left < whole ? left : whole);
  }
};

struct ReceiveMessage {
  RequestState state = RequestState::kFree;
  StatusCode result = StatusCode::kOk;
  MemoryKind memory = MemoryKind::kHost;
  bool begun = false;  // a chunk has said how long the message is
  bool truncated = false;
  std::uint8_t chunk_shift = 0;
  std::uint16_t generation = 0;
  std::uint32_t tag = 0;
  std::byte* data = nullptr;
  std::uint64_t capacity = 0;
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;
  std::uint32_t chunks = 0;
  std::uint32_t arrived_chunks = 0;
  std::array<std::uint64_t, kMaxChunksPerMessage / 64> arrived{};

  bool has(std::uint32_t chunk) const { return (arrived[chunk / 64] >> (chunk % 64)) & 1; }
  void set(std::uint32_t chunk) { arrived[chunk / 64] |= std::uint64_t{1} << (chunk % 64); }
};

// A first-in first-out list of slot numbers of which any element can be taken out; no allocation after it is
// made.
class SlotList {
 public:
  SlotList() { clear(); }
  void clear() {
    first_ = last_ = kEnd;
    size_ = 0;
  }
  bool empty() const { return first_ == kEnd; }
  std::size_t size() const { return size_; }
  std::uint16_t front() const { return first_; }
  static bool at_end(std::uint16_t slot) { return slot == kEnd; }
  std::uint16_t next(std::uint16_t slot) const { return next_[slot]; }
  void push_back(std::uint16_t slot) {
    next_[slot] = kEnd;
    previous_[slot] = last_;
    (last_ == kEnd ? first_ : next_[last_]) = slot;
    last_ = slot;
    ++size_;
  }
  void push_front(std::uint16_t slot) {
    next_[slot] = first_;
    previous_[slot] = kEnd;
    (first_ == kEnd ? last_ : previous_[first_]) = slot;
    first_ = slot;
    ++size_;
  }
  void remove(std::uint16_t slot) {
    (previous_[slot] == kEnd ? first_ : next_[previous_[slot]]) = next_[slot];
    (next_[slot] == kEnd ? last_ : previous_[next_[slot]]) = previous_[slot];
    --size_;
  }

 private:
  static constexpr std::uint16_t kEnd = 0xFFFF;
  std::array<std::uint16_t, kSlots> next_{};
  std::array<std::uint16_t, kSlots> previous_{};
  std::uint16_t first_ = kEnd;
  std::uint16_t last_ = kEnd;
  std::size_t size_ = 0;
};

}  // namespace weft::multipath
