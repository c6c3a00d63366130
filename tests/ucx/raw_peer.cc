#include "tests/ucx/raw_peer.h"

#include <gtest/gtest.h>

#include <utility>

namespace weft::ucx {
namespace {

constexpr unsigned kFrameMessage = 1;
constexpr std::size_t kAddressRoom = 512;

}  // namespace

RawPeer::RawPeer(std::shared_ptr<DeviceContext> context)
    : context_(std::move(context)), ucx_(context_->library()) {
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SINGLE;
  EXPECT_EQ(ucx_.worker_create(context_->handle(), &params, &worker_), UCS_OK);
  ucp_am_handler_param_t handler{};
  handler.field_mask =
      UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
  handler.id = kFrameMessage;
  handler.arg = this;
  handler.cb = [](void* self, const void* header, std::size_t header_bytes, void* data, std::size_t bytes,
                  const ucp_am_recv_param_t* param) {
    return static_cast<RawPeer*>(self)->handle(header, header_bytes, data, bytes, *param);
  };
  EXPECT_EQ(ucx_.worker_set_am_recv_handler(worker_, &handler), UCS_OK);
  ucp_worker_attr_t attributes{};
  attributes.field_mask = UCP_WORKER_ATTR_FIELD_ADDRESS | UCP_WORKER_ATTR_FIELD_ADDRESS_FLAGS;
  attributes.address_flags = UCP_WORKER_ADDRESS_FLAG_NET_ONLY;
  EXPECT_EQ(ucx_.worker_query(worker_, &attributes), UCS_OK);
  const auto* bytes = reinterpret_cast<const std::byte*>(attributes.address);
  address_.assign(bytes, bytes + attributes.address_length);
  ucx_.worker_release_address(worker_, attributes.address);
}

RawPeer::~RawPeer() {
  if (endpoint_ != nullptr) {
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    param.flags = UCP_EP_CLOSE_FLAG_FORCE;
    ucs_status_ptr_t request = ucx_.ep_close_nbx(endpoint_, &param);
    for (int i = 0; i < 1000; ++i) ucx_.worker_progress(worker_);
    if (UCS_PTR_IS_PTR(request)) ucx_.request_free(request);
  }
  ucx_.worker_destroy(worker_);
}

void RawPeer::connect(const std::vector<std::byte>& peer) {
  std::vector<std::byte> room = peer;
  room.resize(kAddressRoom);
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(room.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.cb = [](void*, ucp_ep_h, ucs_status_t) {};  // the other end may leave as it likes
  ASSERT_EQ(ucx_.ep_create(worker_, &params, &endpoint_), UCS_OK);
}

void RawPeer::send(std::vector<std::byte> header, std::span<const std::byte> payload, Way way) {
  headers_.push_back(std::move(header));
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = way == Way::kFetched ? UCP_AM_SEND_FLAG_RNDV : UCP_AM_SEND_FLAG_EAGER;
  ucs_status_ptr_t request = ucx_.am_send_nbx(endpoint_, kFrameMessage, headers_.back().data(),
                                              headers_.back().size(), payload.data(), payload.size(), &param);
  if (UCS_PTR_IS_PTR(request)) {
    ucx_.request_free(request);
  } else {
    EXPECT_EQ(UCS_PTR_STATUS(request), UCS_OK);
  }
}

void RawPeer::send(const multipath::FrameHeader& header, std::span<const std::byte> payload, Way way) {
  std::vector<std::byte> bytes(multipath::kHeaderBytes);
  multipath::encode(header, std::span<std::byte, multipath::kHeaderBytes>(bytes));
  send(std::move(bytes), payload, way);
}

void RawPeer::progress() {
  ucx_.worker_progress(worker_);
}

ucs_status_t RawPeer::handle(const void* header, std::size_t header_bytes, void* data, std::size_t bytes,
                             const ucp_am_recv_param_t& param) {
  EXPECT_EQ(header_bytes, multipath::kHeaderBytes);
  multipath::FrameHeader frame;
  EXPECT_EQ(multipath::decode(std::span<const std::byte, multipath::kHeaderBytes>(
                                  static_cast<const std::byte*>(header), header_bytes),
                              frame),
            multipath::FrameError::kNone);
  heard_.push_back(frame);
  if ((param.recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) == 0) return UCS_OK;
  offered_.push_back({data, bytes});
  return UCS_INPROGRESS;
}

void RawPeer::fetch(std::size_t number, std::span<std::byte> to) {
  ASSERT_EQ(to.size(), offered_.at(number).bytes);
  ucp_request_param_t param{};
  param.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
  param.user_data = this;
  param.cb.recv_am = [](void* request, ucs_status_t status, std::size_t, void* user) {
    auto& self = *static_cast<RawPeer*>(user);
    EXPECT_EQ(status, UCS_OK);
    ++self.fetched_;
    self.ucx_.request_free(request);
  };
  ucs_status_ptr_t request =
      ucx_.am_recv_data_nbx(worker_, offered_[number].descriptor, to.data(), to.size(), &param);
  ASSERT_TRUE(UCS_PTR_IS_PTR(request));
}

}  // namespace weft::ucx
