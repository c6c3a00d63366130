// What the codecs reach on one core: ratio, and rate of the payload beside memcpy of the same payload.
//
//     codec_bench tests/compression/real_data/minilm.bf16:bf16 tests/compression/real_data/minilm.fp32:fp32
//     normal:bf16
//
// A payload is a file of elements, repeated until --mib are full, or "normal" numbers of a type. Each
// repetition runs memcpy next to what is measured; rates and ratios to memcpy are medians. Fused reductions
// stand beside the plain loop, whose own rate is the last column. --cpu-time counts the thread's own time,
// which other programs on the machine disturb less; results to be published are wall-clock time on a quiet
// machine.
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/compression/measured_data.h"
#include "bench/compression/yardsticks.h"
#include "compression/slot/codec.h"
#include "compression/slot/level_choice.h"
#include "compression/slot/threaded_codec.h"

namespace {

using namespace weft::compression;
using weft::DataType;
using weft::ReduceOp;
using weft::bench::Yardstick;

// As buffers of collectives are: at the start of a page. Elsewhere every load and store of 64 bytes takes two
// lines of a cache.
template <typename T>
struct PageAllocator {
  using value_type = T;
  static constexpr std::align_val_t kPage{4096};
  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kPage)); }
  void deallocate(T* at, std::size_t) { ::operator delete(at, kPage); }
  friend bool operator==(PageAllocator, PageAllocator) { return true; }
};
using Bytes = std::vector<std::byte, PageAllocator<std::byte>>;

constexpr int kRanks = 8;  // an average is divided by

struct Options {
  std::vector<std::string> payloads;
  std::size_t mib = 128;
  int repetitions = 9, threads = 1;
  bool cpu_time = false, all_instructions = false;
  ReduceOp op = ReduceOp::kMax;
};

class Stopwatch {
 public:
  explicit Stopwatch(bool cpu_time) : clock_(cpu_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC) {}
  double seconds(const std::function<void()>& work) const {
    const double before = now();
    work();
    return now() - before;
  }

 private:
  double now() const {
    timespec time;
    clock_gettime(clock_, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }
  clockid_t clock_;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

struct Rate {
  double gigabytes_per_s, beside_baseline;
};
Rate measure(const Options& options, std::size_t bytes, const std::function<void()>& baseline,
             const std::function<void()>& work) {
  const Stopwatch watch(options.cpu_time);
  std::vector<double> rates, ratios;
  work();
  for (int i = 0; i < options.repetitions; ++i) {
    const double base = watch.seconds(baseline), took = watch.seconds(work);
    rates.push_back(static_cast<double>(bytes) / took / 1e9);
    ratios.push_back(base / took);
  }
  return {median(rates), median(ratios)};
}

Bytes payload_of(const std::string& name, ElementType type, std::size_t bytes) {
  const auto data = weft::bench::measured_data(type, bytes, name == "normal" ? "" : name);
  return {data.begin(), data.end()};
}

// The ratio at which an ideal order-0 coder of the exponents would end: FORMAT.md's high bytes of level
// archive, with one distribution for all of the payload.
double order_0_bound(ElementType type, const Bytes& payload) {
  const SampledRatios all = sample_ratios(payload, type, static_cast<int>(payload.size() / 1024));
  const double bits = 8.0 * static_cast<double>(element_bytes(type));
  return bits / (bits / all.ratio[static_cast<std::size_t>(Level::kArchive)] - kArchiveEstimateBits);
}

void print(const std::string& what, double ratio, Rate pack, Rate unpack) {
  std::printf("  %-22s %7.4f  %8.2f %6.2fx  %8.2f %6.2fx", what.c_str(), ratio, pack.gigabytes_per_s,
              pack.beside_baseline, unpack.gigabytes_per_s, unpack.beside_baseline);
}

bool bench_level(const Options& options, const Bytes& payload, ElementType type, Level level,
                 const cpu::TileKernels& kernels) {
  const std::size_t bytes = payload.size();
  Bytes slot(max_slot_bytes(type, level, bytes)), next(slot.size()), out(bytes, std::byte{1});
  const auto memcpy_once = [&] { std::memcpy(out.data(), payload.data(), bytes); };
  std::size_t used = 0;
  const Rate packs =
      measure(options, bytes, memcpy_once, [&] { used = *pack(payload, type, level, slot, kernels); });
  const Rate unpacks = measure(options, bytes, memcpy_once, [&] { (void)unpack(slot, out, kernels); });
  std::fill(out.begin(), out.end(), std::byte{0});
  if (!unpack(slot, out, kernels) || out != payload) {
    std::fprintf(stderr, "codec_bench: what was packed does not come back.\n");
    return false;
  }
  print(std::string(to_string(level)) + " " + std::string(kernels.name),
        static_cast<double>(bytes) / static_cast<double>(used), packs, unpacks);
  if (const auto data = data_type_of(type)) {
    Bytes received = payload;
    const Reduction reduction{*data, options.op, options.op == ReduceOp::kAvg ? kRanks : 1};
    const auto plain = [&] {
      const std::size_t elements = bytes / element_bytes(type);
      cpu::reduce_loop(kernels, *data, options.op)(out.data(), payload.data(), received.data(), elements);
      if (reduction.divisor != 1) cpu::divide_loop(kernels, *data)(out.data(), elements, reduction.divisor);
    };
    const Rate plainly = measure(options, bytes, memcpy_once, plain);
    const Rate reduces =
        measure(options, bytes, plain, [&] { (void)unpack_reduce(slot, reduction, payload, out, kernels); });
    const Rate packs_next = measure(options, bytes, plain, [&] {
      (void)unpack_reduce_pack(slot, reduction, payload, level, next, kernels);
    });
    std::printf("  %8.2f %6.2fx  %8.2f %6.2fx  %8.2f", reduces.gigabytes_per_s, reduces.beside_baseline,
                packs_next.gigabytes_per_s, packs_next.beside_baseline, plainly.gigabytes_per_s);
  }
  std::puts("");
  return true;
}

// Where threads pay, if anywhere: the slowest level.
bool bench_threads(const Options& options, const Bytes& payload, ElementType type) {
  Bytes slot(max_slot_bytes(type, Level::kArchive, payload.size())), out(payload.size());
  const auto memcpy_once = [&] { std::memcpy(out.data(), payload.data(), payload.size()); };
  std::size_t used = 0;
  const Rate packs = measure(options, payload.size(), memcpy_once, [&] {
    used = *pack_on_threads(payload, type, Level::kArchive, slot, options.threads);
  });
  const Rate unpacks = measure(options, payload.size(), memcpy_once,
                               [&] { (void)unpack_on_threads(slot, out, options.threads); });
  std::fill(out.begin(), out.end(), std::byte{0});
  if (!unpack(slot, out) || out != payload) {
    std::fprintf(stderr, "codec_bench: what threads packed does not come back.\n");
    return false;
  }
  print("archive, " + std::to_string(options.threads) + " threads",
        static_cast<double>(payload.size()) / static_cast<double>(used), packs, unpacks);
  std::puts("");
  return true;
}

void bench_yardstick(const Options& options, const Bytes& payload, const Yardstick& yardstick) {
  Bytes coded(yardstick.max_bytes(payload.size())), out(payload.size());
  const auto memcpy_once = [&] { std::memcpy(out.data(), payload.data(), payload.size()); };
  std::size_t used = 0;
  const Rate packs =
      measure(options, payload.size(), memcpy_once, [&] { used = yardstick.pack(payload, coded); });
  const Rate unpacks = measure(options, payload.size(), memcpy_once,
                               [&] { yardstick.unpack(std::span(coded).first(used), out); });
  print(yardstick.name, static_cast<double>(payload.size()) / static_cast<double>(used), packs, unpacks);
  std::puts("");
}

bool bench_payload(const Options& options, const std::string& argument) {
  const std::size_t colon = argument.rfind(':');
  const auto type = element_type_from(colon == std::string::npos ? "" : argument.substr(colon + 1));
  if (!type) {
    std::fprintf(
        stderr,
        "codec_bench: %s: write FILE:TYPE or normal:TYPE, TYPE one of bytes, bf16, fp16, fp32, e4m3, "
        "e5m2.\n",
        argument.c_str());
    return false;
  }
  const Bytes payload = payload_of(argument.substr(0, colon), *type, options.mib << 20);
  Bytes out(payload.size(), std::byte{1});
  const auto memcpy_once = [&] { std::memcpy(out.data(), payload.data(), payload.size()); };
  const Rate copy = measure(options, payload.size(), memcpy_once, memcpy_once);
  std::printf("\n%s, %zu MiB, memcpy %.2f GB/s", argument.c_str(), options.mib, copy.gigabytes_per_s);
  if (*type != ElementType::kBytes) std::printf(", order-0 bound %.4f", order_0_bound(*type, payload));
  std::printf("\n  %-22s %7s  %16s  %16s  %16s  %16s  %8s\n", "", "ratio", "pack GB/s, memcpy",
              "unpack, memcpy", "unpack_reduce,", "u_r_pack, reduce", "reduce");
  for (const Level level : {Level::kFast, Level::kDense, Level::kArchive}) {
    if (level_for(*type, level) != level) continue;
    for (const auto instructions :
         {cpu::Instructions::kAvx512, cpu::Instructions::kAvx2, cpu::Instructions::kPortable}) {
      const cpu::TileKernels* kernels = cpu::tile_kernels(instructions);
      const bool best = kernels == &cpu::tile_kernels();
      if (kernels == nullptr || (!best && (!options.all_instructions || level == Level::kArchive))) continue;
      if (!bench_level(options, payload, *type, level, *kernels)) return false;
    }
  }
  if (options.threads > 1 && !bench_threads(options, payload, *type)) return false;
  std::vector<Yardstick> yardsticks{weft::bench::zstd_yardstick()};
  const bool has_lz4 = weft::bench::add_lz4(yardsticks);
  for (const Yardstick& yardstick : yardsticks) bench_yardstick(options, payload, yardstick);
  if (!has_lz4) std::puts("  lz4: not in this build (liblz4-dev)");
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Ratio and rate of the codecs on one core, beside memcpy, zstd and lz4");
  app.add_option("payload", options.payloads, "FILE:TYPE, or normal:TYPE")->required();
  app.add_option("--mib", options.mib, "Payload in MiB; several times the last cache")
      ->check(CLI::Range(1, 1024));
  app.add_option("--repetitions", options.repetitions)->check(CLI::Range(1, 1000));
  app.add_option("--threads", options.threads, "Measure level archive on this many threads too")
      ->check(CLI::Range(1, 256));
  app.add_flag("--cpu-time", options.cpu_time, "Time of the thread instead of the wall clock");
  app.add_flag("--all-instructions", options.all_instructions,
               "Portable and AVX2 too, where there is better");
  std::string op = "max";
  app.add_option("--op", op, "The reduction; avg divides by 8 ranks")
      ->check(CLI::IsMember({"sum", "prod", "max", "min", "avg"}))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  options.op = *weft::reduce_op_from(op);
  if (options.threads > 1 && options.cpu_time) {
    std::fprintf(stderr, "codec_bench: --cpu-time is one thread's: leave it or --threads out.\n");
    return 1;
  }
  try {
    for (const std::string& payload : options.payloads)
      if (!bench_payload(options, payload)) return 1;
  } catch (const std::runtime_error& error) {
    std::fprintf(stderr, "codec_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
