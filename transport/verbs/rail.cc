#include "transport/verbs/rail.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transport/multipath/types.h"
#include "transport/verbs/mrc_device.h"
#include "transport/verbs/mrc_immediate.h"
#include "transport/verbs/queue_pair.h"

namespace weft::verbs {
namespace {

// What may arrive before anybody looks: a path's window of data frames, and control frames beside them.
// Beyond it the NICs hold the sender back (RNR), which costs time and nothing else.
constexpr std::size_t kReceivesPerPath = multipath::kPathWindowFrames + 32;
constexpr std::size_t kReceivesBeside = 128;

}  // namespace

Rail::Rail(const RailPort& port, std::size_t paths)
    : port_(port), depth_(kReceivesBeside + paths * kReceivesPerPath) {}

Result<std::shared_ptr<Rail>> Rail::create(const RailPort& port, std::size_t paths) {
  std::shared_ptr<Rail> rail(new Rail(port, paths));
  if (Status opened = rail->open(paths); !opened) return opened;
  return rail;
}

Status Rail::failed(const char* what, const char* advice) const {
  return Status(StatusCode::kResourceExhausted,
                fmt::format("device {}: {} failed: {}{}", port_.name, what, std::strerror(errno), advice));
}

Status Rail::open_mrc(std::size_t paths, std::size_t most_entries) {
  // Twice, for those of paths that were replaced may still be draining.
  const std::size_t entries = std::min(2 * paths * (kMrcReceives + QueuePair::kDepth), most_entries);
  mrc_completions_ =
      port_.mrc->library().create_cq(port_.mrc->context(), static_cast<int>(entries), nullptr, nullptr, 0);
  return mrc_completions_ != nullptr ? Status::ok() : failed("mrc_create_cq");
}

int Rail::poll_mrc(ibv_wc* out, int most) {
  return port_.mrc->library().poll_cq(mrc_completions_, most, out);
}

Status Rail::open(std::size_t paths) {
  ibv_device_attr limits{};
  if (port_.verbs->query_device(port_.context, &limits) != 0) return failed("ibv_query_device");
  const auto most_entries = static_cast<std::size_t>(std::max(1, limits.max_cqe));
  if (port_.mrc) return open_mrc(paths, most_entries);
  depth_ = std::min(depth_, static_cast<std::size_t>(std::max(1, limits.max_srq_wr)));
  // Twice the send queues: those of paths that were replaced may still be draining.
  const std::size_t entries = std::min(depth_ + 2 * paths * QueuePair::kDepth, most_entries);
  completions_ = port_.verbs->create_cq(port_.context, static_cast<int>(entries), this, nullptr, 0);
  if (completions_ == nullptr) return failed("ibv_create_cq");
  ibv_srq_init_attr wanted{};
  wanted.srq_context = this;
  wanted.attr.max_wr = static_cast<std::uint32_t>(depth_);
  wanted.attr.max_sge = 1;
  receives_ = port_.verbs->create_srq(port_.protection_domain, &wanted);
  if (receives_ == nullptr) return failed("ibv_create_srq");
  buffers_.resize(depth_ * kMessageBytes);
  memory_ = port_.verbs->register_memory(port_.protection_domain, buffers_.data(), buffers_.size(),
                                         IBV_ACCESS_LOCAL_WRITE);
  if (memory_ == nullptr) {
    return failed("registering memory",
                  errno == ENOMEM ? "; is the limit of locked memory (ulimit -l) too low?" : "");
  }
  for (std::size_t i = 0; i < kBatch; ++i) {
    recycled_places_[i].length = kMessageBytes;
    recycled_places_[i].lkey = memory_->lkey;
    recycled_[i].sg_list = &recycled_places_[i];
    recycled_[i].num_sge = 1;
  }
  if (!post_all_receives()) return failed("ibv_post_srq_recv");
  return Status::ok();
}

bool Rail::post_all_receives() {
  for (std::size_t i = 0; i < depth_; ++i) {
    ibv_wc made{};
    made.wr_id = i;
    recycle(made);
  }
  return post_receives();
}

Rail::~Rail() {
  if (!birthplace_.is_here()) return;  // a forked child must not end what is its parent's
  if (mrc_completions_ != nullptr) port_.mrc->library().destroy_cq(mrc_completions_);
  if (receives_ != nullptr) port_.verbs->destroy_srq(receives_);
  if (completions_ != nullptr) port_.verbs->destroy_cq(completions_);
  if (memory_ != nullptr) port_.verbs->dereg_mr(memory_);
}

void Rail::recycle(const ibv_wc& completion) {
  if (receives_ == nullptr) return;
  if (recycled_count_ == kBatch) post_receives();
  recycled_places_[recycled_count_].addr =
      reinterpret_cast<std::uintptr_t>(buffers_.data() + completion.wr_id * kMessageBytes);
  recycled_[recycled_count_++].wr_id = completion.wr_id;
}

bool Rail::post_receives() {
  if (recycled_count_ != 0) {
    for (std::size_t i = 0; i < recycled_count_; ++i)
      recycled_[i].next = i + 1 < recycled_count_ ? &recycled_[i + 1] : nullptr;
    ibv_recv_wr* bad = nullptr;
    if (int error = ibv_post_srq_recv(receives_, recycled_.data(), &bad); error != 0) {
      errno = error;
      failed_.store(true, std::memory_order_relaxed);
    }
    recycled_count_ = 0;
  }
  return !has_failed();
}

void Rail::note_failure(const ibv_cq& queue) {
  // One without is a flush_queue's, which is tried anew.
  if (queue.cq_context != nullptr)
    static_cast<Rail*>(queue.cq_context)->failed_.store(true, std::memory_order_relaxed);
}

void Rail::note_failure(const ibv_srq& queue) {
  static_cast<Rail*>(queue.srq_context)->failed_.store(true, std::memory_order_relaxed);
}

}  // namespace weft::verbs
