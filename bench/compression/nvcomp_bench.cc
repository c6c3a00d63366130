// nvCOMP beside the codecs' kernels: ratio and GB/s of bfloat16 payload on the whole GPU, on what
// codec_cuda_bench measures, beside a device copy.
//
//     codec_nvcomp_bench [--library libnvcomp.so.6] [--mib 128] [--chunk-kib 64] [--repetitions 5] [--data
//     FILE.bf16]
//
// Rates are medians of device events around one call for all chunks. What was decompressed is compared with
// the source, byte for byte. Exit status: 0 passed, 1 bytes differ or CUDA failed, 77 no nvCOMP or no GPU.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/compression/device_timing.h"
#include "bench/compression/measured_data.h"
#include "bench/compression/nvcomp_library.h"

namespace {

using namespace weft::bench;
using weft::compression::ElementType;

constexpr int kSkipped = 77;

struct Options {
  std::string library, data;
  std::size_t mib = 128, chunk_kib = 64;
  int repetitions = 5;
};

// What nvCOMP 6 documents of its options; bytes that are not named are 0.
struct Field {
  std::size_t at, bytes;
  std::uint64_t value;
};
NvcompOptions options_of(const std::vector<Field>& fields) {
  NvcompOptions options{};
  for (const Field& field : fields) std::memcpy(&options.bytes[field.at], &field.value, field.bytes);
  return options;
}
constexpr std::uint64_t kChar = 0, kUnsignedShort = 3, kFloat16 = 10, kUnknown = 0xff;
struct Choice {
  const char* codec;
  const char* words;
  std::vector<Field> compress, decompress;
};
std::vector<Choice> choices() {
  return {
      // algorithm, type; for decompression: way, type
      {"ANS", "16-bit floats", {{4, 4, kFloat16}}, {{4, 4, kUnknown}}},
      {"ANS", "bytes", {{4, 4, kChar}}, {{4, 4, kUnknown}}},
      // algorithm, type
      {"Bitcomp", "default, 16-bit floats", {{4, 4, kFloat16}}, {}},
      {"Bitcomp", "sparse, 16-bit floats", {{0, 4, 1}, {4, 4, kFloat16}}, {}},
      // type, asymmetric mode, bit packing, nothing coarse, delta and run lengths and frames, level
      {"Cascaded",
       "16-bit integers",
       {{0, 4, kUnsignedShort}, {4, 4, 1}, {8, 8, 1}, {24, 8, 7}, {32, 1, 3}},
       {{8, 4, kUnknown}}},
      {"LZ4", "bytes", {}, {}},
      {"Zstd", "bytes", {}, {}},
  };
}

class Nvcomp {
 public:
  Nvcomp(const NvcompLibrary& library, const Choice& choice)
      : library_(library),
        compress_(options_of(choice.compress)),
        decompress_(options_of(choice.decompress)) {
    auto codec = library.codec(choice.codec);
    if (!codec) throw std::runtime_error(codec.status().message());
    codec_ = *codec;
  }
  const NvcompCodec& codec() const { return codec_; }
  const NvcompOptions& compress() const { return compress_; }
  const NvcompOptions& decompress() const { return decompress_; }
  void check(NvcompStatus status, const char* what) const {
    if (status != 0) throw std::runtime_error(std::string(what) + ": " + library_.words(status));
  }

 private:
  const NvcompLibrary& library_;
  NvcompCodec codec_{};
  NvcompOptions compress_, decompress_;
};

// Chunks in the GPU's memory: where each begins, and how large it is.
class Chunks {
 public:
  Chunks(std::size_t count, std::size_t stride, std::size_t size)
      : memory(count * stride),
        at_(count * sizeof(void*)),
        sizes_(count * sizeof(std::size_t)),
        stride_(stride) {
    std::vector<void*> at(count);
    for (std::size_t i = 0; i < count; ++i) at[i] = memory.data() + i * stride;
    at_.fill(at.data(), count * sizeof(void*));
    const std::vector<std::size_t> sizes(count, size);
    sizes_.fill(sizes.data(), count * sizeof(std::size_t));
  }
  void* const* at() const { return reinterpret_cast<void* const*>(at_.data()); }
  std::size_t* sizes() const { return reinterpret_cast<std::size_t*>(sizes_.data()); }
  std::size_t total() const {
    const Bytes bytes = sizes_.bytes(0, sizes_.size());
    std::vector<std::size_t> sizes(bytes.size() / sizeof(std::size_t));
    std::memcpy(sizes.data(), bytes.data(), bytes.size());
    std::size_t sum = 0;
    for (const std::size_t size : sizes) {
      if (size > stride_)
        throw std::runtime_error("a chunk of " + std::to_string(size) + " bytes: too large");
      sum += size;
    }
    return sum;
  }

  const DeviceMemory memory;

 private:
  DeviceMemory at_, sizes_;
  std::size_t stride_;
};

void check_statuses(const Nvcomp& nvcomp, const DeviceMemory& statuses, const char* what) {
  const Bytes bytes = statuses.bytes(0, statuses.size());
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(NvcompStatus)) {
    NvcompStatus status = 0;
    std::memcpy(&status, &bytes[i], sizeof(status));
    nvcomp.check(status, what);
  }
}

// False where bytes differ.
bool measure(const Nvcomp& nvcomp, const Options& options, const Bytes& payload, const Chunks& source) {
  const std::size_t chunk = options.chunk_kib << 10, count = payload.size() / chunk, bytes = payload.size();
  const NvcompCodec& codec = nvcomp.codec();
  NvcompAlignment written{}, read{};
  nvcomp.check(codec.compress_alignment(nvcomp.compress(), &written), "alignment");
  nvcomp.check(codec.decompress_alignment(nvcomp.decompress(), &read), "alignment");
  const std::size_t alignment = std::max({written.output, read.input, std::size_t{16}});
  std::size_t most = 0, compress_temp = 0, decompress_temp = 0;
  nvcomp.check(codec.most_compressed(chunk, nvcomp.compress(), &most), "most bytes of a chunk");
  nvcomp.check(codec.compress_temp(count, chunk, nvcomp.compress(), &compress_temp, bytes, nullptr),
               "memory to compress");
  nvcomp.check(codec.decompress_temp(count, chunk, nvcomp.decompress(), &decompress_temp, bytes, nullptr),
               "memory to decompress");
  const Chunks compressed(count, (most + alignment - 1) / alignment * alignment, 0),
      made(count, chunk, chunk);
  const DeviceMemory statuses(count * sizeof(NvcompStatus)), made_sizes(count * sizeof(std::size_t)),
      temp(std::max(compress_temp, decompress_temp));
  auto* const each = reinterpret_cast<NvcompStatus*>(statuses.data());

  Timer timer;
  statuses.poison();
  const double compress = timer.gigabytes_per_s(bytes, options.repetitions, [&] {
    nvcomp.check(codec.compress(source.at(), source.sizes(), chunk, count, temp.data(), compress_temp,
                                compressed.at(), compressed.sizes(), nvcomp.compress(), each, nullptr),
                 "compress");
  });
  check_statuses(nvcomp, statuses, "a chunk, compressed");
  const double ratio = static_cast<double>(bytes) / static_cast<double>(compressed.total());
  statuses.poison();
  made.memory.poison();
  const double decompress = timer.gigabytes_per_s(bytes, options.repetitions, [&] {
    nvcomp.check(codec.decompress(compressed.at(), compressed.sizes(), made.sizes(),
                                  reinterpret_cast<std::size_t*>(made_sizes.data()), count, temp.data(),
                                  decompress_temp, made.at(), nvcomp.decompress(), each, nullptr),
                 "decompress");
  });
  check_statuses(nvcomp, statuses, "a chunk, decompressed");
  const bool same = made.memory.bytes(0, bytes) == payload;
  std::printf("%8.4f %10.1f %10.1f%s\n", ratio, compress, decompress,
              same ? "" : "   DIFFERENT from the source");
  return same;
}

bool measure_all(const NvcompLibrary& library, const Options& options, const std::string& file) {
  const std::size_t chunk = options.chunk_kib << 10, count = (options.mib << 20) / chunk;
  const Bytes payload = measured_data(ElementType::kBfloat16, count * chunk, file);
  const Chunks source(count, chunk, chunk), target(count, chunk, chunk);
  source.memory.fill(payload);
  Timer timer;
  const double copy = timer.gigabytes_per_s(payload.size(), options.repetitions, [&] {
    check_cuda(
        cudaMemcpyAsync(target.memory.data(), source.memory.data(), payload.size(), cudaMemcpyDeviceToDevice),
        "cudaMemcpy");
  });
  std::printf(
      "\nbfloat16, %s: device copy %.1f GB/s of payload\n%-36s   ratio   compress  decompress, GB/s of "
      "payload\n",
      file.empty() ? "normal numbers" : file.c_str(), copy, "");
  bool same = true;
  for (const Choice& choice : choices()) {
    std::printf("%-36s", (std::string(choice.codec) + ", " + choice.words).c_str());
    std::fflush(stdout);
    try {
      same = measure(Nvcomp(library, choice), options, payload, source) && same;
    } catch (const std::runtime_error& error) {
      std::printf(" not measured: %s\n", error.what());
      if (cudaDeviceSynchronize() != cudaSuccess) throw;  // nothing works on this GPU any more
    }
  }
  return same;
}

int run_all(const Options& options) {
  const auto library = NvcompLibrary::open(options.library);
  if (!library) {
    std::printf(
        "SKIPPED: nvCOMP is not here: %s\nIt is compared with only where libnvcomp.so.6 is found: by the "
        "loader, or "
        "as --library says. It is in the PyPI package nvidia-libnvcomp-cu13; tests/gpu/README.md says how to "
        "carry "
        "it.\n",
        library.status().message().c_str());
    return kSkipped;
  }
  // Needs no GPU: that the options lie where this version looks for them.
  for (const Choice& choice : choices()) {
    const Nvcomp nvcomp(*library, choice);
    NvcompAlignment alignment{};
    nvcomp.check(nvcomp.codec().compress_alignment(nvcomp.compress(), &alignment), choice.codec);
    nvcomp.check(nvcomp.codec().decompress_alignment(nvcomp.decompress(), &alignment), choice.codec);
  }
  std::string gpu;
  if (find_gpu(gpu) == 0) {
    std::printf("SKIPPED: nvCOMP %s is here, but no GPU (%s)\n", library->version().c_str(), gpu.c_str());
    return kSkipped;
  }
  std::printf("nvCOMP %s, %s, chunks of %zu KiB\n", library->version().c_str(), gpu.c_str(),
              options.chunk_kib);
  bool same = measure_all(*library, options, "");
  if (!options.data.empty()) same = measure_all(*library, options, options.data) && same;
  return same ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("nvCOMP on a GPU, beside a device copy");
  app.add_option("--library", options.library, "The path of libnvcomp.so.6");
  app.add_option("--mib", options.mib, "Payload in MiB; several times the GPU's cache")
      ->check(CLI::Range(1, 4096));
  app.add_option("--chunk-kib", options.chunk_kib, "What is compressed by itself")
      ->check(CLI::Range(1, 1024));
  app.add_option("--repetitions", options.repetitions)->check(CLI::Range(1, 1000));
  app.add_option("--data", options.data, "A file of bfloat16 to measure on as well")
      ->check(CLI::ExistingFile);
  CLI11_PARSE(app, argc, argv);
  try {
    return run_all(options);
  } catch (const std::exception& error) {
    std::printf("FAILED: %s\n", error.what());
    return 1;
  }
}
