#include "transport/verbs/queue_pair.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>

namespace weft::verbs {
namespace {

constexpr std::uint32_t kLargest24Bits = (1u << 24) - 1;
constexpr std::uint8_t kHopLimit = 64;
// 0.64 ms between two attempts of the peer's NIC while our receive queue is empty; without end, because an
// empty queue is no fault of the path and deadlines are ours to keep.
constexpr std::uint8_t kReceiverNotReadyTimer = 12;
constexpr std::uint8_t kReceiverNotReadyForEver = 7;

}  // namespace

QueuePair::QueuePair(std::shared_ptr<Rail> rail, std::uint32_t token)
    : rail_(std::move(rail)), token_(token) {}

Result<std::unique_ptr<QueuePair>> QueuePair::create(std::shared_ptr<Rail> rail, std::uint32_t token,
                                                     bool peer_may_write) {
  std::unique_ptr<QueuePair> queue(new QueuePair(std::move(rail), token));
  if (Status opened = queue->open(peer_may_write); !opened) return opened;
  return queue;
}

Status QueuePair::failed(const char* what, int error) const {
  return Status(StatusCode::kUnreachable,
                fmt::format("device {}: {} failed: {}", rail_->port().name, what, std::strerror(error)));
}

Status QueuePair::open(bool peer_may_write) {
  const RailPort& port = rail_->port();
  Result<PortAddress> address = port.read_address();
  if (!address) return address.status();
  port_address_ = *address;
  ibv_qp_init_attr wanted{};
  wanted.qp_context = this;
  wanted.send_cq = wanted.recv_cq = rail_->completions();
  wanted.srq = rail_->receives();
  wanted.qp_type = IBV_QPT_RC;
  wanted.cap.max_send_wr = kDepth;
  wanted.cap.max_send_sge = 1;
  // A device that cannot take whole messages inline may refuse the question, not only the size.
  for (std::uint32_t inline_bytes : {static_cast<std::uint32_t>(kMessageBytes), 0u}) {
    ibv_qp_init_attr attempt = wanted;
    attempt.cap.max_inline_data = inline_bytes;
    queue_ = port.verbs->create_qp(port.protection_domain, &attempt);
    if (queue_ == nullptr) continue;
    max_inline_ = attempt.cap.max_inline_data;
    break;
  }
  if (queue_ == nullptr) return failed("ibv_create_qp", errno);
  message_places_ = max_inline_ >= kMessageBytes ? kBatch : kDepth;
  messages_.resize(message_places_ * kMessageBytes);
  if (max_inline_ < kMessageBytes) {
    memory_ = port.verbs->register_memory(port.protection_domain, messages_.data(), messages_.size(), 0);
    if (memory_ == nullptr) return failed("registering memory", errno);
  }
  randombytes_buf(&first_packet_, sizeof first_packet_);
  first_packet_ &= kLargest24Bits;
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_INIT;
  attributes.port_num = port.number;
  attributes.qp_access_flags = peer_may_write ? IBV_ACCESS_REMOTE_WRITE : 0;
  int error = port.verbs->modify_qp(queue_, &attributes,
                                    IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
  return error == 0 ? Status::ok() : failed("ibv_modify_qp to INIT", error);
}

QueuePair::~QueuePair() {
  if (!birthplace_.is_here()) return;
  const VerbsLibrary& verbs = *rail_->port().verbs;
  if (queue_ != nullptr) verbs.destroy_qp(queue_);
  if (memory_ != nullptr) verbs.dereg_mr(memory_);
}

QueueAddress QueuePair::address() const {
  QueueAddress address;
  address.queue_pair = queue_->qp_num;
  address.first_packet = first_packet_;
  address.lid = port_address_.lid;
  address.mtu = port_address_.mtu;
  address.link_layer = port_address_.link_layer;
  address.gid = port_address_.gid.bytes;
  address.device = rail_->port().name;
  return address;
}

Status QueuePair::connect(const QueueAddress& peer, std::uint32_t flow_label) {
  const RailPort& port = rail_->port();
  if (peer.link_layer != port_address_.link_layer) {
    return Status(StatusCode::kUnreachable,
                  fmt::format("device {} and the peer's {} are of different kinds, InfiniBand and Ethernet",
                              port.name, peer.device));
  }
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_RTR;
  attributes.path_mtu = static_cast<ibv_mtu>(std::min(port_address_.mtu, peer.mtu));
  attributes.dest_qp_num = peer.queue_pair;
  attributes.rq_psn = peer.first_packet;
  attributes.max_dest_rd_atomic = 1;
  attributes.min_rnr_timer = kReceiverNotReadyTimer;
  ibv_ah_attr& way = attributes.ah_attr;
  way.port_num = port.number;
  way.sl = port.settings.service_level;
  // InfiniBand needs the global header only where there is a router between.
  const bool same_subnet =
      std::equal(peer.gid.begin(), peer.gid.begin() + 8, port_address_.gid.bytes.begin());
  way.is_global = port_address_.link_layer == LinkLayer::kEthernet || peer.lid == 0 || !same_subnet;
  way.dlid = peer.lid;
  std::memcpy(way.grh.dgid.raw, peer.gid.data(), peer.gid.size());
  way.grh.flow_label = flow_label;
  way.grh.sgid_index = static_cast<std::uint8_t>(port_address_.gid.index);
  way.grh.hop_limit = kHopLimit;
  way.grh.traffic_class = port.settings.traffic_class;
  int error = port.verbs->modify_qp(queue_, &attributes,
                                    IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                                        IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
  if (error != 0) return failed("ibv_modify_qp to RTR", error);
  attributes.qp_state = IBV_QPS_RTS;
  attributes.sq_psn = first_packet_;
  attributes.timeout = port.settings.timeout;
  attributes.retry_cnt = port.settings.retry_count;
  attributes.rnr_retry = kReceiverNotReadyForEver;
  attributes.max_rd_atomic = 1;
  error = port.verbs->modify_qp(queue_, &attributes,
                                IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
                                    IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC);
  return error == 0 ? Status::ok() : failed("ibv_modify_qp to RTS", error);
}

ibv_send_wr& QueuePair::stage(ibv_wr_opcode operation, const LocalBytes& from) {
  assert(staged_ < kBatch && in_flight() < kDepth);
  ibv_sge& place = places_[staged_];
  place = {reinterpret_cast<std::uintptr_t>(from.at), from.length, from.key};
  ibv_send_wr& request = batch_[staged_++];
  request = {};
  request.sg_list = &place;
  request.num_sge = 1;
  request.opcode = operation;
  request.wr_id = SendMark{token_, ++staged_total_}.pack();
  return request;
}

std::byte* QueuePair::message_room() const {
  return const_cast<std::byte*>(messages_.data()) +
         std::size_t{staged_total_ % message_places_} * kMessageBytes;
}

void QueuePair::stage_message(std::size_t bytes, bool signal) {
  LocalBytes message{message_room(), static_cast<std::uint32_t>(bytes),
                     memory_ == nullptr ? 0 : memory_->lkey};
  ibv_send_wr& request = stage(IBV_WR_SEND, message);
  if (bytes <= max_inline_) request.send_flags |= IBV_SEND_INLINE;
  if (signal) request.send_flags |= IBV_SEND_SIGNALED;
}

void QueuePair::stage_write(const LocalBytes& from, const RemoteBytes& to) {
  ibv_send_wr& request = stage(IBV_WR_RDMA_WRITE, from);
  request.wr.rdma.remote_addr = to.address;
  request.wr.rdma.rkey = to.key;
  last_write_ = staged_total_;
}

void QueuePair::stage_write(const LocalBytes& from, const RemoteBytes& to, std::uint32_t immediate) {
  stage_write(from, to);
  ibv_send_wr& request = batch_[staged_ - 1];
  request.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
  request.send_flags |= IBV_SEND_SIGNALED;
  request.imm_data = htonl(immediate);
}

bool QueuePair::flush() {
  if (staged_ == 0) return true;
  for (std::uint32_t i = 0; i + 1 < staged_; ++i) batch_[i].next = &batch_[i + 1];
  batch_[staged_ - 1].send_flags |= IBV_SEND_SIGNALED;
  staged_ = 0;
  ibv_send_wr* bad = nullptr;
  return ibv_post_send(queue_, batch_.data(), &bad) == 0;
}

bool QueuePair::complete(std::uint32_t posted) {
  if (posted - completed_ > staged_total_ - completed_) return false;
  completed_ = posted;
  return true;
}

bool QueuePair::break_off() {
  staged_ = 0;
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_ERR;
  return rail_->port().verbs->modify_qp(queue_, &attributes, IBV_QP_STATE) == 0;
}

bool QueuePair::destroy() {
  if (queue_ != nullptr && rail_->port().verbs->destroy_qp(queue_) != 0) return false;
  queue_ = nullptr;
  return true;
}

void QueuePair::note_failure(const ibv_qp& queue) {
  static_cast<QueuePair*>(queue.qp_context)->failed_.store(true, std::memory_order_relaxed);
}

}  // namespace weft::verbs
