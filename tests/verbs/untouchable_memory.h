// Memory that stands for a GPU's: while it is hidden, the CPU that touches it ends the process, and system
// calls with it fail; a NIC with which it was registered before goes on reading and writing its pages.
//
// One thread at a time.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>

#include "weft/context.h"

namespace weft::verbs {

class UntouchableMemory {
 public:
  explicit UntouchableMemory(std::size_t bytes)
      : bytes_(std::max<std::size_t>(1, bytes)),
        at_(static_cast<std::byte*>(
            mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    EXPECT_NE(at_, MAP_FAILED);
  }
  UntouchableMemory(Context& context, std::size_t bytes) : UntouchableMemory(bytes) {
    auto promise = context.promise_device_memory(at_, bytes_);
    EXPECT_TRUE(promise) << promise.status().message();
    if (promise) promise_ = std::move(*promise);
  }
  ~UntouchableMemory() {
    promise_.reset();
    munmap(at_, bytes_);
  }
  UntouchableMemory(const UntouchableMemory&) = delete;
  UntouchableMemory& operator=(const UntouchableMemory&) = delete;

  void hide() { EXPECT_EQ(mprotect(at_, bytes_, PROT_NONE), 0); }
  void show() { EXPECT_EQ(mprotect(at_, bytes_, PROT_READ | PROT_WRITE), 0); }

  std::byte* at() const { return at_; }
  // To look at while it is shown.
  std::span<std::byte> bytes() const { return {at_, bytes_}; }

 private:
  const std::size_t bytes_;
  std::byte* const at_;
  std::unique_ptr<LastingMemory> promise_;
};

}  // namespace weft::verbs
