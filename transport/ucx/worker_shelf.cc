#include "transport/ucx/worker_shelf.h"

#include <utility>

#include "transport/engine/service_thread.h"

namespace weft::ucx {
namespace {

constexpr std::size_t kSpare = 1;

}  // namespace

WorkerShelf::WorkerShelf(std::vector<std::shared_ptr<DeviceContext>> contexts)
    : compartments_(contexts.size()) {
  for (std::size_t i = 0; i < contexts.size(); ++i) compartments_[i].context = std::move(contexts[i]);
  thread_ = std::make_unique<std::thread>(engine::start_service_thread("weft-ucx", [this] { work(); }));
}

WorkerShelf::~WorkerShelf() {
  if (!birthplace_.is_here()) {  // the thread is the parent's
    (void)thread_.release();
    std::construct_at(&wake_);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_->join();
}

WorkerShelf::Compartment* WorkerShelf::needy() {
  for (Compartment& one : compartments_)
    if (one.may_try && one.ready.size() < one.wanted + kSpare) return &one;
  return nullptr;
}

void WorkerShelf::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    Compartment* next = nullptr;
    wake_.wait(lock, [&] { return stopping_ || (next = needy()) != nullptr; });
    if (stopping_) return;
    lock.unlock();
    auto made = PathWorker::create(next->context);
    lock.lock();
    if (made) {
      next->ready.push_back(std::move(*made));
    } else {
      next->may_try = false;
      ++next->failures;
      next->last_failure = made.status();
    }
  }
}

Result<std::unique_ptr<PathWorker>> WorkerShelf::take(std::size_t device) {
  Compartment& one = compartments_.at(device);
  {
    std::lock_guard lock(mutex_);
    one.may_try = true;
    wake_.notify_all();
    if (one.ready.size() > one.wanted) {  // else they are spoken for
      std::unique_ptr<PathWorker> worker = std::move(one.ready.front());
      one.ready.pop_front();
      return worker;
    }
  }
  return PathWorker::create(one.context);
}

WorkerShelf::Order::Order(std::shared_ptr<WorkerShelf> shelf, std::size_t device)
    : shelf_(std::move(shelf)), device_(device) {
  std::lock_guard lock(shelf_->mutex_);
  Compartment& one = shelf_->compartments_.at(device_);
  ++one.wanted;
  one.may_try = true;
  failures_before_ = one.failures;
  shelf_->wake_.notify_all();
}

WorkerShelf::Order::~Order() {
  std::lock_guard lock(shelf_->mutex_);
  --shelf_->compartments_[device_].wanted;
}

std::optional<Result<std::unique_ptr<PathWorker>>> WorkerShelf::Order::poll() {
  std::lock_guard lock(shelf_->mutex_);
  Compartment& one = shelf_->compartments_[device_];
  if (!one.ready.empty()) {
    std::unique_ptr<PathWorker> worker = std::move(one.ready.front());
    one.ready.pop_front();
    return worker;
  }
  if (one.failures != failures_before_) return one.last_failure;
  return std::nullopt;
}

}  // namespace weft::ucx
