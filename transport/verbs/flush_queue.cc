#include "transport/verbs/flush_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace weft::verbs {
namespace {

constexpr std::uint32_t kDepth = 4;  // one is enough; some devices round up from more

}  // namespace

Result<std::unique_ptr<FlushQueue>> FlushQueue::create(const RailPort& port) {
  std::unique_ptr<FlushQueue> queue(new FlushQueue(port));
  if (Status opened = queue->open(); !opened) return opened;
  return queue;
}

FlushQueue::~FlushQueue() {
  if (!birthplace_.is_here()) return;
  const VerbsLibrary& verbs = *port_.verbs;
  if (queue_ != nullptr) verbs.destroy_qp(queue_);
  if (completions_ != nullptr) verbs.destroy_cq(completions_);
  if (memory_ != nullptr) verbs.dereg_mr(memory_);
}

Status FlushQueue::failed(const char* what, int error) const {
  return Status(StatusCode::kUnreachable, fmt::format("{} failed: {}", what, std::strerror(error)));
}

Status FlushQueue::open() {
  memory_ = port_.verbs->register_memory(port_.protection_domain, scratch_.data(), scratch_.size(),
                                         IBV_ACCESS_LOCAL_WRITE);
  if (memory_ == nullptr) return failed("registering memory", errno);
  completions_ = port_.verbs->create_cq(port_.context, static_cast<int>(kDepth), nullptr, nullptr, 0);
  if (completions_ == nullptr) return failed("ibv_create_cq", errno);
  ibv_qp_init_attr wanted{};
  wanted.send_cq = wanted.recv_cq = completions_;
  wanted.qp_type = IBV_QPT_RC;
  wanted.cap.max_send_wr = kDepth;
  wanted.cap.max_send_sge = 1;
  wanted.cap.max_recv_wr = 1;
  wanted.cap.max_recv_sge = 1;
  queue_ = port_.verbs->create_qp(port_.protection_domain, &wanted);
  if (queue_ == nullptr) return failed("ibv_create_qp", errno);
  return connect_to_itself();
}

Status FlushQueue::connect_to_itself() {
  Result<PortAddress> address = port_.read_address();
  if (!address) return address.status();
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_INIT;
  attributes.port_num = port_.number;
  attributes.qp_access_flags = IBV_ACCESS_REMOTE_READ;
  int error = port_.verbs->modify_qp(queue_, &attributes,
                                     IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
  if (error != 0) return failed("ibv_modify_qp to INIT", error);
  attributes.qp_state = IBV_QPS_RTR;
  attributes.path_mtu = static_cast<ibv_mtu>(address->mtu);
  attributes.dest_qp_num = queue_->qp_num;
  attributes.max_dest_rd_atomic = 1;
  ibv_ah_attr& way = attributes.ah_attr;
  way.port_num = port_.number;
  way.sl = port_.settings.service_level;
  way.is_global = address->link_layer == LinkLayer::kEthernet || address->lid == 0;
  way.dlid = address->lid;
  std::memcpy(way.grh.dgid.raw, address->gid.bytes.data(), address->gid.bytes.size());
  way.grh.sgid_index = static_cast<std::uint8_t>(address->gid.index);
  way.grh.hop_limit = 1;
  way.grh.traffic_class = port_.settings.traffic_class;
  error = port_.verbs->modify_qp(queue_, &attributes,
                                 IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                                     IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
  if (error != 0) return failed("ibv_modify_qp to RTR", error);
  attributes.qp_state = IBV_QPS_RTS;
  attributes.timeout = port_.settings.timeout;
  attributes.retry_cnt = port_.settings.retry_count;
  attributes.max_rd_atomic = 1;
  error = port_.verbs->modify_qp(queue_, &attributes,
                                 IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
                                     IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC);
  return error == 0 ? Status::ok() : failed("ibv_modify_qp to RTS", error);
}

bool FlushQueue::read(std::uint64_t address, std::uint32_t remote_key) {
  ibv_sge place{reinterpret_cast<std::uintptr_t>(scratch_.data()), 1, memory_->lkey};
  ibv_send_wr request{};
  request.sg_list = &place;
  request.num_sge = 1;
  request.opcode = IBV_WR_RDMA_READ;
  request.send_flags = IBV_SEND_SIGNALED;
  request.wr.rdma.remote_addr = address;
  request.wr.rdma.rkey = remote_key;
  ibv_send_wr* bad = nullptr;
  const int error = ibv_post_send(queue_, &request, &bad);
  if (error != 0) failure_ = failed("ibv_post_send", error).message();
  return error == 0;
}

FlushQueue::Outcome FlushQueue::poll() {
  ibv_wc completion{};
  const int count = ibv_poll_cq(completions_, 1, &completion);
  if (count == 0) return Outcome::kNone;
  if (count == 1 && completion.status == IBV_WC_SUCCESS) return Outcome::kDone;
  failure_ = count < 0 ? "ibv_poll_cq failed" : port_.verbs->wc_status_str(completion.status);
  return Outcome::kFailed;
}

}  // namespace weft::verbs
