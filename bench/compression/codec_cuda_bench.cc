// What the codecs' kernels reach on a GPU: first whether their bytes are the CPU's, then the rate of the
// payload for each number of multiprocessors, beside a device copy.
//
//     codec_cuda_bench [--mib 256] [--repetitions 9] [--check-only]
//
// A slot holds 256 KiB. "On n SMs" is a grid of n blocks of 256 threads, which the GPU spreads over as many
// SMs; "all" has as many blocks as fit. Rates are medians of device events around one launch. Exit status: 0
// passed, 1 bytes differ or CUDA failed, 77 no GPU.
#include <cuda_runtime_api.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/compression/normal_numbers.h"
#include "compression/cuda/slot_kernels.h"
#include "compression/slot/codec.h"

namespace {

using namespace weft::compression;
using cuda::ArrayOutcome;
using cuda::Fault;
using cuda::SlotArray;
using cuda::SlotCall;
using cuda::SlotKernel;
using weft::DataType;
using weft::ReduceOp;
using Bytes = std::vector<std::byte>;

constexpr std::size_t kSlotPayload = 256 << 10;
constexpr int kSkipped = 77;

void check(int error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(static_cast<cudaError_t>(error)));
}

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes) : bytes_(bytes) { check(cudaMalloc(&at_, bytes), "cudaMalloc"); }
  ~DeviceMemory() { cudaFree(at_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  std::uint8_t* data() const { return static_cast<std::uint8_t*>(at_); }
  void poison() const { check(cudaMemset(at_, 0xee, bytes_), "cudaMemset"); }
  void fill(const Bytes& from) const {
    check(cudaMemcpy(at_, from.data(), from.size(), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  Bytes bytes(std::size_t offset, std::size_t count) const {
    Bytes result(count);
    check(cudaMemcpy(result.data(), data() + offset, count, cudaMemcpyDeviceToHost), "cudaMemcpy");
    return result;
  }

 private:
  void* at_ = nullptr;
  std::size_t bytes_;
};

struct Types {
  ElementType element;
  DataType data;
};
constexpr Types kTypes[] = {{ElementType::kBfloat16, DataType::kBfloat16},
                            {ElementType::kFloat16, DataType::kFloat16},
                            {ElementType::kFloat32, DataType::kFloat32},
                            {ElementType::kFloat8E4M3, DataType::kFloat8E4M3},
                            {ElementType::kFloat8E5M2, DataType::kFloat8E5M2}};

// Normal numbers, and among them tiles of anything, of one number, and of numbers among zeros.
Bytes check_payload(ElementType type, std::size_t bytes, unsigned seed) {
  Bytes payload = weft::bench::normal_numbers(type, bytes, seed);
  std::mt19937 random(seed + 1);
  const std::size_t tile = 1024 * element_bytes(type), element = element_bytes(type);
  for (std::size_t at = 0; at + tile <= bytes; at += tile) {
    const unsigned kind = random() % 8;
    for (std::size_t i = 0; i < tile; ++i) {
      if (kind == 0) payload[at + i] = static_cast<std::byte>(random());
      if (kind == 1) payload[at + i] = payload[at + i % element];
      if (kind == 2 && i / element % 3 == 0) payload[at + i] = std::byte{0};
    }
  }
  return payload;
}

// What a payload is reduced with: itself, as of two NaNs that differ it is the CPU's compiler that chooses
// one; of FP8, which has one NaN for all results, elements of any bits.
Bytes local_elements(ElementType type, const Bytes& payload) {
  if (element_bytes(type) != 1) return payload;
  Bytes local(payload.size());
  std::mt19937 random(11);
  for (std::byte& element : local) element = static_cast<std::byte>(random());
  return local;
}

class Run {
 public:
  Run(const Types& types, Level level, std::size_t slots, std::size_t payload_bytes)
      : types_(types),
        array_{types.element, level, slots, payload_bytes,
               (max_slot_bytes(types.element, level, payload_bytes) + 15) / 16 * 16},
        payload_(slots * payload_bytes),
        made_(slots * payload_bytes),
        slots_(slots * array_.stride_bytes),
        next_(slots * array_.stride_bytes),
        outcomes_(slots * sizeof(ArrayOutcome)) {}

  const SlotArray& array() const { return array_; }
  const DeviceMemory& payload() const { return payload_; }
  const DeviceMemory& made() const { return made_; }
  const DeviceMemory& slots() const { return slots_; }
  const DeviceMemory& next() const { return next_; }

  SlotCall call(SlotKernel kernel) const {
    SlotCall call;
    call.kernel = kernel;
    call.payload = payload_.data();
    call.received = slots_.data();
    call.destination = made_.data();
    call.slots = kernel == SlotKernel::kPack ? slots_.data() : next_.data();
    call.outcomes = reinterpret_cast<ArrayOutcome*>(outcomes_.data());
    return call;
  }
  std::vector<ArrayOutcome> outcomes() const {
    std::vector<ArrayOutcome> result(array_.slots);
    const Bytes bytes = outcomes_.bytes(0, array_.slots * sizeof(ArrayOutcome));
    std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }

 private:
  Types types_;
  SlotArray array_;
  DeviceMemory payload_, made_, slots_, next_, outcomes_;
};

void launch(const Run& run, const SlotCall& call, unsigned blocks) {
  check(cuda::run_slot_kernel(run.array(), call, blocks, nullptr), "a codec kernel's launch");
}
void launch_and_wait(const Run& run, const SlotCall& call) {
  launch(run, call, 5);  // does not divide the slots
  check(cudaDeviceSynchronize(), "a codec kernel");
}

// Compares each slot that the GPU made with the CPU's.
bool slots_equal(const Run& run, const DeviceMemory& slots, const std::vector<Bytes>& wanted,
                 const char* what) {
  const auto outcomes = run.outcomes();
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const bool same = outcomes[i].fault == Fault::kNone && outcomes[i].slot_bytes == wanted[i].size() &&
                      slots.bytes(i * run.array().stride_bytes, wanted[i].size()) == wanted[i];
    if (same) continue;
    std::printf("DIFFERENT: %s, slot %zu: %llu bytes, the CPU has %zu (%s)\n", what, i,
                static_cast<unsigned long long>(outcomes[i].slot_bytes), wanted[i].size(),
                cuda::fault_words(outcomes[i].fault));
    return false;
  }
  return true;
}

bool check_reductions(const Run& run, const Types& types, Level level, const Bytes& payload,
                      const std::vector<Bytes>& slots) {
  const std::size_t bytes = run.array().payload_bytes;
  const Bytes local = local_elements(types.element, payload);
  const DeviceMemory local_memory(local.size());
  local_memory.fill(local);
  struct Case {
    ReduceOp op;
    int divisor;
    const char* name;
  };
  for (const Case& c :
       {Case{ReduceOp::kSum, 1, "sum"}, Case{ReduceOp::kAvg, 3, "avg"}, Case{ReduceOp::kProd, 1, "prod"},
        Case{ReduceOp::kMax, 1, "max"}, Case{ReduceOp::kMin, 1, "min"}}) {
    const bool all_kernels = c.op == ReduceOp::kSum || c.op == ReduceOp::kAvg;
    if (!all_kernels && level != Level::kFast) continue;
    const Reduction reduction{types.data, c.op, c.divisor};
    SlotCall call = run.call(SlotKernel::kUnpackReduce);
    call.op = c.op;
    call.divisor = c.divisor;
    call.payload = local_memory.data();
    run.made().poison();
    launch_and_wait(run, call);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      Bytes wanted(bytes);
      if (!unpack_reduce(slots[i], reduction, std::span(local).subspan(i * bytes, bytes), wanted))
        return false;
      if (run.made().bytes(i * bytes, bytes) == wanted) continue;
      std::printf("DIFFERENT: %s of slot %zu\n", c.name, i);
      return false;
    }
    if (!all_kernels) continue;
    std::vector<Bytes> next;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      next.emplace_back(max_slot_bytes(types.element, level, bytes));
      const auto used = unpack_reduce_pack(slots[i], reduction, std::span(local).subspan(i * bytes, bytes),
                                           level, next.back());
      if (!used) return false;
      next.back().resize(*used);
    }
    call.kernel = SlotKernel::kUnpackReducePack;
    run.next().poison();
    launch_and_wait(run, call);
    if (!slots_equal(run, run.next(), next, c.name)) return false;
  }
  return true;
}

bool check_bytes(const Types& types, Level level) {
  // The last tile of each slot is not whole.
  const std::size_t slots = 24, bytes = 20 * 1024 + 12 * element_bytes(types.element);
  const Run run(types, level, slots, bytes);
  const Bytes payload = check_payload(types.element, slots * bytes, 7);
  run.payload().fill(payload);
  std::vector<Bytes> wanted;
  for (std::size_t i = 0; i < slots; ++i) {
    wanted.emplace_back(max_slot_bytes(types.element, level, bytes));
    wanted.back().resize(
        *pack(std::span(payload).subspan(i * bytes, bytes), types.element, level, wanted.back()));
  }
  for (const bool by_warp : {false, true}) {
    if (by_warp && (types.element != ElementType::kBfloat16 || level != Level::kFast)) continue;
    SlotCall call = run.call(SlotKernel::kPack);
    call.by_warp = by_warp;
    run.slots().poison();
    launch_and_wait(run, call);
    if (!slots_equal(run, run.slots(), wanted, "pack")) return false;
    call = run.call(SlotKernel::kUnpack);
    call.by_warp = by_warp;
    run.made().poison();
    launch_and_wait(run, call);
    if (run.made().bytes(0, payload.size()) != payload) {
      std::puts("DIFFERENT: unpack");
      return false;
    }
  }
  return check_reductions(run, types, level, payload, wanted);
}

class Timer {
 public:
  Timer() {
    check(cudaEventCreate(&from_), "cudaEventCreate");
    check(cudaEventCreate(&to_), "cudaEventCreate");
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
      check(cudaEventRecord(from_), "cudaEventRecord");
      work();
      check(cudaEventRecord(to_), "cudaEventRecord");
      check(cudaEventSynchronize(to_), "a codec kernel");
      took.emplace_back();
      check(cudaEventElapsedTime(&took.back(), from_, to_), "cudaEventElapsedTime");
    }
    std::nth_element(took.begin(), took.begin() + static_cast<std::ptrdiff_t>(took.size() / 2), took.end());
    return static_cast<double>(bytes) / took[took.size() / 2] / 1e6;
  }

 private:
  cudaEvent_t from_ = nullptr, to_ = nullptr;
};

void measure(const Types& types, Level level, std::size_t mib, int repetitions, int processors,
             bool by_warp) {
  const std::size_t slots = (mib << 20) / kSlotPayload, bytes = slots * kSlotPayload;
  const Run run(types, level, slots, kSlotPayload);
  Bytes payload = weft::bench::normal_numbers(types.element, std::min<std::size_t>(bytes, 8 << 20), 1);
  const std::size_t some = payload.size();
  payload.resize(bytes);
  for (std::size_t at = some; at < bytes; at += some)
    std::memcpy(&payload[at], payload.data(), std::min(some, bytes - at));
  run.payload().fill(payload);
  Timer timer;
  const double copy = timer.gigabytes_per_s(bytes, repetitions, [&] {
    check(cudaMemcpyAsync(run.made().data(), run.payload().data(), bytes, cudaMemcpyDeviceToDevice),
          "cudaMemcpy");
  });
  launch_and_wait(run, run.call(SlotKernel::kPack));
  std::size_t used = 0;
  for (const ArrayOutcome& outcome : run.outcomes()) used += outcome.slot_bytes;
  std::printf("\n%s %s%s: ratio %.4f, device copy %.1f GB/s of payload\n",
              std::string(to_string(types.element)).c_str(), std::string(to_string(level)).c_str(),
              by_warp ? ", a slot for each warp" : "", static_cast<double>(bytes) / static_cast<double>(used),
              copy);
  const std::pair<SlotKernel, const char*> kernels[] = {
      {SlotKernel::kPack, "pack"},
      {SlotKernel::kUnpack, "unpack"},
      {SlotKernel::kUnpackReduce, "unpack_reduce"},
      {SlotKernel::kUnpackReducePack, "unpack_reduce_pack"}};
  for (const auto& [kernel, name] : kernels) {
    if (by_warp && kernel == SlotKernel::kUnpackReduce) continue;
    SlotCall call = run.call(kernel);
    call.by_warp = by_warp;
    std::printf("  %-19s", name);
    for (const int blocks : {1, 2, 4, 8, 16, 32, 0}) {
      const int grid =
          blocks != 0 ? blocks : processors * std::max(cuda::resident_blocks(run.array(), call), 1);
      const double rate =
          timer.gigabytes_per_s(bytes, repetitions, [&] { launch(run, call, static_cast<unsigned>(grid)); });
      if (blocks != 0)
        std::printf(" %7.1f (%5.2f)", rate, rate / blocks);
      else
        std::printf(" %7.1f (%.2fx)", rate, rate / copy);
    }
    std::puts("");
  }
}

int run_all(std::size_t mib, int repetitions, bool check_only) {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("SKIPPED: no GPU (%s)\n",
                error == cudaSuccess ? "CUDA finds none" : cudaGetErrorString(error));
    return kSkipped;
  }
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  std::printf("%s, %d SMs\n", properties.name, properties.multiProcessorCount);
  for (const Types& types : kTypes) {
    for (const Level level : {Level::kFast, Level::kDense}) {
      if (!check_bytes(types, level)) {
        std::printf("FAILED: %s %s: the GPU's bytes are not the CPU's.\n",
                    std::string(to_string(types.element)).c_str(), std::string(to_string(level)).c_str());
        return 1;
      }
    }
  }
  std::puts("The GPU's bytes are the CPU's: every type, level and primitive.");
  if (check_only) return 0;
  std::puts(
      "\nGB/s of payload on 1, 2, 4, 8, 16, 32 SMs (and for each SM), on all (and beside the device copy)");
  for (const Types& types : kTypes)
    for (const Level level : {Level::kFast, Level::kDense})
      measure(types, level, mib, repetitions, properties.multiProcessorCount, false);
  measure(kTypes[0], Level::kFast, mib, repetitions, properties.multiProcessorCount, true);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t mib = 256;
  int repetitions = 9;
  bool check_only = false;
  CLI::App app("The codecs' kernels on a GPU: bytes beside the CPU's, rates beside a device copy");
  app.add_option("--mib", mib, "Payload in MiB; several times the GPU's cache")->check(CLI::Range(1, 4096));
  app.add_option("--repetitions", repetitions)->check(CLI::Range(1, 1000));
  app.add_flag("--check-only", check_only, "Compare bytes and measure nothing");
  CLI11_PARSE(app, argc, argv);
  try {
    return run_all(mib, repetitions, check_only);
  } catch (const std::exception& error) {
    std::printf("FAILED: %s\n", error.what());
    return 1;
  }
}
