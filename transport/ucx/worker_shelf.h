// Workers that are made before they are needed. Making one takes from half a millisecond to tens of them, and
// a link's lock or the acceptor must not be held for so long; so a thread of its own makes them, one beyond
// what is asked for on each device that has been used.
//
// Threads: any.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "transport/process/own_descriptor.h"
#include "transport/ucx/path_worker.h"

namespace weft::ucx {

class WorkerShelf {
 public:
  explicit WorkerShelf(std::vector<std::shared_ptr<DeviceContext>> contexts);
  ~WorkerShelf();

  // A worker to come. Keeps the shelf's thread at work until it is there or this is gone.
  class Order {
   public:
    Order(std::shared_ptr<WorkerShelf> shelf, std::size_t device);
    ~Order();
    Order(const Order&) = delete;
    Order& operator=(const Order&) = delete;
    // Nothing as long as it is being made; afterwards not to be called again.
    std::optional<Result<std::unique_ptr<PathWorker>>> poll();

   private:
    const std::shared_ptr<WorkerShelf> shelf_;
    const std::size_t device_;
    std::uint64_t failures_before_ = 0;
  };

  // At once: one that is ready, or a new one.
  Result<std::unique_ptr<PathWorker>> take(std::size_t device);

 private:
  struct Compartment {
    std::shared_ptr<DeviceContext> context;
    std::deque<std::unique_ptr<PathWorker>> ready;
    std::size_t wanted = 0;
    std::uint64_t failures = 0;
    bool may_try = false;  // since the last failure somebody has asked again
    Status last_failure;
  };
  void work();
  Compartment* needy();  // under the lock

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Compartment> compartments_;
  bool stopping_ = false;
  std::unique_ptr<std::thread> thread_;
  const process::Birthplace birthplace_;
};

}  // namespace weft::ucx
