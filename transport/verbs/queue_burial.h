// Destroys queue pairs that are out of service, on a thread of its own. A device may take its time: SoftRoCE
// waits for packets that the network still holds (3 s were seen when a link was cut), and a NIC whose
// firmware does not answer takes until its commands time out. Meanwhile links and housekeeping go on.
//
// Threads: any. The thread begins with the first burial. Errors: none; what cannot be destroyed now was out
// of service before it came here.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "transport/process/own_descriptor.h"
#include "transport/verbs/queue_pair.h"

namespace weft::verbs {

class QueueBurial {
 public:
  QueueBurial() = default;
  // Comes back when everything is buried.
  ~QueueBurial();
  QueueBurial(const QueueBurial&) = delete;
  QueueBurial& operator=(const QueueBurial&) = delete;

  void take(std::unique_ptr<QueuePair> queue);
  // Until everything that was taken before is buried.
  void wait();

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<QueuePair>> waiting_;
  bool at_work_ = false;
  bool stopping_ = false;
  std::unique_ptr<std::thread> thread_;
  const process::Birthplace birthplace_;
};

}  // namespace weft::verbs
