#include "bench/conform/slot_buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace weft::bench::conform {
namespace {

constexpr unsigned char kPoison = 0xC7;
constexpr unsigned char kGuard = 0x9B;

uint64_t pattern_word(uint64_t seed, uint64_t index) {
  uint64_t x = seed * 0x9E3779B97F4A7C15ULL + index * 0xD1342543DE82EF95ULL + 0x2545F4914F6CDD1DULL;
  x ^= x >> 29;
  x *= 0xBF58476D1CE4E5B9ULL;
  x ^= x >> 32;
  // As four numbers of bfloat16 of any sign and fraction and one of four exponents: where a plugin compresses
  // what it sends, it has something to do. No such byte is kPoison or kGuard in a number's upper half.
  return (x & 0x81FF81FF81FF81FFULL) | 0x3C003C003C003C00ULL;
}

size_t first_other_than(const std::byte* data, size_t bytes, unsigned char value) {
  if (bytes == 0) return 0;
  // A byte range is uniform if it equals itself shifted by one.
  if (data[0] == std::byte{value} && std::memcmp(data, data + 1, bytes - 1) == 0) return bytes;
  return std::find_if(data, data + bytes, [&](std::byte b) { return b != std::byte{value}; }) - data;
}

}  // namespace

void fill_pattern(std::byte* data, size_t bytes, uint64_t seed) {
  size_t at = 0;
  for (; at + 8 <= bytes; at += 8) {
    const uint64_t word = pattern_word(seed, at / 8);
    std::memcpy(data + at, &word, 8);
  }
  const uint64_t last = pattern_word(seed, at / 8);
  std::memcpy(data + at, &last, bytes - at);
}

size_t first_difference(const std::byte* data, size_t bytes, uint64_t seed) {
  for (size_t at = 0; at < bytes; at += 8) {
    const uint64_t word = pattern_word(seed, at / 8);
    const size_t part = std::min<size_t>(8, bytes - at);
    if (std::memcmp(data + at, &word, part) == 0) continue;
    const auto* expected = reinterpret_cast<const std::byte*>(&word);
    for (size_t i = 0; i < part; ++i) {
      if (data[at + i] != expected[i]) return at + i;
    }
  }
  return bytes;
}

SlotBuffer::SlotBuffer(const Session& session, void* comm, size_t slots, size_t slot_bytes, size_t misalign)
    : session_(&session), comm_(comm), slot_bytes_(slot_bytes), misalign_(misalign) {
  const size_t rounded = (slot_bytes + misalign + kGuardBytes - 1) / kGuardBytes * kGuardBytes;
  stride_ = rounded + 2 * kGuardBytes;
  memory_bytes_ = slots * stride_ + 2 * kGuardBytes;
  void* memory = mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  require(memory != MAP_FAILED, [&] { return fmt::format("no memory for {} bytes", memory_bytes_); });
  memory_ = static_cast<std::byte*>(memory);
  std::memset(memory_, kGuard, memory_bytes_);
  const size_t registered = (slots - 1) * stride_ + std::max<size_t>(slot_bytes, 1);
  require_success(session.plugin().reg_mr(comm, slot(0), registered, nccl::kPtrHost, &mhandle_), "regMr");
  registered_ = true;
}

SlotBuffer::~SlotBuffer() {
  if (memory_ && !registered_) munmap(memory_, memory_bytes_);
}

void SlotBuffer::fill(size_t index, size_t bytes, uint64_t seed) {
  poison(index);
  fill_pattern(slot(index), bytes, seed);
}

void SlotBuffer::poison(size_t index) {
  std::memset(slot(index), kPoison, slot_bytes_);
}

void SlotBuffer::verify(size_t index, size_t bytes, uint64_t seed, const std::string& what) const {
  const size_t wrong = first_difference(slot(index), bytes, seed);
  if (wrong < bytes) {
    const bool untouched = slot(index)[wrong] == std::byte{kPoison};
    throw Failure(fmt::format("{}: byte {} of {} is wrong{}", what, wrong, bytes,
                              untouched ? " (it was never written)" : ""));
  }
  verify_rest(index, bytes, what);
}

void SlotBuffer::verify_rest(size_t index, size_t bytes, const std::string& what) const {
  const size_t rest = slot_bytes_ - bytes;
  const size_t over = first_other_than(slot(index) + bytes, rest, kPoison);
  if (over < rest) {
    throw Failure(
        fmt::format("{}: byte {} beyond the {} bytes of the message was written", what, over, bytes));
  }
  const std::byte* before = slot(index) - kGuardBytes;
  if (first_other_than(before, kGuardBytes, kGuard) < kGuardBytes) {
    throw Failure(fmt::format("{}: memory before the buffer was written", what));
  }
  if (first_other_than(slot(index) + slot_bytes_, kGuardBytes, kGuard) < kGuardBytes) {
    throw Failure(fmt::format("{}: memory behind the buffer was written", what));
  }
}

void SlotBuffer::deregister() {
  if (registered_) require_success(session_->plugin().dereg_mr(comm_, mhandle_), "deregMr");
  registered_ = false;
}

}  // namespace weft::bench::conform
