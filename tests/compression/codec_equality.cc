// Whether all implementations code to the same bytes and decode what the others coded, on elements at random:
//
//     codec_equality [--elements 1e9] [--seed 1] [--type bf16] [--lanes]
//
// Takes that many elements of each type, in turn from each distribution of random_elements.h, and does with
// them what the four fused primitives do, at every level. Every implementation of implementations.cc must
// give the first one's bytes, and with --lanes the GPU's kernels too, whose lanes the host then runs: slow.
// Ends with 1 at the first difference, and says how to come back to it. A billion elements of each type take
// some minutes; ctest takes 800,000.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "compression/cuda/lane_kernels.h"
#include "compression/slot/codec.h"
#include "compression/slot/slot_reader.h"
#include "tests/compression/implementations.h"
#include "tests/compression/random_elements.h"

namespace {

using namespace weft::compression;
using Bytes = std::vector<std::byte>;
using Implementations = std::vector<const cpu::TileKernels*>;

// One archive block, the smallest that is coded, and sometimes a tile that is not whole: it stays in the
// cache.
constexpr std::size_t kRoundElements = kArchiveElements + 2 * kTileElements;

struct Round {
  ElementType type;
  Distribution distribution;
  std::uint64_t seed;
  Bytes elements, local;
};

struct Totals {
  std::uint64_t elements = 0, payload_bytes = 0;
  std::array<std::uint64_t, kLevels> slot_bytes{};
};

std::size_t first_difference(const Bytes& a, const Bytes& b) {
  const std::size_t shorter = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(shorter), b.begin()).first -
      a.begin());
}

// False, with a line that says where, if `found` is not `wanted`.
bool agree(const char* what, const Round& round, Level level, const cpu::TileKernels& kernels,
           const Bytes& found, const Bytes& wanted) {
  if (found == wanted) return true;
  std::printf("DIFFERENT: %s by %s, %s, level %s, %s, round %llu: byte %zu; %zu bytes, not %zu\n", what,
              std::string(kernels.name).c_str(), std::string(to_string(round.type)).c_str(),
              std::string(to_string(level)).c_str(), std::string(to_string(round.distribution)).c_str(),
              static_cast<unsigned long long>(round.seed), first_difference(found, wanted), found.size(),
              wanted.size());
  return false;
}

Bytes packed(const Round& round, Level level, const cpu::TileKernels& kernels) {
  Bytes slot(max_slot_bytes(round.type, level, round.elements.size()), std::byte{0xee});
  slot.resize(pack(round.elements, round.type, level, slot, kernels).value());
  return slot;
}

bool all_agree(const Implementations& all, const Round& round, Level level, std::uint64_t& slot_bytes) {
  const Bytes slot = packed(round, level, *all.front());
  slot_bytes += slot.size();
  const auto data = data_type_of(round.type);
  std::optional<Bytes> reduced, next;
  for (const cpu::TileKernels* kernels : all) {
    if (kernels != all.front() &&
        !agree("packed", round, level, *kernels, packed(round, level, *kernels), slot))
      return false;
    Bytes again(round.elements.size(), std::byte{0x55});
    if (!unpack(slot, again, *kernels)) again.clear();
    if (!agree("unpacked", round, level, *kernels, again, round.elements)) return false;
    if (!data) continue;
    const Reduction sum{*data, weft::ReduceOp::kSum, 1};
    if (!unpack_reduce(slot, sum, round.local, again, *kernels)) again.clear();
    if (!reduced) reduced = again;
    if (!agree("reduced", round, level, *kernels, again, *reduced)) return false;
    Bytes on(max_slot_bytes(round.type, level, round.elements.size()));
    on.resize(unpack_reduce_pack(slot, sum, round.local, level, on, *kernels).value());
    if (!next) next = on;
    if (!agree("packed again", round, level, *kernels, on, *next)) return false;
  }
  return true;
}

bool compare(const Implementations& all, ElementType type, std::uint64_t elements, std::uint64_t seed,
             Totals& totals) {
  for (std::uint64_t number = seed; totals.elements < elements; ++number) {
    SplitMix random(number * 2654435761u + static_cast<std::uint64_t>(type));
    const std::size_t count = kRoundElements + (number % 4 == 0 ? random.next() % kTileElements : 0);
    const auto distribution = static_cast<Distribution>(number % kDistributions);
    Round round{type, distribution, number, random_elements(type, distribution, count, random), {}};
    if (data_type_of(type)) round.local = random_elements(type, distribution, count, random);
    for (const Level level : {Level::kFast, Level::kDense, Level::kArchive})
      if (!all_agree(all, round, level, totals.slot_bytes[static_cast<std::size_t>(level)])) return false;
    totals.elements += count;
    totals.payload_bytes += round.elements.size();
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  double elements = 1e9;
  std::uint64_t seed = 1;
  std::string only;
  bool lanes = false;
  CLI::App app("Whether all implementations of the codecs give the same bytes");
  app.add_option("--elements", elements, "Of each type, up to whole rounds")->check(CLI::Range(1.0, 1e13));
  app.add_option("--seed", seed, "The first round: what a difference names");
  app.add_option("--type", only, "bf16, fp16, fp32, e4m3 or e5m2; all of them without it");
  app.add_flag("--lanes", lanes, "The GPU's kernels too, lane by lane");
  CLI11_PARSE(app, argc, argv);
  Implementations all = implementations();
  if (lanes) all.push_back(&cuda::kLaneKernels);
  std::printf("compared with %s:", std::string(all.front()->name).c_str());
  for (const cpu::TileKernels* kernels : all)
    if (kernels != all.front()) std::printf(" %s", std::string(kernels->name).c_str());
  std::puts("");
  for (int i = 1; i < kElementTypes; ++i) {
    const auto type = static_cast<ElementType>(i);
    if (!only.empty() && only != to_string(type)) continue;
    const auto started = std::chrono::steady_clock::now();
    Totals totals;
    if (!compare(all, type, static_cast<std::uint64_t>(elements), seed, totals)) return 1;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
    std::printf(
        "%-5s %llu elements, %llu bytes; slots: fast %llu, dense %llu, archive %llu bytes; all equal (%.0f "
        "s)\n",
        std::string(to_string(type)).c_str(), static_cast<unsigned long long>(totals.elements),
        static_cast<unsigned long long>(totals.payload_bytes),
        static_cast<unsigned long long>(totals.slot_bytes[1]),
        static_cast<unsigned long long>(totals.slot_bytes[2]),
        static_cast<unsigned long long>(totals.slot_bytes[3]), took.count());
    std::fflush(stdout);
  }
  return 0;
}
