#include "transport/verbs/memory_registrar.h"

#include <fmt/format.h>

#include <cerrno>
#include <system_error>

namespace weft::verbs {
namespace {

const char* advice(int error, bool is_dmabuf) {
  switch (error) {
    case ENOMEM:
    case EAGAIN:
      // SoftRoCE says this of memory that is not there, too.
      return "; is the limit of locked memory (ulimit -l, or a container's) too low, and is all of it "
             "mapped?";
    case EFAULT:
      return "; is all of it mapped, and may it be written where it is to receive?";
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
      return is_dmabuf ? "; this device or its driver does not take dmabufs" : "";
    default:
      return "";
  }
}

}  // namespace

Result<Registrar::Registration> VerbsRegistrar::add(std::uintptr_t address, std::size_t bytes,
                                                    MemoryAccess access, const MemoryOrigin& origin) {
  ibv_mr* region = nullptr;
  errno = 0;
  if (origin.dmabuf < 0) {
    region = library_.register_memory(domain_, reinterpret_cast<void*>(address), bytes, flags(access));
  } else if (library_.reg_dmabuf_mr != nullptr) {
    region = library_.reg_dmabuf_mr(domain_, origin.offset, bytes, address, origin.dmabuf,
                                    static_cast<int>(flags(access)));
  } else {
    errno = EOPNOTSUPP;
  }
  if (region != nullptr) return Registration{region->lkey, region->rkey, region};
  const int error = errno;
  const bool exhausted = error == ENOMEM || error == EAGAIN;
  return Status(exhausted ? StatusCode::kResourceExhausted : StatusCode::kInternal,
                fmt::format("{}: {} bytes at {:#x} cannot be registered for RDMA{}: {}{}", device_, bytes,
                            address, origin.dmabuf < 0 ? "" : " as a dmabuf",
                            std::generic_category().message(error), advice(error, origin.dmabuf >= 0)));
}

void VerbsRegistrar::remove(const Registration& registration) {
  if (!birthplace_.is_here()) return;  // a forked child's descriptors are its parent's
  // It fails only where the device is gone, and its memory with it.
  (void)library_.dereg_mr(static_cast<ibv_mr*>(registration.handle));
}

unsigned VerbsRegistrar::flags(MemoryAccess access) const {
  unsigned flags = relaxed_ordering_ ? IBV_ACCESS_RELAXED_ORDERING : 0;
  if (access >= MemoryAccess::kPeerWrites) flags |= IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
  if (access == MemoryAccess::kPeerWritesAndFlush) flags |= IBV_ACCESS_REMOTE_READ;
  return flags;
}

}  // namespace weft::verbs
