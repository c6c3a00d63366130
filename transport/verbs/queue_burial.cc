#include "transport/verbs/queue_burial.h"

#include <utility>

#include "transport/engine/service_thread.h"

namespace weft::verbs {

QueueBurial::~QueueBurial() {
  if (!birthplace_.is_here()) {  // the thread is the parent's
    (void)thread_.release();
    std::construct_at(&changed_);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_) thread_->join();
}

void QueueBurial::take(std::unique_ptr<QueuePair> queue) {
  // A forked child has no such thread; there the destructor does nothing.
  if (!birthplace_.is_here()) return;
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(queue));
    if (!thread_)
      thread_ =
          std::make_unique<std::thread>(engine::start_service_thread("weft-burial", [this] { work(); }));
  }
  changed_.notify_all();
}

void QueueBurial::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.empty() && !at_work_; });
}

void QueueBurial::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    std::vector<std::unique_ptr<QueuePair>> now = std::exchange(waiting_, {});
    at_work_ = true;
    lock.unlock();
    now.clear();
    lock.lock();
    at_work_ = false;
    changed_.notify_all();
  }
}

}  // namespace weft::verbs
