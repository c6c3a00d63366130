#include "bench/compression/slot_variant_bench.h"

#include <cstdio>
#include <string>

#include "compression/cuda/slot_variants.h"

namespace weft::bench {

using namespace compression;
using cuda::SlotKernel;

namespace {

std::string name_of(unsigned variant) {
  const cuda::SlotVariant& of = cuda::kSlotVariants[variant];
  std::string name = std::to_string(of.warps) + " warps";
  if (of.blocks > 1) name += " x " + std::to_string(of.blocks);
  if (of.ahead) name += ", ahead";
  if (of.local_late) name += ", late";
  if (of.streaming) name += ", streaming";
  return name;
}

void run_variant(unsigned variant, const SlotRun& run, const cuda::SlotCall& call, unsigned blocks) {
  check_cuda(cuda::run_slot_variant(variant, run.array(), call, blocks, nullptr), "a variant's launch");
}

}  // namespace

bool has_slot_variants() {
  cuda::SlotVariantResources resources;
  const int error = cuda::slot_variant_resources(0, SlotKernel::kPack, resources);
  cudaGetLastError();  // or the next launch would be blamed
  return error == cudaSuccess;
}

bool check_slot_variants(const SlotRun& run, const Bytes& payload, const std::vector<Bytes>& wanted) {
  run.launch_and_wait(run.call(SlotKernel::kPack));
  run.launch_and_wait(run.call(SlotKernel::kUnpackReducePack));
  const auto outcomes = run.outcomes();
  std::vector<Bytes> next;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    next.push_back(run.next().bytes(i * run.array().stride_bytes, outcomes[i].slot_bytes));
  for (unsigned variant = 0; variant < cuda::kSlotVariantCount; ++variant) {
    run.slots().poison();
    run_variant(variant, run, run.call(SlotKernel::kPack), 5);
    bool same = run.slots_equal(run.slots(), wanted, "pack");
    run.made().poison();
    run_variant(variant, run, run.call(SlotKernel::kUnpack), 5);
    same = same && run.made().bytes(0, payload.size()) == payload;
    run.next().poison();
    run_variant(variant, run, run.call(SlotKernel::kUnpackReducePack), 5);
    same = same && run.slots_equal(run.next(), next, "unpack_reduce_pack");
    if (!same) {
      std::printf("DIFFERENT: the variant \"%s\"\n", name_of(variant).c_str());
      return false;
    }
  }
  return true;
}

void measure_slot_variants(const SlotRun& run, int repetitions, int processors, double copy) {
  const std::pair<SlotKernel, const char*> kernels[] = {
      {SlotKernel::kPack, "pack"},
      {SlotKernel::kUnpack, "unpack"},
      {SlotKernel::kUnpackReducePack, "unpack_reduce_pack"}};
  Timer timer;
  for (const auto& [kernel, name] : kernels) {
    std::printf("  %-26s  regs spilt B blocks/SM   on 8 SMs, 32 SMs, all\n", name);
    for (unsigned variant = 0; variant < cuda::kSlotVariantCount; ++variant) {
      cuda::SlotVariantResources of;
      check_cuda(cuda::slot_variant_resources(variant, kernel, of), "a variant");
      std::printf("    %-26s %4d %6zu %5d   ", name_of(variant).c_str(), of.registers, of.spills,
                  of.resident);
      const cuda::SlotCall call = run.call(kernel);
      for (const int blocks : {8, 32, 0})
        print_rate(timer.gigabytes_per_s(
                       run.payload().size(), repetitions,
                       [&] { run_variant(variant, run, call, grid_of(blocks, processors, of.resident)); }),
                   blocks, copy);
      std::puts("");
    }
  }
}

}  // namespace weft::bench
