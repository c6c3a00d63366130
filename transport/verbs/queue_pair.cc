#include "transport/verbs/queue_pair.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>

#include "transport/verbs/mrc_queue.h"

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
  std::unique_ptr<QueuePair> queue(rail->port().mrc ? new MrcQueue(std::move(rail), token)
                                                    : new QueuePair(std::move(rail), token));
  if (Status opened = queue->open(peer_may_write); !opened) return opened;
  return queue;
}

Status QueuePair::failed(const char* what, int error) const {
  return Status(StatusCode::kUnreachable,
                fmt::format("device {}: {} failed: {}", rail_->port().name, what, std::strerror(error)));
}

Status QueuePair::read_port_address() {
  Result<PortAddress> address = rail_->port().read_address();
  if (!address) return address.status();
  port_address_ = *address;
  randombytes_buf(&first_packet_, sizeof first_packet_);
  first_packet_ &= kLargest24Bits;
  return Status::ok();
}

// Where the device does not take whole messages inline it reads them in its own time, and knows the memory.
Status QueuePair::make_message_places(ibv_pd* domain, std::uint32_t max_inline) {
  max_inline_ = max_inline;
  const bool always_copied = max_inline_ >= kMessageBytes && most_gathered() == 1;
  message_places_ = always_copied ? kBatch : kDepth;
  messages_.resize(message_places_ * kMessageBytes);
  if (always_copied) return Status::ok();
  memory_ = rail_->port().verbs->register_memory(domain, messages_.data(), messages_.size(), 0);
  return memory_ != nullptr ? Status::ok() : failed("registering memory", errno);
}

Status QueuePair::open(bool peer_may_write) {
  const RailPort& port = rail_->port();
  if (Status read = read_port_address(); !read) return read;
  ibv_qp_init_attr wanted{};
  wanted.qp_context = this;
  wanted.send_cq = wanted.recv_cq = rail_->completions();
  wanted.srq = rail_->receives();
  wanted.qp_type = IBV_QPT_RC;
  wanted.cap.max_send_wr = kDepth;
  wanted.cap.max_send_sge = most_gathered();
  // A device that cannot take whole messages inline may refuse the question, not only the size.
  for (std::uint32_t inline_bytes : {static_cast<std::uint32_t>(kMessageBytes), 0u}) {
    ibv_qp_init_attr attempt = wanted;
    attempt.cap.max_inline_data = inline_bytes;
    queue_ = port.verbs->create_qp(port.protection_domain, &attempt);
    if (queue_ == nullptr) continue;
    wanted.cap.max_inline_data = attempt.cap.max_inline_data;
    break;
  }
  if (queue_ == nullptr) return failed("ibv_create_qp", errno);
  number_ = queue_->qp_num;
  if (Status made = make_message_places(port.protection_domain, wanted.cap.max_inline_data); !made)
    return made;
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
  address.queue_pair = number_;
  address.first_packet = first_packet_;
  address.lid = port_address_.lid;
  address.mtu = port_address_.mtu;
  address.link_layer = port_address_.link_layer;
  address.gid = port_address_.gid.bytes;
  address.device = rail_->port().name;
  return address;
}

ibv_ah_attr QueuePair::way_to(const QueueAddress& peer) const {
  const RailPort& port = rail_->port();
  ibv_ah_attr way{};
  way.port_num = port.number;
  way.sl = port.settings.service_level;
  // InfiniBand needs the global header only where there is a router between.
  const bool same_subnet =
      std::equal(peer.gid.begin(), peer.gid.begin() + 8, port_address_.gid.bytes.begin());
  way.is_global = port_address_.link_layer == LinkLayer::kEthernet || peer.lid == 0 || !same_subnet;
  way.dlid = peer.lid;
  std::memcpy(way.grh.dgid.raw, peer.gid.data(), peer.gid.size());
  way.grh.sgid_index = static_cast<std::uint8_t>(port_address_.gid.index);
  way.grh.hop_limit = kHopLimit;
  way.grh.traffic_class = port.settings.traffic_class;
  return way;
}

Status QueuePair::fits(const PathOffer& peer) const {
  const RailPort& port = rail_->port();
  if (peer.inbox.has_value() != (port.mrc != nullptr)) {
    return Status(
        StatusCode::kProtocolError,
        fmt::format("device {}: the peer's queue pair on {} is {}, and this one is {}; run the same "
                    "Weft everywhere, or set WEFT_MRC=off",
                    port.name, peer.queue.device, peer.inbox ? "MRC" : "RC", port.mrc ? "MRC" : "RC"));
  }
  if (peer.queue.link_layer != port_address_.link_layer) {
    return Status(StatusCode::kUnreachable,
                  fmt::format("device {} and the peer's {} are of different kinds, InfiniBand and Ethernet",
                              port.name, peer.queue.device));
  }
  return Status::ok();
}

Status QueuePair::connect(const PathOffer& offer, std::uint32_t flow_label) {
  if (Status good = fits(offer); !good) return good;
  const RailPort& port = rail_->port();
  const QueueAddress& peer = offer.queue;
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_RTR;
  attributes.path_mtu = static_cast<ibv_mtu>(std::min(port_address_.mtu, peer.mtu));
  attributes.dest_qp_num = peer.queue_pair;
  attributes.rq_psn = peer.first_packet;
  attributes.max_dest_rd_atomic = 1;
  attributes.min_rnr_timer = kReceiverNotReadyTimer;
  attributes.ah_attr = way_to(peer);
  attributes.ah_attr.grh.flow_label = flow_label;
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
  ibv_sge& place = places_[staged_ * kMostGathered];
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

LocalBytes QueuePair::staged_message(std::size_t bytes) const {
  return {message_room(), static_cast<std::uint32_t>(bytes), memory_ == nullptr ? 0 : memory_->lkey};
}

void QueuePair::stage_message(std::size_t bytes, bool signal) {
  ibv_send_wr& request = stage(IBV_WR_SEND, staged_message(bytes));
  if (bytes <= max_inline_) request.send_flags |= IBV_SEND_INLINE;
  if (signal) request.send_flags |= IBV_SEND_SIGNALED;
}

void QueuePair::gather_behind(ibv_send_wr& request, const LocalBytes& behind) {
  request.sg_list[1] = {reinterpret_cast<std::uintptr_t>(behind.at), behind.length, behind.key};
  request.num_sge = kMostGathered;
  request.send_flags |= IBV_SEND_SIGNALED;
  note_write();
}

void QueuePair::stage_gathered(std::size_t bytes, const LocalBytes& behind) {
  gather_behind(stage(IBV_WR_SEND, staged_message(bytes)), behind);
}

void QueuePair::stage_write(const LocalBytes& from, const RemoteBytes& to) {
  ibv_send_wr& request = stage(IBV_WR_RDMA_WRITE, from);
  request.wr.rdma.remote_addr = to.address;
  request.wr.rdma.rkey = to.key;
  note_write();
}

void QueuePair::stage_chunk(const LocalBytes& from, const RemoteBytes& to, const Immediate& chunk) {
  stage_write(from, to);
  ibv_send_wr& request = batch_[staged_ - 1];
  request.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
  request.send_flags |= IBV_SEND_SIGNALED;
  request.imm_data = htonl(pack(chunk));
}

const char* QueuePair::arrived(const ibv_wc& completion) {
  arrived_ = completion;
  return nullptr;
}

bool QueuePair::next_arrival(Arrival& out) {
  if (!arrived_) return false;
  out = {};
  out.is_chunk = arrived_->opcode == IBV_WC_RECV_RDMA_WITH_IMM;
  if (out.is_chunk) {
    out.has_sequence = true;
    out.chunk = unpack(ntohl(arrived_->imm_data));
    out.length = arrived_->byte_len;
  } else {
    out.message = rail_->message(*arrived_);
  }
  arrived_.reset();
  return true;
}

int QueuePair::post(ibv_send_wr* first) {
  ibv_send_wr* bad = nullptr;
  return ibv_post_send(queue_, first, &bad);
}

bool QueuePair::flush() {
  if (staged_ == 0) return true;
  for (std::uint32_t i = 0; i + 1 < staged_; ++i) batch_[i].next = &batch_[i + 1];
  batch_[staged_ - 1].send_flags |= IBV_SEND_SIGNALED;
  staged_ = 0;
  return post(batch_.data()) == 0;
}

bool QueuePair::complete(std::uint32_t posted) {
  if (posted - completed_ > staged_total_ - completed_) return false;
  completed_ = posted;
  return true;
}

bool QueuePair::break_off() {
  staged_ = 0;
  return put_in_error();
}

bool QueuePair::put_in_error() {
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
  // One without is a flush_queue's, which looks at its completions only.
  if (queue.qp_context != nullptr)
    static_cast<QueuePair*>(queue.qp_context)->failed_.store(true, std::memory_order_relaxed);
}

}  // namespace weft::verbs
