// Counts allocations. A program that links allocation_count.cc has its operator new.
#pragma once

namespace weft::testing_support {

// Not under a sanitizer, whose operator new must stand: skip the test there.
bool can_count_allocations();
void count_allocations_of_this_thread(bool count);
// By all threads, since the program began.
int allocations_counted();

}  // namespace weft::testing_support
