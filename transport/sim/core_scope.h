// Marks the time that is spent inside the core, so that a test which counts allocations counts only the
// core's.
#pragma once

namespace weft::sim {

inline thread_local int core_depth = 0;

class CoreScope {
 public:
  CoreScope() { ++core_depth; }
  ~CoreScope() { --core_depth; }
  CoreScope(const CoreScope&) = delete;
  CoreScope& operator=(const CoreScope&) = delete;
};

}  // namespace weft::sim
