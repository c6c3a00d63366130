#include "transport/verbs/mrc_queue.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace weft::verbs {

using Kind = MrcImmediate::Kind;

namespace {

constexpr int kSlotShift = 10;
constexpr std::uint32_t kChunkMask = (1u << kSlotShift) - 1;
// 1.024 us * 2^(n + 2) is the 4.096 us * 2^n of verbs.
constexpr std::uint8_t kTimeoutSteps = 2;

}  // namespace

MrcQueue::MrcQueue(std::shared_ptr<Rail> rail, std::uint32_t token)
    : QueuePair(std::move(rail), token), device_(*rail_->port().mrc) {}

MrcQueue::~MrcQueue() {
  if (!birthplace_.is_here()) return;
  if (queue_ != nullptr) device_.library().destroy_qp(queue_);
  if (inbox_memory_ != nullptr) rail_->port().verbs->dereg_mr(inbox_memory_);
}

Status MrcQueue::open(bool peer_may_write) {
  const RailPort& port = rail_->port();
  if (Status read = read_port_address(); !read) return read;
  ibv_pd* const domain = peer_may_write ? port.protection_domain : device_.bare_domain();
  if (Status created = create_queue(domain); !created) return created;
  // The API says nothing of inline data, so that messages are read from registered memory.
  if (Status made = make_message_places(domain, 0); !made) return made;
  inbox_.resize(kMrcReceives * kMessageBytes);
  inbox_memory_ = port.verbs->register_memory(domain, inbox_.data(), inbox_.size(),
                                              IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
  if (inbox_memory_ == nullptr) return failed("registering memory", errno);
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_INIT;
  attributes.qp_access_flags = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
  mrc::QueueAttributes own{};
  int mask = 0;
  if (device_.profiles().ways) {
    own.way_profile = *device_.profiles().ways;
    mask |= mrc::kWayProfile;
  }
  if (device_.profiles().congestion) {
    own.congestion_profile = *device_.profiles().congestion;
    mask |= mrc::kCongestionProfile;
  }
  const int result = device_.library().modify_qp(
      queue_, &attributes, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_ACCESS_FLAGS, &own, mask);
  return result == 0 ? Status::ok() : failed("mrc_modify_qp to INIT", mrc::error_of(result));
}

Status MrcQueue::create_queue(ibv_pd* domain) {
  mrc::QueueWish wish{};
  wish.user = this;
  wish.sends = wish.receives = rail_->mrc_completions();
  wish.capacity.max_send_wr = kDepth;
  wish.capacity.max_send_sge = most_gathered();
  wish.capacity.max_recv_wr = kMrcReceives;
  wish.capacity.max_recv_sge = 1;
  wish.domain = domain;
  wish.operations = IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM;
  queue_ = device_.library().create_qp(device_.context(), &wish);
  if (queue_ == nullptr) return failed("mrc_create_qp", errno);
  const int result = device_.library().get_qpn(queue_, &number_);
  return result == 0 ? Status::ok() : failed("mrc_get_qpn", mrc::error_of(result));
}

PathOffer MrcQueue::offer() const {
  MrcInbox inbox;
  inbox.address = reinterpret_cast<std::uintptr_t>(inbox_.data());
  inbox.key = inbox_memory_->rkey;
  inbox.immediates = received_at_once();
  return {address(), inbox};
}

std::uint16_t MrcQueue::received_at_once() const {
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(kMrcReceives, device_.limits().received));
}

Status MrcQueue::connect(const PathOffer& peer, std::uint32_t) {
  if (Status good = fits(peer); !good) return good;
  peer_inbox_ = *peer.inbox;
  depth_ = std::min<std::uint32_t>({kDepth, device_.limits().sent, peer_inbox_.immediates});
  most_room_ = depth_ - kMrcKeptForCredit;
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_RTR;
  attributes.path_mtu = static_cast<ibv_mtu>(std::min(port_address_.mtu, peer.queue.mtu));
  attributes.dest_qp_num = peer.queue.queue_pair;
  attributes.rq_psn = peer.queue.first_packet;
  attributes.ah_attr = way_to(peer.queue);
  mrc::QueueAttributes own{};
  own.immediates.received = received_at_once();
  int result = device_.library().modify_qp(
      queue_, &attributes, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN, &own,
      mrc::kImmediatesReceived);
  if (result != 0) return failed("mrc_modify_qp to RTR", mrc::error_of(result));
  owed_receives_ = kMrcReceives;
  if (int error = post_receives(); error != 0) return failed("mrc_post_recv", error);
  attributes.qp_state = IBV_QPS_RTS;
  attributes.sq_psn = first_packet_;
  own.immediates.sent = static_cast<std::uint16_t>(depth_);
  const QueuePairSettings& settings = rail_->port().settings;
  own.timeout =
      static_cast<std::uint8_t>(std::min<int>(mrc::kLargestTimeout, settings.timeout + kTimeoutSteps));
  own.even_retries = std::min(settings.retry_count, mrc::kMostEvenRetries);
  result = device_.library().modify_qp(queue_, &attributes, IBV_QP_STATE | IBV_QP_SQ_PSN, &own,
                                       mrc::kImmediatesSent | mrc::kTimeout | mrc::kRetries);
  return result == 0 ? Status::ok() : failed("mrc_modify_qp to RTS", mrc::error_of(result));
}

// Both the NICs and the peer's receives set a limit.
std::uint32_t MrcQueue::room() const {
  const std::uint32_t left = std::min(depth_ - std::min(depth_, in_flight()), credit_.left(staged_total()));
  return left - std::min(left, kMrcKeptForCredit);
}

std::uint32_t MrcQueue::tell_credit() {
  told_ = landed_.taken();
  return told_;
}

ibv_send_wr& MrcQueue::stage_immediate(Kind kind, std::uint32_t detail, const LocalBytes& from,
                                       const RemoteBytes& to) {
  const std::uint32_t number = staged_total();
  ibv_send_wr& request = stage(IBV_WR_RDMA_WRITE_WITH_IMM, from);
  if (from.length == 0) request.num_sge = 0;
  request.imm_data = htonl(pack({kind, number, detail}));
  request.wr.rdma.remote_addr = to.address;
  request.wr.rdma.rkey = to.key;
  return request;
}

ibv_send_wr& MrcQueue::stage_in_inbox(std::size_t bytes) {
  const RemoteBytes place{peer_inbox_.address + std::uint64_t{staged_total() % kMrcReceives} * kMessageBytes,
                          peer_inbox_.key};
  return stage_immediate(Kind::kMessage, tell_credit(), staged_message(bytes), place);
}

void MrcQueue::stage_message(std::size_t bytes, bool signal) {
  ibv_send_wr& request = stage_in_inbox(bytes);
  if (signal) request.send_flags |= IBV_SEND_SIGNALED;
}

void MrcQueue::stage_gathered(std::size_t bytes, const LocalBytes& behind) {
  gather_behind(stage_in_inbox(bytes), behind);
}

void MrcQueue::stage_write(const LocalBytes& from, const RemoteBytes& to) {
  stage_immediate(Kind::kPayload, tell_credit(), from, to);
  note_write();
}

void MrcQueue::stage_chunk(const LocalBytes& from, const RemoteBytes& to, const Immediate& chunk) {
  const std::uint32_t detail = std::uint32_t{chunk.slot} << kSlotShift | chunk.chunk;
  stage_immediate(Kind::kChunk, detail, from, to).send_flags |= IBV_SEND_SIGNALED;
  note_write();
}

// Before anything goes out that tells of credit the receives are there.
int MrcQueue::post(ibv_send_wr* first) {
  if (int error = post_receives(); error != 0) return error;
  ibv_send_wr* bad = nullptr;
  return mrc::error_of(device_.library().post_send(queue_, first, &bad));
}

bool MrcQueue::put_in_error() {
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_ERR;
  mrc::QueueAttributes none{};
  return device_.library().modify_qp(queue_, &attributes, IBV_QP_STATE, &none, 0) == 0;
}

bool MrcQueue::destroy() {
  if (queue_ != nullptr && device_.library().destroy_qp(queue_) != 0) return false;
  queue_ = nullptr;
  return true;
}

int MrcQueue::post_receives() {
  std::array<ibv_recv_wr, kReceivesAtOnce> requests{};
  while (owed_receives_ != 0) {
    const std::uint32_t count = std::min(owed_receives_, kReceivesAtOnce);
    for (std::uint32_t i = 0; i < count; ++i) requests[i].next = i + 1 < count ? &requests[i + 1] : nullptr;
    ibv_recv_wr* bad = nullptr;
    if (int result = device_.library().post_recv(queue_, requests.data(), &bad); result != 0)
      return mrc::error_of(result);
    owed_receives_ -= count;
  }
  return 0;
}

const char* MrcQueue::arrived(const ibv_wc& completion) {
  if (completion.opcode != IBV_WC_RECV_RDMA_WITH_IMM) return "it came without an immediate";
  ++owed_receives_;
  const MrcImmediate immediate = unpack_mrc(ntohl(completion.imm_data));
  if (!landed_.put(immediate.number, {immediate, completion.byte_len}))
    return "more came than it may have under way";
  return nullptr;
}

bool MrcQueue::next_arrival(Arrival& out) {
  Landed landed;
  while (landed_.take(landed)) {
    out = {};
    if (is_frame(landed, out) || out.wrong != nullptr) return true;
  }
  return false;
}

// Takes what concerns the queue pair alone.
bool MrcQueue::is_frame(const Landed& landed, Arrival& out) {
  const MrcImmediate& immediate = landed.immediate;
  if (immediate.kind != Kind::kChunk && !credit_.heard(immediate.detail, staged_total()))
    out.wrong = "it took more than was sent";
  if (immediate.kind == Kind::kChunk) {
    out.is_chunk = true;
    out.chunk.slot = static_cast<std::uint8_t>(immediate.detail >> kSlotShift);
    out.chunk.chunk = static_cast<std::uint16_t>(immediate.detail & kChunkMask);
    out.length = landed.length;
    return true;
  }
  if (immediate.kind != Kind::kMessage) return false;
  if (landed.length > kMessageBytes) {
    out.wrong = "a message that is too long";
    return true;
  }
  const std::size_t place = (landed_.taken() - 1) % kMrcReceives;
  std::memcpy(message_.data(), inbox_.data() + place * kMessageBytes, landed.length);
  out.message = std::span(message_).first(landed.length);
  return true;
}

bool MrcQueue::answer_arrivals() {
  if (owed_receives_ >= kReceivesAtOnce) post_receives();
  if (landed_.taken() - told_ < kMrcCreditStep) return false;
  if (in_flight() >= depth_ || credit_.left(staged_total()) == 0) return false;
  stage_immediate(Kind::kCredit, tell_credit(), {}, {peer_inbox_.address, peer_inbox_.key});
  return true;
}

}  // namespace weft::verbs
