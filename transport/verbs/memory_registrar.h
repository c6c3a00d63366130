// Registers memory with a protection domain, by libibverbs. Included by transport/verbs/ only.
#pragma once

#include <string>

#include "transport/process/own_descriptor.h"
#include "transport/verbs/registration_cache.h"
#include "transport/verbs/verbs_library.h"

namespace weft::verbs {

// Library and protection domain outlive it. Any thread.
class VerbsRegistrar final : public Registrar {
 public:
  // `device` is for messages. Relaxed ordering is asked for where it is wanted and known; on other devices it
  // is of no consequence.
  VerbsRegistrar(const VerbsLibrary& library, ibv_pd* domain, std::string device, bool relaxed_ordering)
      : library_(library), domain_(domain), device_(std::move(device)), relaxed_ordering_(relaxed_ordering) {}

  Result<Registration> add(std::uintptr_t address, std::size_t bytes, MemoryAccess access,
                           const MemoryOrigin& origin) override;
  void remove(const Registration& registration) override;

  // Flags of ibv_reg_mr.
  unsigned flags(MemoryAccess access) const;

 private:
  const VerbsLibrary& library_;
  ibv_pd* const domain_;
  const std::string device_;
  const bool relaxed_ordering_;
  const process::Birthplace birthplace_;
};

}  // namespace weft::verbs
