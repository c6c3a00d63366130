// What zstd's choices bring to level archive of bytes, where each block is coded by itself: level,
// dictionary, and threads, zstd's own and the caller's.
//
//     zstd_choices levels FILE...
//     zstd_choices threads FILE...
//
// "levels" prints ratio and rates of blocks alone, with a dictionary, and after the block before; "threads"
// rates by the size of what is coded at once. Wall-clock time; medians. To be published only from a quiet
// machine.
#include <zdict.h>
#include <zstd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "compression/slot_format.h"

namespace {

using weft::compression::kZstdBlockBytes;
using Bytes = std::vector<char>;

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};
using Compressor = std::unique_ptr<ZSTD_CCtx, FreeContext>;
using Decompressor = std::unique_ptr<ZSTD_DCtx, FreeContext>;

Bytes read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw CLI::ValidationError(path, "cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

double median_rate(std::size_t bytes, int repetitions, const std::function<void()>& work) {
  std::vector<double> rates;
  for (int i = 0; i < repetitions; ++i) {
    const auto before = std::chrono::steady_clock::now();
    work();
    rates.push_back(static_cast<double>(bytes) /
                    std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count() / 1e9);
  }
  std::nth_element(rates.begin(), rates.begin() + repetitions / 2, rates.end());
  return rates[static_cast<std::size_t>(repetitions / 2)];
}

std::vector<std::span<const char>> blocks_of(std::span<const char> payload) {
  std::vector<std::span<const char>> blocks;
  for (std::size_t at = 0; at < payload.size(); at += kZstdBlockBytes)
    blocks.push_back(payload.subspan(at, std::min<std::size_t>(kZstdBlockBytes, payload.size() - at)));
  return blocks;
}

enum class Before { kNothing, kDictionary, kPreviousBlock };

// The dictionary is made of the first quarter, which is not measured.
void measure_level(const std::string& name, const Bytes& payload, Before before, int level, int repetitions) {
  const auto blocks = blocks_of(std::span(payload).subspan(payload.size() / 4));
  Bytes dictionary(110 << 10);
  if (before == Before::kDictionary) {
    std::vector<std::size_t> samples((payload.size() / 4) / 4096, 4096);
    const std::size_t made = ZDICT_trainFromBuffer(dictionary.data(), dictionary.size(), payload.data(),
                                                   samples.data(), static_cast<unsigned>(samples.size()));
    if (ZDICT_isError(made) != 0) {
      std::printf("%-12s trained  level %2d no dictionary: %s\n", name.c_str(), level,
                  ZDICT_getErrorName(made));
      return;
    }
    dictionary.resize(made);
  }
  const Compressor compressor(ZSTD_createCCtx());
  const Decompressor decompressor(ZSTD_createDCtx());
  const std::unique_ptr<ZSTD_CDict, decltype(&ZSTD_freeCDict)> for_coding(
      ZSTD_createCDict(dictionary.data(), dictionary.size(), level), ZSTD_freeCDict);
  const std::unique_ptr<ZSTD_DDict, decltype(&ZSTD_freeDDict)> for_decoding(
      ZSTD_createDDict(dictionary.data(), dictionary.size()), ZSTD_freeDDict);
  ZSTD_CCtx_setParameter(compressor.get(), ZSTD_c_compressionLevel, level);
  std::vector<Bytes> coded(blocks.size(), Bytes(ZSTD_compressBound(kZstdBlockBytes)));
  std::vector<std::size_t> used(blocks.size());
  Bytes decoded(kZstdBlockBytes);
  const double pack = median_rate(payload.size() - payload.size() / 4, repetitions, [&] {
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      if (before == Before::kDictionary) ZSTD_CCtx_refCDict(compressor.get(), for_coding.get());
      if (before == Before::kPreviousBlock && i > 0)
        ZSTD_CCtx_refPrefix(compressor.get(), blocks[i - 1].data(), blocks[i - 1].size());
      used[i] = ZSTD_compress2(compressor.get(), coded[i].data(), coded[i].size(), blocks[i].data(),
                               blocks[i].size());
      if (ZSTD_isError(used[i]) != 0) throw CLI::RuntimeError(ZSTD_getErrorName(used[i]), 1);
    }
  });
  const double unpack = median_rate(payload.size() - payload.size() / 4, repetitions, [&] {
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      if (before == Before::kDictionary) ZSTD_DCtx_refDDict(decompressor.get(), for_decoding.get());
      if (before == Before::kPreviousBlock && i > 0)
        ZSTD_DCtx_refPrefix(decompressor.get(), blocks[i - 1].data(), blocks[i - 1].size());
      const std::size_t there =
          ZSTD_decompressDCtx(decompressor.get(), decoded.data(), decoded.size(), coded[i].data(), used[i]);
      if (there != blocks[i].size() || !std::equal(blocks[i].begin(), blocks[i].end(), decoded.begin()))
        throw CLI::RuntimeError("a block came back differently", 1);
    }
  });
  std::size_t after = 0;
  for (const std::size_t bytes : used) after += bytes;
  const char* what = before == Before::kNothing      ? "alone"
                     : before == Before::kDictionary ? "trained"
                                                     : "previous";
  std::printf("%-12s %-8s level %2d ratio %.3f pack %.3f GB/s unpack %.3f GB/s\n", name.c_str(), what, level,
              static_cast<double>(payload.size() - payload.size() / 4) / static_cast<double>(after), pack,
              unpack);
  std::fflush(stdout);
}

// Threads that wait for blocks, as a link would keep them; the caller takes blocks too.
class BlockThreads {
 public:
  explicit BlockThreads(int threads) {
    for (int i = 0; i < threads; ++i) contexts_.emplace_back(ZSTD_createCCtx());
    for (int i = 1; i < threads; ++i)
      threads_.emplace_back([this, i] { serve(static_cast<std::size_t>(i)); });
  }
  ~BlockThreads() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void code(const std::vector<std::span<const char>>& blocks, std::vector<Bytes>& coded) {
    {
      const std::lock_guard lock(mutex_);
      blocks_ = &blocks;
      coded_ = &coded;
      next_ = 0;
      at_work_ = static_cast<int>(threads_.size());
      ++round_;
    }
    wake_.notify_all();
    take_blocks(0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return at_work_ == 0; });
  }

 private:
  void take_blocks(std::size_t who) {
    for (std::size_t i; (i = next_.fetch_add(1)) < blocks_->size();) {
      const std::span<const char> block = (*blocks_)[i];
      Bytes& to = (*coded_)[i];
      (void)ZSTD_compressCCtx(contexts_[who].get(), to.data(), to.size(), block.data(), block.size(), 1);
    }
  }
  void serve(std::size_t who) {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return ends_ || round_ != seen; });
      if (ends_) return;
      seen = round_;
      lock.unlock();
      take_blocks(who);
      lock.lock();
      if (--at_work_ == 0) done_.notify_one();
    }
  }

  std::vector<Compressor> contexts_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::vector<std::span<const char>>* blocks_ = nullptr;
  std::vector<Bytes>* coded_ = nullptr;
  std::atomic<std::size_t> next_{0};
  int at_work_ = 0;
  std::uint64_t round_ = 0;
  bool ends_ = false;
};

void measure_threads(const std::string& name, const Bytes& payload, std::size_t at_once, int threads,
                     int repetitions) {
  if (payload.size() < at_once) return;
  const std::span<const char> part = std::span(payload).first(at_once);
  const auto blocks = blocks_of(part);
  std::vector<Bytes> coded(blocks.size(), Bytes(ZSTD_compressBound(kZstdBlockBytes)));
  Bytes frame(ZSTD_compressBound(at_once));
  BlockThreads alone(1), together(threads);
  const double one = median_rate(at_once, repetitions, [&] { alone.code(blocks, coded); });
  const double split = median_rate(at_once, repetitions, [&] { together.code(blocks, coded); });
  const Compressor own(ZSTD_createCCtx());
  ZSTD_CCtx_setParameter(own.get(), ZSTD_c_compressionLevel, 1);
  const bool has_threads = ZSTD_isError(ZSTD_CCtx_setParameter(own.get(), ZSTD_c_nbWorkers, threads)) == 0;
  const double zstds = median_rate(at_once, repetitions, [&] {
    (void)ZSTD_compress2(own.get(), frame.data(), frame.size(), part.data(), part.size());
  });
  std::printf(
      "%-12s %6zu KiB at once: one thread %.3f GB/s; %d threads, a block each: %.2f x; %d zstd workers: ",
      name.c_str(), at_once >> 10, one, threads, split / one, threads);
  has_threads ? std::printf("%.2f x\n", zstds / one) : std::printf("not in this libzstd\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What zstd's level, dictionary and threads bring to blocks of " +
               std::to_string(kZstdBlockBytes) + " bytes");
  app.require_subcommand(1);
  std::vector<std::string> files;
  int repetitions = 5, threads = 2;
  CLI::App* levels = app.add_subcommand("levels", "ratio and rates by level and dictionary");
  CLI::App* by_threads = app.add_subcommand("threads", "rates by threads and size");
  for (CLI::App* command : {levels, by_threads}) {
    command->add_option("files", files, "what to code")->required()->check(CLI::ExistingFile);
    command->add_option("--repetitions", repetitions)->check(CLI::Range(1, 1000))->capture_default_str();
  }
  by_threads->add_option("--threads", threads)->check(CLI::Range(2, 64))->capture_default_str();
  try {
    app.parse(argc, argv);
    for (const std::string& path : files) {
      const Bytes payload = read_file(path);
      const std::string name = path.substr(path.rfind('/') + 1);
      if (*levels)
        for (const Before before : {Before::kNothing, Before::kDictionary, Before::kPreviousBlock})
          for (const int level : {-1, 1, 3, 7}) measure_level(name, payload, before, level, repetitions);
      else
        for (const std::size_t at_once :
             {std::size_t{64} << 10, std::size_t{512} << 10, std::size_t{4} << 20, std::size_t{16} << 20})
          measure_threads(name, payload, at_once, threads, repetitions);
    }
  } catch (const CLI::Error& error) {
    return app.exit(error);
  }
}
