// The caller's word on some memory (LastingMemory), as the registration caches of all devices know it.
//
// Threads: any, one at a time. May outlive the caches. Included by transport/verbs/ only.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "transport/process/own_descriptor.h"
#include "transport/verbs/registration_cache.h"
#include "transport/verbs/verbs_library.h"
#include "weft/context.h"

namespace weft::verbs {

class MemoryPromise final : public LastingMemory {
 public:
  MemoryPromise() = default;
  // The dmabuf is kept open, for what is registered later.
  explicit MemoryPromise(process::OwnDescriptor dmabuf) : dmabuf_(std::move(dmabuf)) {}
  ~MemoryPromise() override;

  void add(const std::shared_ptr<RegistrationCache>& cache, RegistrationCache::PromiseId promise) {
    parts_.push_back({cache, promise, {}});
  }
  // Registers it at once and holds that: nothing is left to fail when messages are posted.
  Status add_registered(const std::shared_ptr<RegistrationCache>& cache, std::uintptr_t address,
                        std::size_t bytes, std::uint64_t dmabuf_offset);

 private:
  struct Part {
    std::weak_ptr<RegistrationCache> cache;
    RegistrationCache::PromiseId promise = RegistrationCache::PromiseId::kNone;
    RegistrationCache::Held memory;  // entry is null where it is not held
  };

  process::OwnDescriptor dmabuf_;
  std::vector<Part> parts_;
};

// Whether the device takes dmabufs: asked for one that cannot be, it says that the descriptor is bad.
bool takes_dmabufs(const VerbsLibrary& library, ibv_pd* domain);

}  // namespace weft::verbs
