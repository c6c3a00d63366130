// What must not grow while connections come and go. The first batches fill caches; those after them must not
// all add more.
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>

#include "bench/conform/check.h"
#include "bench/conform/message_queue.h"
#include "bench/conform/session.h"

namespace weft::bench::conform {
namespace {

constexpr int kBatch = 30;
constexpr int kBatches = 7;
constexpr int kWarmUpBatches = 2;

size_t entries_of(const char* directory) {
  const std::filesystem::directory_iterator entries(directory);
  return std::distance(begin(entries), end(entries));
}

size_t open_descriptors() {
  return entries_of("/proc/self/fd");
}
size_t running_threads() {
  return entries_of("/proc/self/task");
}
size_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

void batch(const Session& session) {
  for (int i = 0; i < kBatch; ++i) {
    Connection connection(session, i % session.devices());
    exchange(connection, uniform(3, 5000), {.stream = 100u * i});
    connection.close();
  }
}

// Failure if the measure grows by `allowed` or more in every batch after the first two. One batch without
// growth, or a cache that has filled, ends the suspicion.
void must_not_grow(CheckContext& context, size_t (*measure)(), size_t allowed, const char* what) {
  Session session(context);
  std::vector<size_t> seen;
  bool grows = true;
  for (int i = 0; i < kBatches && grows; ++i) {
    batch(session);
    usleep(20000);  // for a plugin that tidies up on a thread of its own
    seen.push_back(measure());
    grows = i < kWarmUpBatches || seen[i] >= seen[i - 1] + allowed;
  }
  require(!grows, [&] {
    return fmt::format("{} grow with every {} connections that are opened and closed: {}", what, kBatch,
                       fmt::join(seen, ", "));
  });
  session.close();
}

void descriptors(CheckContext& context) {
  must_not_grow(context, open_descriptors, kBatch / 2, "open file descriptors");
}

void threads(CheckContext& context) {
  must_not_grow(context, running_threads, kBatch / 2, "threads");
}

void memory(CheckContext& context) {
  if (WEFT_SANITIZED) throw Skip("the sanitizer's allocator cannot be measured");
  must_not_grow(context, heap_bytes, size_t{kBatch} * 4096, "heap bytes");
}

void communicators(CheckContext& context) {
  Session keeper(context, 1);
  if (!keeper.plugin().inits_each_communicator()) throw Skip("before v11 there is no finalize");
  uint64_t id = 100;
  auto cycle = [&] {
    for (int i = 0; i < kBatch; ++i) {
      Session session(keeper, ++id);
      session.close();
    }
    return open_descriptors() + running_threads();
  };
  const size_t start = cycle();
  const size_t middle = cycle();
  const size_t end = cycle();
  require(middle < start + kBatch / 2 || end < middle + kBatch / 2, [&] {
    return fmt::format("threads and descriptors grow with every {} communicators: {}, {}, {}", kBatch, start,
                       middle, end);
  });
  keeper.close();
}

}  // namespace

std::vector<Check> leak_checks() {
  return {
      {"leak_descriptors", "a job opens and closes connections for weeks: descriptors run out", descriptors},
      {"leak_threads", "closed connections leave no thread behind", threads},
      {"leak_memory", "closed connections leave no memory behind", memory},
      {"leak_communicators", "finalized communicators leave no thread or descriptor behind", communicators},
  };
}

}  // namespace weft::bench::conform
