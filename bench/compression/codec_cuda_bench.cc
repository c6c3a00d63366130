// What the codecs' kernels reach on a GPU: first whether their bytes are the CPU's, then the rate of the
// payload for each number of multiprocessors, beside a device copy.
//
//     codec_cuda_bench [--mib 256] [--repetitions 9] [--data FILE.bf16] [--check-only] [--variants-only]
//
// A slot holds 256 KiB. "On n SMs" is a grid of n blocks of 256 threads, which the GPU spreads over as many
// SMs; "all" has as many blocks as fit. Rates are medians of device events around one launch. Normal numbers;
// with
// --data bfloat16 on that file too, repeated. Then the variants of the kernels (slot_variants.h). Exit
// status: 0 passed, 1 bytes differ or CUDA failed, 77 no GPU.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/compression/measured_data.h"
#include "bench/compression/normal_numbers.h"
#include "bench/compression/slot_run.h"
#include "bench/compression/slot_variant_bench.h"
#include "compression/cuda/slot_kernels.h"
#include "compression/slot/codec.h"

namespace {

using namespace weft::compression;
using cuda::ArrayOutcome;
using cuda::SlotCall;
using cuda::SlotKernel;
using weft::DataType;
using weft::ReduceOp;
using namespace weft::bench;

constexpr int kSkipped = 77;

struct Types {
  ElementType element;
  DataType data;
};
constexpr Types kTypes[] = {{ElementType::kBfloat16, DataType::kBfloat16},
                            {ElementType::kFloat16, DataType::kFloat16},
                            {ElementType::kFloat32, DataType::kFloat32},
                            {ElementType::kFloat8E4M3, DataType::kFloat8E4M3},
                            {ElementType::kFloat8E5M2, DataType::kFloat8E5M2}};

struct Options {
  std::size_t mib = 256;
  int repetitions = 9;
  int processors = 0;
  std::string data;
  bool check_only = false, variants_only = false;
};

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

bool check_reductions(const SlotRun& run, const Types& types, Level level, const Bytes& payload,
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
    run.launch_and_wait(call);
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
    run.launch_and_wait(call);
    if (!run.slots_equal(run.next(), next, c.name)) return false;
  }
  return true;
}

bool check_bytes(const Types& types, Level level) {
  // More tiles than a table reader knows at once; the last of each slot is not whole.
  const std::size_t slots = 24, bytes = 100 * 1024 + 12 * element_bytes(types.element);
  const SlotRun run(types.element, level, slots, bytes);
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
    run.launch_and_wait(call);
    if (!run.slots_equal(run.slots(), wanted, "pack")) return false;
    call = run.call(SlotKernel::kUnpack);
    call.by_warp = by_warp;
    run.made().poison();
    run.launch_and_wait(call);
    if (run.made().bytes(0, payload.size()) != payload) {
      std::puts("DIFFERENT: unpack");
      return false;
    }
  }
  if (types.element == ElementType::kBfloat16 && level == Level::kFast && has_slot_variants() &&
      !check_slot_variants(run, payload, wanted))
    return false;
  return check_reductions(run, types, level, payload, wanted);
}

// Of one type and level; what is measured on is normal numbers, or a file of elements.
void measure(const Types& types, Level level, const Options& options, const std::string& file, bool by_warp,
             bool variants) {
  const std::size_t slots = (options.mib << 20) / kSlotPayload, bytes = slots * kSlotPayload;
  const SlotRun run(types.element, level, slots, kSlotPayload);
  run.payload().fill(measured_data(types.element, bytes, file));
  Timer timer;
  const double copy = timer.gigabytes_per_s(bytes, options.repetitions, [&] {
    check_cuda(cudaMemcpyAsync(run.made().data(), run.payload().data(), bytes, cudaMemcpyDeviceToDevice),
               "cudaMemcpy");
  });
  run.launch_and_wait(run.call(SlotKernel::kPack));
  std::size_t used = 0;
  for (const ArrayOutcome& outcome : run.outcomes()) used += outcome.slot_bytes;
  std::printf("\n%s %s%s%s, %s: ratio %.4f, device copy %.1f GB/s of payload\n",
              std::string(to_string(types.element)).c_str(), std::string(to_string(level)).c_str(),
              by_warp ? ", a slot for each warp" : "", variants ? ", variants" : "",
              file.empty() ? "normal numbers" : file.c_str(),
              static_cast<double>(bytes) / static_cast<double>(used), copy);
  if (variants) {
    measure_slot_variants(run, options.repetitions, options.processors, copy);
    return;
  }
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
    const int resident = cuda::resident_blocks(run.array(), call);
    for (const int blocks : {1, 2, 4, 8, 16, 32, 0})
      print_rate(
          timer.gigabytes_per_s(bytes, options.repetitions,
                                [&] { run.launch(call, grid_of(blocks, options.processors, resident)); }),
          blocks, copy);
    std::puts("");
  }
}

bool check_all() {
  for (const Types& types : kTypes) {
    for (const Level level : {Level::kFast, Level::kDense}) {
      if (check_bytes(types, level)) continue;
      std::printf("FAILED: %s %s: the GPU's bytes are not the CPU's.\n",
                  std::string(to_string(types.element)).c_str(), std::string(to_string(level)).c_str());
      return false;
    }
  }
  std::puts("The GPU's bytes are the CPU's: every type, level and primitive.");
  return true;
}

int run_all(Options options) {
  std::string gpu;
  options.processors = find_gpu(gpu);
  if (options.processors == 0) {
    std::printf("SKIPPED: no GPU (%s)\n", gpu.c_str());
    return kSkipped;
  }
  std::printf("%s, %d SMs\n", gpu.c_str(), options.processors);
  if (!check_all()) return 1;
  if (options.check_only) return 0;
  std::puts(
      "\nGB/s of payload on 1, 2, 4, 8, 16, 32 SMs (and for each SM), on all (and beside the device copy)");
  // What matters most first, should the time be short.
  const Types& bfloat16 = kTypes[0];
  std::vector<std::string> bfloat16_data{""};
  if (!options.data.empty()) bfloat16_data.push_back(options.data);
  for (const std::string& file : bfloat16_data) {
    if (has_slot_variants()) measure(bfloat16, Level::kFast, options, file, false, true);
    if (!options.variants_only) measure(bfloat16, Level::kFast, options, file, false, false);
  }
  if (options.variants_only) return 0;
  if (!options.data.empty()) measure(bfloat16, Level::kDense, options, options.data, false, false);
  for (const Types& types : kTypes)
    for (const Level level : {Level::kFast, Level::kDense})
      if (&types != &bfloat16 || level != Level::kFast) measure(types, level, options, "", false, false);
  measure(bfloat16, Level::kFast, options, "", true, false);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("The codecs' kernels on a GPU: bytes beside the CPU's, rates beside a device copy");
  app.add_option("--mib", options.mib, "Payload in MiB; several times the GPU's cache")
      ->check(CLI::Range(1, 4096));
  app.add_option("--repetitions", options.repetitions)->check(CLI::Range(1, 1000));
  app.add_option("--data", options.data, "A file of bfloat16 to measure on as well")
      ->check(CLI::ExistingFile);
  app.add_flag("--check-only", options.check_only, "Compare bytes and measure nothing");
  app.add_flag("--variants-only", options.variants_only, "Of the rates, only those of the kernels' variants");
  CLI11_PARSE(app, argc, argv);
  try {
    return run_all(options);
  } catch (const std::exception& error) {
    std::printf("FAILED: %s\n", error.what());
    return 1;
  }
}
