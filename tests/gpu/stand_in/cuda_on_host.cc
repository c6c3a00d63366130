// The few functions of the CUDA run time that nccl_collectives calls, on host memory, so that the test
// program itself can be tested where there is no GPU: its plan, its checks, its deadlines and its report. It
// proves nothing about NCCL or Weft. Work is done at once; a stream is never busy, unless NCCL's stand-in
// says that it hangs.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tests/gpu/device_check.h"

// Set by nccl_on_host.cc: the collective in the stream will never end.
extern "C" __attribute__((visibility("default"))) bool weft_stand_in_stream_hangs;
bool weft_stand_in_stream_hangs = false;

extern "C" {
cudaError_t CUDARTAPI cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t CUDARTAPI cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "host memory, no GPU");
  return cudaSuccess;
}
cudaError_t CUDARTAPI cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t CUDARTAPI cudaSetDevice(int) {
  return cudaSuccess;
}
const char* CUDARTAPI cudaGetErrorString(cudaError_t) {
  return "an error of the stand-in";
}
cudaError_t CUDARTAPI cudaMalloc(void** memory, std::size_t bytes) {
  *memory = std::malloc(bytes);
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t CUDARTAPI cudaFree(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
cudaError_t CUDARTAPI cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t CUDARTAPI cudaStreamDestroy(cudaStream_t) {
  return cudaSuccess;
}
cudaError_t CUDARTAPI cudaStreamSynchronize(cudaStream_t) {
  return cudaSuccess;
}
cudaError_t CUDARTAPI cudaStreamQuery(cudaStream_t) {
  return weft_stand_in_stream_hangs ? cudaErrorNotReady : cudaSuccess;
}
cudaError_t CUDARTAPI cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
cudaError_t CUDARTAPI cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t CUDARTAPI cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                                      cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
}

namespace weft::gputest {

int fill_input_on_device(const Collective& c, std::uint64_t seed, int rank, void* input, CUstream_st*) {
  fill_input(c, seed, rank, input);
  return 0;
}

int check_output_on_device(const Collective& c, std::uint64_t seed, int rank, const void* output,
                           std::size_t guard_bytes, unsigned char guard, unsigned long long* wrong_bytes,
                           CUstream_st*) {
  const auto* bytes = static_cast<const unsigned char*>(output);
  *wrong_bytes += compare_output(c, seed, rank, output).wrong_bytes +
                  count_other_bytes(bytes - guard_bytes, guard_bytes, guard) +
                  count_other_bytes(bytes + output_count(c, rank) * size_of(c.type), guard_bytes, guard);
  return 0;
}

}  // namespace weft::gputest
