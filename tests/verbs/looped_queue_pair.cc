#include "tests/verbs/looped_queue_pair.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace weft::verbs {
namespace {

constexpr auto kLimit = std::chrono::seconds(60);  // a hang, on the slowest machine

}  // namespace

LoopedQueuePair::LoopedQueuePair(const Port& port) {
  const auto library = verbs_library();
  if (!library) return;
  library_ = *library;
  ready_ = open(port) && connect(port, ends_[0], ends_[1]) && connect(port, ends_[1], ends_[0]);
  EXPECT_TRUE(ready_) << port_name(port) << ": " << std::strerror(errno);
}

LoopedQueuePair::~LoopedQueuePair() {
  for (ibv_qp* end : ends_)
    if (end != nullptr) library_->destroy_qp(end);
  if (completions_ != nullptr) library_->destroy_cq(completions_);
  if (domain_ != nullptr) library_->dealloc_pd(domain_);
  if (context_ != nullptr) library_->close_device(context_);
}

bool LoopedQueuePair::open(const Port& port) {
  ibv_device** devices = library_->get_device_list(nullptr);
  if (devices == nullptr) return false;
  for (ibv_device** device = devices; *device != nullptr && context_ == nullptr; ++device) {
    if (port.device == library_->get_device_name(*device)) context_ = library_->open_device(*device);
  }
  library_->free_device_list(devices);
  if (context_ == nullptr) return false;
  domain_ = library_->alloc_pd(context_);
  completions_ = library_->create_cq(context_, 16, nullptr, nullptr, 0);
  if (domain_ == nullptr || completions_ == nullptr) return false;
  for (ibv_qp*& end : ends_) {
    ibv_qp_init_attr wanted{};
    wanted.send_cq = wanted.recv_cq = completions_;
    wanted.cap = {4, 4, 1, 1, 0};
    wanted.qp_type = IBV_QPT_RC;
    wanted.sq_sig_all = 1;
    end = library_->create_qp(domain_, &wanted);
    if (end == nullptr) return false;
  }
  return true;
}

bool LoopedQueuePair::connect(const Port& port, ibv_qp* from, ibv_qp* to) {
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_INIT;
  attributes.port_num = static_cast<std::uint8_t>(port.number);
  attributes.qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
  if (library_->modify_qp(from, &attributes,
                          IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS) != 0)
    return false;
  attributes = {};
  attributes.qp_state = IBV_QPS_RTR;
  attributes.path_mtu = IBV_MTU_1024;
  attributes.dest_qp_num = to->qp_num;
  attributes.max_dest_rd_atomic = 1;
  attributes.min_rnr_timer = 12;
  attributes.ah_attr.is_global = 1;
  attributes.ah_attr.dlid = port.lid;
  attributes.ah_attr.port_num = static_cast<std::uint8_t>(port.number);
  attributes.ah_attr.grh.sgid_index = static_cast<std::uint8_t>(port.gid.index);
  attributes.ah_attr.grh.hop_limit = 64;
  std::copy(port.gid.bytes.begin(), port.gid.bytes.end(), attributes.ah_attr.grh.dgid.raw);
  if (library_->modify_qp(from, &attributes,
                          IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                              IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER) != 0)
    return false;
  attributes = {};
  attributes.qp_state = IBV_QPS_RTS;
  attributes.timeout = 18;
  attributes.retry_cnt = 6;
  attributes.rnr_retry = 6;
  attributes.max_rd_atomic = 1;
  return library_->modify_qp(from, &attributes,
                             IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                                 IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC) == 0;
}

bool LoopedQueuePair::write(const void* from, std::size_t bytes, std::uint64_t to, std::uint32_t remote_key) {
  ibv_mr* region = library_->register_memory(domain_, const_cast<void*>(from), bytes, 0);
  if (region == nullptr) return false;
  ibv_sge part{reinterpret_cast<std::uintptr_t>(from), static_cast<std::uint32_t>(bytes), region->lkey};
  ibv_send_wr request{};
  request.sg_list = &part;
  request.num_sge = 1;
  request.opcode = IBV_WR_RDMA_WRITE;
  request.wr.rdma.remote_addr = to;
  request.wr.rdma.rkey = remote_key;
  ibv_send_wr* refused = nullptr;
  ibv_wc completion{};
  int found = 0;
  if (ibv_post_send(ends_[0], &request, &refused) == 0) {
    const auto limit = std::chrono::steady_clock::now() + kLimit;
    while (found == 0 && std::chrono::steady_clock::now() < limit)
      found = ibv_poll_cq(completions_, 1, &completion);
  }
  library_->dereg_mr(region);
  if (found == 1 && completion.status == IBV_WC_SUCCESS) return true;
  ADD_FAILURE() << (found == 1 ? library_->wc_status_str(completion.status) : "no completion");
  return false;
}

}  // namespace weft::verbs
