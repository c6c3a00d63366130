// Slots in the GPU's memory for the codecs' kernels: what codec_cuda_bench checks and measures with.
//
// Errors of CUDA are thrown as std::runtime_error. One thread.
#pragma once

#include <vector>

#include "bench/compression/device_timing.h"
#include "compression/cuda/slot_kernels.h"

namespace weft::bench {

inline constexpr std::size_t kSlotPayload = 256 << 10;

class SlotRun {
 public:
  SlotRun(compression::ElementType type, compression::Level level, std::size_t slots,
          std::size_t payload_bytes);

  const compression::cuda::SlotArray& array() const { return array_; }
  const DeviceMemory& payload() const { return payload_; }
  const DeviceMemory& made() const { return made_; }
  const DeviceMemory& slots() const { return slots_; }
  const DeviceMemory& next() const { return next_; }

  compression::cuda::SlotCall call(compression::cuda::SlotKernel kernel) const;
  std::vector<compression::cuda::ArrayOutcome> outcomes() const;
  // Launches on `blocks` blocks; does not wait.
  void launch(const compression::cuda::SlotCall& call, unsigned blocks) const;
  // On a number of blocks that does not divide the slots.
  void launch_and_wait(const compression::cuda::SlotCall& call) const;
  // Compares each slot that the GPU made, in slots() or next(), with the CPU's; prints what is different.
  bool slots_equal(const DeviceMemory& slots, const std::vector<Bytes>& wanted, const char* what) const;

 private:
  compression::cuda::SlotArray array_;
  DeviceMemory payload_, made_, slots_, next_, outcomes_;
};

// As many blocks as the GPU holds at once, or `blocks` if that is not 0.
unsigned grid_of(int blocks, int processors, int resident);
// One column of a table of rates: for each SM, or beside a device copy where `blocks` is 0.
void print_rate(double rate, int blocks, double copy);

}  // namespace weft::bench
