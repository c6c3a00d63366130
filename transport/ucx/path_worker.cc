#include "transport/ucx/path_worker.h"

#include <fmt/format.h>

#include <bit>
#include <chrono>
#include <cstring>
#include <utility>

namespace weft::ucx {

using multipath::FrameHeader;
using multipath::kHeaderBytes;
using multipath::kPathWindowFrames;

namespace {

constexpr unsigned kFrameMessage = 1;  // the one kind of active message
constexpr std::size_t kFetchedAtOnce = std::size_t{2} << 20;
constexpr unsigned kTurns = 16;  // of a worker before others have theirs (I6)
// What UCX takes to let go of an endpoint. Whatever it is that has not ended by then ends with the worker.
constexpr std::chrono::milliseconds kClosing{2};
// At least so many turns of its worker, for the time may be other threads'.
constexpr int kClosingTurns = 100;
// UCX does not say how long an address is that it reads; a short one meets zeros.
constexpr std::size_t kAddressRoom = 512;

}  // namespace

PathWorker::PathWorker(std::shared_ptr<DeviceContext> context)
    : context_(std::move(context)), ucx_(context_->library()) {
  for (std::size_t i = 0; i < kMaxInFlight; ++i) {
    records_[i].worker = this;
    free_[free_count_++] = static_cast<std::uint8_t>(i);
  }
  for (LandingRecord& landing : landings_) landing.worker = this;
}

Status PathWorker::failed(const std::string& what, ucs_status_t status) const {
  return Status(status == UCS_ERR_NO_MEMORY || status == UCS_ERR_NO_RESOURCE ? StatusCode::kResourceExhausted
                                                                             : StatusCode::kInternal,
                fmt::format("device {}: UCX {} {}: {}", device().name, ucx_.get_version_string(), what,
                            ucx_.status_string(status)));
}

Result<std::unique_ptr<PathWorker>> PathWorker::create(std::shared_ptr<DeviceContext> context) {
  std::unique_ptr<PathWorker> worker(new PathWorker(std::move(context)));
  if (Status opened = worker->open(); !opened) return opened;
  return worker;
}

Status PathWorker::open() {
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  if (ucs_status_t status = ucx_.worker_create(context_->handle(), &params, &worker_); status != UCS_OK)
    return failed("cannot make a worker", status);
  ucp_am_handler_param_t handler{};
  handler.field_mask =
      UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
  handler.id = kFrameMessage;
  handler.arg = this;
  handler.cb = [](void* self, const void* header, std::size_t header_bytes, void* data, std::size_t bytes,
                  const ucp_am_recv_param_t* param) {
    return static_cast<PathWorker*>(self)->handle_message(header, header_bytes, data, bytes, *param);
  };
  if (ucs_status_t status = ucx_.worker_set_am_recv_handler(worker_, &handler); status != UCS_OK)
    return failed("takes no active messages", status);
  ucp_worker_attr_t attributes{};
  attributes.field_mask = UCP_WORKER_ATTR_FIELD_ADDRESS | UCP_WORKER_ATTR_FIELD_ADDRESS_FLAGS |
                          UCP_WORKER_ATTR_FIELD_MAX_AM_HEADER;
  attributes.address_flags = UCP_WORKER_ADDRESS_FLAG_NET_ONLY;
  if (ucs_status_t status = ucx_.worker_query(worker_, &attributes); status != UCS_OK)
    return failed("does not say where a worker can be reached", status);
  const auto* bytes = reinterpret_cast<const std::byte*>(attributes.address);
  address_.assign(bytes, bytes + attributes.address_length);
  ucx_.worker_release_address(worker_, attributes.address);
  if (address_.size() > kMaxAddressBytes || attributes.max_am_header < kHeaderBytes) {
    return Status(
        StatusCode::kUnreachable,
        fmt::format("device {}: UCX's address of a worker has {} bytes and its headers {}; Weft has "
                    "room for {} and needs {}. Leave UCX fewer transports with UCX_TLS",
                    device().name, address_.size(), attributes.max_am_header, kMaxAddressBytes,
                    kHeaderBytes));
  }
  return Status::ok();
}

Status PathWorker::connect(std::span<const std::byte> peer) {
  alignas(16) std::array<std::byte, kAddressRoom> address{};
  if (peer.empty() || peer.size() > kMaxAddressBytes)
    return Status(StatusCode::kProtocolError, "the peer's UCX address has an impossible length");
  std::memcpy(address.data(), peer.data(), peer.size());
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.arg = this;
  params.err_handler.cb = [](void* self, ucp_ep_h, ucs_status_t status) {
    static_cast<PathWorker*>(self)->break_with(status, "reports the path");
  };
  if (ucs_status_t status = ucx_.ep_create(worker_, &params, &endpoint_); status != UCS_OK) {
    endpoint_ = nullptr;
    return failed("cannot reach the peer's worker; do UCX_TLS and the like differ there?", status);
  }
  return Status::ok();
}

// Synchronous, so that fenced means fenced: whatever is still under way when the endpoint is closed goes with
// the worker, its queue pairs and its sockets. Nobody is told anything meanwhile.
PathWorker::~PathWorker() {
  if (worker_ == nullptr || !birthplace_.is_here()) return;
  taker_ = nullptr;
  for (; waiting_count_ != 0; --waiting_count_) {
    ucx_.am_data_release(worker_, landings_[waiting_[waiting_first_]].descriptor);
    waiting_first_ = (waiting_first_ + 1) % kPathWindowFrames;
  }
  if (endpoint_ != nullptr) {
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
    param.flags = UCP_EP_CLOSE_FLAG_FORCE;
    bool closed = false;
    param.user_data = &closed;
    param.cb.send = [](void*, ucs_status_t, void* done) { *static_cast<bool*>(done) = true; };
    ucs_status_ptr_t request = ucx_.ep_close_nbx(endpoint_, &param);
    const bool pending = UCS_PTR_IS_PTR(request);
    const auto deadline = std::chrono::steady_clock::now() + kClosing;
    const auto idle = [&] {
      return (closed || !pending) && free_count_ == kMaxInFlight && fetching_bytes_ == 0;
    };
    for (int turn = 0; !idle(); ++turn) {
      if (turn >= kClosingTurns && std::chrono::steady_clock::now() > deadline) break;
      ucx_.worker_progress(worker_);
    }
    if (pending) ucx_.request_free(request);
  }
  ucx_.worker_destroy(worker_);
}

void PathWorker::break_with(ucs_status_t status, const char* what) {
  if (broken_.empty()) broken_ = fmt::format("UCX {}: {}", what, ucx_.status_string(status));
}

bool PathWorker::send(const FrameHeader& header, const std::byte* payload) {
  if (is_broken() || free_count_ == 0 || endpoint_ == nullptr) return false;
  SendRecord& record = records_[free_[--free_count_]];
  multipath::encode(header, record.header);
  record.has_payload = header.length != 0;
  record.sequence = header.path_sequence;
  if (record.has_payload) reading_ |= std::uint64_t{1} << (record.sequence % kPathWindowFrames);
  unflushed_ = true;
  ucp_request_param_t param{};
  param.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_MEMORY_TYPE;
  param.memory_type = UCS_MEMORY_TYPE_HOST;
  param.user_data = &record;
  // Nothing is to be fetched of a frame without a payload, whatever UCX_RNDV_THRESH says.
  if (header.length == 0) {
    param.op_attr_mask |= UCP_OP_ATTR_FIELD_FLAGS;
    param.flags = UCP_AM_SEND_FLAG_EAGER;
  }
  param.cb.send = [](void* request, ucs_status_t status, void* user) {
    auto& sent = *static_cast<SendRecord*>(user);
    if (status != UCS_OK) sent.worker->break_with(status, "could not send");
    sent.worker->release(sent);
    sent.worker->ucx_.request_free(request);
  };
  ucs_status_ptr_t request = ucx_.am_send_nbx(endpoint_, kFrameMessage, record.header.data(), kHeaderBytes,
                                              payload, header.length, &param);
  if (UCS_PTR_IS_PTR(request)) return true;
  release(record);
  if (UCS_PTR_STATUS(request) != UCS_OK) break_with(UCS_PTR_STATUS(request), "cannot send");
  return !is_broken();
}

void PathWorker::release(SendRecord& record) {
  if (record.has_payload) reading_ &= ~(std::uint64_t{1} << (record.sequence % kPathWindowFrames));
  record.has_payload = false;
  free_[free_count_++] = static_cast<std::uint8_t>(&record - records_.data());
}

std::uint32_t PathWorker::sent_of(std::uint32_t acknowledged) const {
  if (reading_ == 0) return acknowledged;
  for (const SendRecord& record : records_)
    if (record.has_payload && multipath::serial_distance(record.sequence, acknowledged) > 0)
      acknowledged = record.sequence;
  return acknowledged;
}

bool PathWorker::progress(FrameTaker& taker) {
  taker_ = &taker;
  heard_ = false;
  for (unsigned turn = 0; turn < kTurns && wrong_ == nullptr; ++turn) {
    const unsigned moved = ucx_.worker_progress(worker_);
    if (moved == 0) break;
    activity_ += moved;
  }
  taker_ = nullptr;
  return heard_;
}

ucs_status_t PathWorker::handle_message(const void* header, std::size_t header_bytes, void* data,
                                        std::size_t bytes, const ucp_am_recv_param_t& param) {
  if (taker_ == nullptr || wrong_ != nullptr) return UCS_OK;
  heard_ = true;
  if (header_bytes != kHeaderBytes) {
    wrong_ = "a header of the wrong length";
    return UCS_OK;
  }
  std::span<const std::byte> frame(static_cast<const std::byte*>(header), header_bytes);
  if (param.recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) return begin_landing(frame, data, bytes);
  wrong_ = taker_->take_frame(frame, {static_cast<const std::byte*>(data), bytes});
  return UCS_OK;
}

ucs_status_t PathWorker::begin_landing(std::span<const std::byte> header, void* descriptor,
                                       std::size_t bytes) {
  FrameTaker::Place place = taker_->place_payload(header, bytes);
  wrong_ = place.wrong;
  if (place.at == nullptr || wrong_ != nullptr) return UCS_OK;  // dropped
  if (landing_ == ~std::uint64_t{0}) {
    wrong_ = "more payloads under way than the window";
    return UCS_OK;
  }
  const int index = std::countr_one(landing_);
  landing_ |= std::uint64_t{1} << index;
  LandingRecord& record = landings_[static_cast<std::size_t>(index)];
  record.place = place;
  record.descriptor = descriptor;
  record.bytes = bytes;
  waiting_[(waiting_first_ + waiting_count_++) % kPathWindowFrames] = static_cast<std::uint8_t>(index);
  start_fetches();
  return UCS_INPROGRESS;
}

// One after another, as far as keeps the path busy: UCX would fetch all at the same time, and nothing would
// be whole, nor anything be said to the peer, until nearly all is here.
void PathWorker::start_fetches() {
  while (waiting_count_ != 0 && !is_broken()) {
    LandingRecord& record = landings_[waiting_[waiting_first_]];
    if (fetching_bytes_ != 0 && fetching_bytes_ + record.bytes > kFetchedAtOnce) return;
    waiting_first_ = (waiting_first_ + 1) % kPathWindowFrames;
    --waiting_count_;
    fetching_bytes_ += record.bytes;
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA |
                         UCP_OP_ATTR_FIELD_MEMORY_TYPE | UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
    param.memory_type = UCS_MEMORY_TYPE_HOST;
    param.user_data = &record;
    param.cb.recv_am = [](void* request, ucs_status_t status, std::size_t, void* user) {
      auto& landing = *static_cast<LandingRecord*>(user);
      PathWorker& worker = *landing.worker;
      worker.end_landing(landing, status);
      worker.start_fetches();
      worker.ucx_.request_free(request);
    };
    ucs_status_ptr_t request =
        ucx_.am_recv_data_nbx(worker_, record.descriptor, record.place.at, record.bytes, &param);
    if (!UCS_PTR_IS_PTR(request)) end_landing(record, UCS_PTR_STATUS(request));
  }
}

void PathWorker::end_landing(LandingRecord& record, ucs_status_t status) {
  landing_ &= ~(std::uint64_t{1} << (&record - landings_.data()));
  fetching_bytes_ -= record.bytes;
  if (status != UCS_OK) {
    break_with(status, "could not fetch a payload");
  } else if (taker_ != nullptr && wrong_ == nullptr) {
    heard_ = true;
    wrong_ = taker_->landed(record.place.number);
  }
}

void PathWorker::flush() {
  if (flushing_ || !unflushed_) return;
  unflushed_ = false;
  if (is_broken() || endpoint_ == nullptr) return;
  flushing_ = true;
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.user_data = this;
  param.cb.send = [](void* request, ucs_status_t, void* user) {
    auto& worker = *static_cast<PathWorker*>(user);
    worker.flushing_ = false;
    worker.ucx_.request_free(request);
  };
  if (!UCS_PTR_IS_PTR(ucx_.ep_flush_nbx(endpoint_, &param))) flushing_ = false;
}

}  // namespace weft::ucx
