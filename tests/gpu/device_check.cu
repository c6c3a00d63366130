#include <cuda_runtime.h>

#include "tests/gpu/device_check.h"

namespace weft::gputest {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocks = 256;

__global__ void fill_kernel(Collective c, std::uint64_t seed, int rank, void* input) {
  const std::size_t count = input_count(c, rank);
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += stride) {
    store_element(c.type, input, i, input_bits(c, seed, rank, i));
  }
}

__global__ void check_kernel(Collective c, std::uint64_t seed, int rank, const void* output,
                             std::size_t guard_bytes, unsigned char guard, unsigned long long* wrong_bytes) {
  const std::size_t count = output_count(c, rank);
  const std::size_t first = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  unsigned long long wrong = 0;
  for (std::size_t i = first; i < count; i += stride) {
    wrong += differing_bytes(load_element(c.type, output, i), output_bits(c, seed, rank, i));
  }
  const unsigned char* bytes = static_cast<const unsigned char*>(output);
  for (std::size_t i = first; i < guard_bytes; i += stride) {
    wrong += bytes[count * size_of(c.type) + i] != guard;
    wrong += *(bytes - 1 - i) != guard;
  }
  if (wrong != 0) atomicAdd(wrong_bytes, wrong);
}

}  // namespace

int fill_input_on_device(const Collective& c, std::uint64_t seed, int rank, void* input,
                         CUstream_st* stream) {
  fill_kernel<<<kBlocks, kThreads, 0, stream>>>(c, seed, rank, input);
  return cudaGetLastError();
}

int check_output_on_device(const Collective& c, std::uint64_t seed, int rank, const void* output,
                           std::size_t guard_bytes, unsigned char guard, unsigned long long* wrong_bytes,
                           CUstream_st* stream) {
  check_kernel<<<kBlocks, kThreads, 0, stream>>>(c, seed, rank, output, guard_bytes, guard, wrong_bytes);
  return cudaGetLastError();
}

}  // namespace weft::gputest
