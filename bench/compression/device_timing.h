// Memory of the GPU and times of its work, for the benchmarks of codecs.
//
// Errors of CUDA are thrown as std::runtime_error. One thread.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace weft::bench {

using Bytes = std::vector<std::byte>;

inline void check_cuda(int error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(static_cast<cudaError_t>(error)));
}

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes) : bytes_(bytes) {
    check_cuda(cudaMalloc(&at_, std::max<std::size_t>(bytes, 1)), "cudaMalloc");
  }
  ~DeviceMemory() { cudaFree(at_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  std::uint8_t* data() const { return static_cast<std::uint8_t*>(at_); }
  std::size_t size() const { return bytes_; }
  void poison() const { check_cuda(cudaMemset(at_, 0xee, bytes_), "cudaMemset"); }
  void fill(const void* from, std::size_t count) const {
    check_cuda(cudaMemcpy(at_, from, count, cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  void fill(const Bytes& from) const { fill(from.data(), from.size()); }
  Bytes bytes(std::size_t offset, std::size_t count) const {
    Bytes result(count);
    check_cuda(cudaMemcpy(result.data(), data() + offset, count, cudaMemcpyDeviceToHost), "cudaMemcpy");
    return result;
  }

 private:
  void* at_ = nullptr;
  std::size_t bytes_;
};

// Medians of device events around some work on the default stream, which is done once before.
class Timer {
 public:
  Timer() {
    check_cuda(cudaEventCreate(&from_), "cudaEventCreate");
    check_cuda(cudaEventCreate(&to_), "cudaEventCreate");
  }
  ~Timer() {
    cudaEventDestroy(from_);
    cudaEventDestroy(to_);
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  template <typename Work>
  double gigabytes_per_s(std::size_t bytes, int repetitions, const Work& work) {
    work();
    std::vector<float> took;
    for (int i = 0; i < repetitions; ++i) {
      check_cuda(cudaEventRecord(from_), "cudaEventRecord");
      work();
      check_cuda(cudaEventRecord(to_), "cudaEventRecord");
      check_cuda(cudaEventSynchronize(to_), "the measured work");
      took.emplace_back();
      check_cuda(cudaEventElapsedTime(&took.back(), from_, to_), "cudaEventElapsedTime");
    }
    std::nth_element(took.begin(), took.begin() + static_cast<std::ptrdiff_t>(took.size() / 2), took.end());
    return static_cast<double>(bytes) / took[took.size() / 2] / 1e6;
  }

 private:
  cudaEvent_t from_ = nullptr, to_ = nullptr;
};

// The name of the GPU and its multiprocessors; 0 of them where there is no GPU, and why in `name`.
inline int find_gpu(std::string& name) {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    name = error == cudaSuccess ? "CUDA finds none" : cudaGetErrorString(error);
    return 0;
  }
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  name = properties.name;
  return properties.multiProcessorCount;
}

}  // namespace weft::bench
