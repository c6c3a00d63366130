#include "tests/algorithms/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
thread_local bool counting = false;
std::atomic<int> allocations{0};
}  // namespace

#if !WEFT_SANITIZED
void* operator new(std::size_t bytes) {
  if (counting) allocations.fetch_add(1);
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
#endif

namespace weft::testing_support {

void count_allocations_of_this_thread(bool count) {
  counting = count;
}
bool can_count_allocations() {
  return WEFT_SANITIZED == 0;
}
int allocations_counted() {
  return allocations.load();
}

}  // namespace weft::testing_support
