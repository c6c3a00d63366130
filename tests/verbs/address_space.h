// An address space for tests of the registration cache, in which a registration remembers the pages that it
// was made of: what the kernel does, without the kernel.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

#include "transport/verbs/registration_cache.h"

namespace weft::verbs {

inline constexpr std::uintptr_t kPage = 4096;

// Pages have a generation, which grows when they are unmapped and mapped again. Each registration keeps that
// of its pages at the time.
class AddressSpace final : public Registrar {
 public:
  struct Made {
    std::uintptr_t address = 0;
    std::size_t bytes = 0;
    MemoryAccess access{};
    MemoryOrigin origin;
    std::map<std::uintptr_t, int> generations;
  };

  Result<Registration> add(std::uintptr_t address, std::size_t bytes, MemoryAccess access,
                           const MemoryOrigin& origin) override {
    if (during_add) during_add();
    const std::lock_guard lock(mutex_);
    if (refuse_more_than != 0 && pinned_ + bytes > refuse_more_than) {
      return Status(StatusCode::kResourceExhausted, "too much is pinned");
    }
    if (unregistrable != 0 && address <= unregistrable && unregistrable < address + bytes) {
      return Status(StatusCode::kInternal, "bad page");
    }
    const std::uint32_t key = ++last_key_;
    Made made{address, bytes, access, origin, {}};
    for (std::uintptr_t page = address / kPage; page <= (address + bytes - 1) / kPage; ++page) {
      made.generations[page] = generations_[page];
    }
    alive_[key] = std::move(made);
    pinned_ += bytes;
    return Registration{key, key + 1'000'000, nullptr};
  }
  void remove(const Registration& registration) override {
    const std::lock_guard lock(mutex_);
    const auto found = alive_.find(registration.local_key);
    ASSERT_NE(found, alive_.end()) << "deregistered twice";
    pinned_ -= found->second.bytes;
    alive_.erase(found);
  }

  void remap(std::uintptr_t address, std::size_t bytes) {
    for (std::uintptr_t page = address / kPage; page <= (address + bytes - 1) / kPage; ++page)
      ++generations_[page];
  }
  // Whether the key of `held` reaches [address, address + bytes) with this access, on the pages that are
  // there now.
  bool is_good(const RegistrationCache::Held& held, std::uintptr_t address, std::size_t bytes,
               MemoryAccess access) {
    const std::lock_guard lock(mutex_);
    const auto found = alive_.find(held.local_key);
    if (found == alive_.end() || held.remote_key != held.local_key + 1'000'000) return false;
    const Made& made = found->second;
    if (made.access < access || address < made.address || made.address + made.bytes < address + bytes)
      return false;
    for (std::uintptr_t page = address / kPage; page <= (address + bytes - 1) / kPage; ++page) {
      if (made.generations.at(page) != generations_[page]) return false;
    }
    return true;
  }
  std::size_t alive() const { return alive_.size(); }
  const Made& newest() const { return alive_.at(last_key_); }

  std::function<void()> during_add;
  std::size_t refuse_more_than = 0;
  std::uintptr_t unregistrable = 0;

 private:
  std::mutex mutex_;
  std::map<std::uintptr_t, int> generations_;
  std::map<std::uint32_t, Made> alive_;
  std::uint32_t last_key_ = 0;
  std::size_t pinned_ = 0;
};

}  // namespace weft::verbs
