#include "bench/compression/slot_run.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "compression/slot_format.h"

namespace weft::bench {

using namespace compression;
using cuda::ArrayOutcome;
using cuda::SlotCall;
using cuda::SlotKernel;

SlotRun::SlotRun(ElementType type, Level level, std::size_t slots, std::size_t payload_bytes)
    : array_{type, level, slots, payload_bytes, (max_slot_bytes(type, level, payload_bytes) + 15) / 16 * 16},
      payload_(slots * payload_bytes),
      made_(slots * payload_bytes),
      slots_(slots * array_.stride_bytes),
      next_(slots * array_.stride_bytes),
      outcomes_(slots * sizeof(ArrayOutcome)) {}

SlotCall SlotRun::call(SlotKernel kernel) const {
  SlotCall call;
  call.kernel = kernel;
  call.payload = payload_.data();
  call.received = slots_.data();
  call.destination = made_.data();
  call.slots = kernel == SlotKernel::kPack ? slots_.data() : next_.data();
  call.outcomes = reinterpret_cast<ArrayOutcome*>(outcomes_.data());
  return call;
}

std::vector<ArrayOutcome> SlotRun::outcomes() const {
  std::vector<ArrayOutcome> result(array_.slots);
  const Bytes bytes = outcomes_.bytes(0, array_.slots * sizeof(ArrayOutcome));
  std::memcpy(result.data(), bytes.data(), bytes.size());
  return result;
}

void SlotRun::launch(const SlotCall& call, unsigned blocks) const {
  check_cuda(cuda::run_slot_kernel(array_, call, blocks, nullptr), "a codec kernel's launch");
}
void SlotRun::launch_and_wait(const SlotCall& call) const {
  launch(call, 5);
  check_cuda(cudaDeviceSynchronize(), "a codec kernel");
}

bool SlotRun::slots_equal(const DeviceMemory& slots, const std::vector<Bytes>& wanted,
                          const char* what) const {
  const auto outcomes = this->outcomes();
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const bool same = outcomes[i].fault == cuda::Fault::kNone && outcomes[i].slot_bytes == wanted[i].size() &&
                      slots.bytes(i * array_.stride_bytes, wanted[i].size()) == wanted[i];
    if (same) continue;
    std::printf("DIFFERENT: %s, slot %zu: %llu bytes, the CPU has %zu (%s)\n", what, i,
                static_cast<unsigned long long>(outcomes[i].slot_bytes), wanted[i].size(),
                cuda::fault_words(outcomes[i].fault));
    return false;
  }
  return true;
}

unsigned grid_of(int blocks, int processors, int resident) {
  return static_cast<unsigned>(blocks != 0 ? blocks : processors * std::max(resident, 1));
}
void print_rate(double rate, int blocks, double copy) {
  if (blocks != 0)
    std::printf(" %7.1f (%5.2f)", rate, rate / blocks);
  else
    std::printf(" %7.1f (%.2fx)", rate, rate / copy);
  std::fflush(stdout);
}

}  // namespace weft::bench
