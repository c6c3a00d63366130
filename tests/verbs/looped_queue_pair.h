// Two connected queue pairs of one port of this machine, for tests that want to see what a key reaches. Every
// failure is a test failure.
#pragma once

#include <cstdint>

#include "transport/verbs/port_discovery.h"
#include "transport/verbs/verbs_library.h"

namespace weft::verbs {

class LoopedQueuePair {
 public:
  explicit LoopedQueuePair(const Port& port);
  ~LoopedQueuePair();
  LoopedQueuePair(const LoopedQueuePair&) = delete;
  LoopedQueuePair& operator=(const LoopedQueuePair&) = delete;

  bool is_ready() const { return ready_; }
  const VerbsLibrary& library() const { return *library_; }
  ibv_pd* domain() const { return domain_; }

  // What a peer with the key does; true where the device says that it is done. `from` is registered for the
  // call.
  bool write(const void* from, std::size_t bytes, std::uint64_t to, std::uint32_t remote_key);

 private:
  bool open(const Port& port);
  bool connect(const Port& port, ibv_qp* from, ibv_qp* to);

  const VerbsLibrary* library_ = nullptr;
  ibv_context* context_ = nullptr;
  ibv_pd* domain_ = nullptr;
  ibv_cq* completions_ = nullptr;
  ibv_qp* ends_[2] = {};
  bool ready_ = false;
};

}  // namespace weft::verbs
