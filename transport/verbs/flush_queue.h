// Reads a byte of device memory back over one port: by a reliable connection of the port's to itself.
//
// Why that flushes. A NIC's writes into a GPU's memory are posted: they may still be on their way when the
// completion of the receive has reached host memory by another way through PCIe, and a GPU that the CPU then
// tells to go on could read what was there before. A read by the same device follows them on the same way,
// and its answer comes only when they are done: PCIe lets no read pass a posted write that was issued before
// it. Relaxed ordering does not change that. It lets posted writes pass each other (and completions of reads
// pass writes that go the other way), not a read pass writes in front of it; only ID-based ordering could,
// and that between different requesters, while this is one. And it is issued after the completions of all
// that it is to flush: those are written without relaxed ordering, so that the NIC has issued the data before
// them.
//
// Threads: under the link's lock. create() makes system calls and allocates, once for each rail that needs
// it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "transport/verbs/rail.h"

namespace weft::verbs {

class FlushQueue {
 public:
  enum class Outcome : std::uint8_t { kNone, kDone, kFailed };

  static Result<std::unique_ptr<FlushQueue>> create(const RailPort& port);
  ~FlushQueue();
  FlushQueue(const FlushQueue&) = delete;
  FlushQueue& operator=(const FlushQueue&) = delete;

  // One at a time. False: the device refuses. After a failure the queue is of no more use.
  bool read(std::uint64_t address, std::uint32_t remote_key);
  // What has become of it; no system call.
  Outcome poll();
  // Why it failed.
  const std::string& failure() const { return failure_; }

 private:
  explicit FlushQueue(const RailPort& port) : port_(port) {}
  Status open();
  Status connect_to_itself();
  Status failed(const char* what, int error) const;

  const RailPort port_;
  ibv_cq* completions_ = nullptr;
  ibv_qp* queue_ = nullptr;
  ibv_mr* memory_ = nullptr;
  std::array<std::byte, 64> scratch_{};
  std::string failure_;
  const process::Birthplace birthplace_;
};

}  // namespace weft::verbs
