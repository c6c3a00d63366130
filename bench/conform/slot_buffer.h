// Registered host memory for messages: slots with guard bytes around each, filled and verified byte by byte.
//
// Owns the memory and its registration with one communicator. Not thread safe. Construction throws Failure
// when the plugin refuses the registration; verifying throws Failure and names the first wrong byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "bench/conform/session.h"

namespace weft::bench::conform {

void fill_pattern(std::byte* data, size_t bytes, uint64_t seed);
// The offset of the first byte that differs, or `bytes`.
size_t first_difference(const std::byte* data, size_t bytes, uint64_t seed);

class SlotBuffer {
 public:
  static constexpr size_t kGuardBytes = 4096;

  // `misalign` shifts every slot by that many bytes from a page boundary.
  SlotBuffer(const Session& session, void* comm, size_t slots, size_t slot_bytes, size_t misalign = 0);
  ~SlotBuffer();
  SlotBuffer(const SlotBuffer&) = delete;
  SlotBuffer& operator=(const SlotBuffer&) = delete;

  std::byte* slot(size_t index) const { return memory_ + kGuardBytes + index * stride_ + misalign_; }
  size_t slot_bytes() const { return slot_bytes_; }
  void* mhandle() const { return mhandle_; }

  void fill(size_t index, size_t bytes, uint64_t seed);
  void poison(size_t index);
  // The first `bytes` are the seed's, the rest of the slot and both guards are untouched since fill or
  // poison.
  void verify(size_t index, size_t bytes, uint64_t seed, const std::string& what) const;
  // Only that the slot beyond `bytes` and the guards are untouched.
  void verify_rest(size_t index, size_t bytes, const std::string& what) const;
  // Gives the registration back, which NCCL does before it closes the communicator. The destructor does not;
  // it leaves memory that is still registered alone, because the plugin might still write there.
  void deregister();

 private:
  const Session* session_;
  void* comm_;
  size_t slot_bytes_;
  size_t misalign_;
  size_t stride_;
  size_t memory_bytes_;
  std::byte* memory_ = nullptr;
  void* mhandle_ = nullptr;
  bool registered_ = false;
};

}  // namespace weft::bench::conform
