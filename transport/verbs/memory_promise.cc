#include "transport/verbs/memory_promise.h"

#include <cerrno>

namespace weft::verbs {

MemoryPromise::~MemoryPromise() {
  for (const Part& part : parts_) {
    auto alive = part.cache.lock();
    if (!alive) continue;
    alive->withdraw(part.promise);
    if (part.memory.entry != nullptr) alive->release(part.memory);
  }
}

Status MemoryPromise::add_registered(const std::shared_ptr<RegistrationCache>& cache, std::uintptr_t address,
                                     std::size_t bytes, std::uint64_t dmabuf_offset) {
  auto promise = cache->promise(address, bytes, {dmabuf_.number(), dmabuf_offset});
  if (!promise) return promise.status();
  add(cache, *promise);
  auto held = cache->hold(address, bytes, MemoryAccess::kPeerWritesAndFlush);
  if (held) parts_.back().memory = *held;
  return held.status();
}

bool takes_dmabufs(const VerbsLibrary& library, ibv_pd* domain) {
  if (library.reg_dmabuf_mr == nullptr) return false;
  errno = 0;
  ibv_mr* const region = library.reg_dmabuf_mr(domain, 0, 0, 0, -1, 0);
  if (region != nullptr) {  // then it is none that means anything
    library.dereg_mr(region);
    return false;
  }
  return errno == EBADF;
}

}  // namespace weft::verbs
