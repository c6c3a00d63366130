// A peer that is no Weft: a worker of UCX's that sends what a test tells it to, well formed or not, and
// fetches payloads only when it is told to.
//
// Threads: one. Errors: failed expectations.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "transport/multipath/frame.h"
#include "transport/ucx/device_context.h"

namespace weft::ucx {

class RawPeer {
 public:
  explicit RawPeer(std::shared_ptr<DeviceContext> context);
  ~RawPeer();
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  const std::vector<std::byte>& address() const { return address_; }
  void connect(const std::vector<std::byte>& peer);

  enum class Way { kAlong, kFetched };
  // The payload stays the caller's, until this is gone.
  void send(std::vector<std::byte> header, std::span<const std::byte> payload, Way way);
  void send(const multipath::FrameHeader& header, std::span<const std::byte> payload = {},
            Way way = Way::kAlong);
  void progress();

  const std::vector<multipath::FrameHeader>& heard() const { return heard_; }
  // Payloads that lie at the other end.
  std::size_t offered() const { return offered_.size(); }
  std::size_t fetched() const { return fetched_; }
  void fetch(std::size_t number, std::span<std::byte> to);

 private:
  struct Offered {
    void* descriptor = nullptr;
    std::size_t bytes = 0;
  };
  ucs_status_t handle(const void* header, std::size_t header_bytes, void* data, std::size_t bytes,
                      const ucp_am_recv_param_t& param);

  const std::shared_ptr<DeviceContext> context_;
  const UcxLibrary& ucx_;
  ucp_worker_h worker_ = nullptr;
  ucp_ep_h endpoint_ = nullptr;
  std::vector<std::byte> address_;
  std::deque<std::vector<std::byte>> headers_;  // UCX reads them until a frame is sent
  std::vector<multipath::FrameHeader> heard_;
  std::vector<Offered> offered_;
  std::size_t fetched_ = 0;
};

}  // namespace weft::ucx
