// One end of a path over UCX: a worker of its own with one endpoint, on one device. Frames travel as active
// messages, the frame header as UCX's user header. UCX decides how the payload comes: with the header, or by
// rendezvous, which reads it into the place that the receiver names. So it is always the receiver who places
// payloads, and with its worker everything goes by which something could still land: queue pairs, sockets,
// pending reads.
//
// Threads: one at a time; UCX is told so. Errors: a broken path says so once, in broken().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "transport/multipath/frame.h"
#include "transport/ucx/device_context.h"
#include "transport/ucx/path_offer.h"

namespace weft::ucx {

// Who is told what arrives while a worker makes progress. Nothing of it may send on that worker or close it.
class FrameTaker {
 public:
  virtual ~FrameTaker() = default;
  // A whole frame. `payload` is UCX's again afterwards. Null, or what is wrong with it: then nothing more
  // comes of this worker.
  virtual const char* take_frame(std::span<const std::byte> header, std::span<const std::byte> payload) = 0;
  // A frame whose payload of `bytes` still lies at the peer. It is read to `at`, and landed(number) said when
  // it is there; where `at` is null it is dropped.
  struct Place {
    std::byte* at = nullptr;
    std::uint32_t number = 0;
    const char* wrong = nullptr;
  };
  virtual Place place_payload(std::span<const std::byte> header, std::size_t bytes) = 0;
  virtual const char* landed(std::uint32_t number) = 0;
};

class PathWorker {
 public:
  static constexpr std::size_t kMaxInFlight = 128;  // frames that UCX has not sent yet

  static Result<std::unique_ptr<PathWorker>> create(std::shared_ptr<DeviceContext> context);
  ~PathWorker();
  PathWorker(const PathWorker&) = delete;
  PathWorker& operator=(const PathWorker&) = delete;

  const DeviceName& device() const { return context_->device(); }
  // What the peer connects to: opaque bytes of UCX's.
  const std::vector<std::byte>& address() const { return address_; }
  Status connect(std::span<const std::byte> peer);

  // `payload` has header.length bytes and stays until UCX is done with it (is_reading()). False: broken.
  bool send(const multipath::FrameHeader& header, const std::byte* payload);
  bool has_room() const { return free_count_ != 0; }
  bool has_plenty_of_room() const { return free_count_ >= kMaxInFlight / 2; }
  // UCX may still read payloads.
  bool is_reading() const { return reading_ != 0; }
  // Of data frames that the peer claims to have, those that UCX has sent to their end: what is claimed beyond
  // must wait, for the payload is still being read.
  std::uint32_t sent_of(std::uint32_t acknowledged) const;

  // Hands what has arrived to `taker`. True if any frame came.
  bool progress(FrameTaker& taker);
  // Changes whenever UCX has moved something: bytes came, the peer's host took some, its NIC acknowledged.
  std::uint32_t activity() const { return activity_; }
  // Why it is of no use any more; empty: it is.
  const std::string& broken() const { return broken_; }
  bool is_broken() const { return !broken_.empty(); }
  // After a taker said what is wrong with a frame.
  const char* wrong() const { return wrong_; }

  // To know when all that was sent has left this host. Does nothing where that is known or on its way.
  void flush();
  bool is_drained() const { return free_count_ == kMaxInFlight && !unflushed_ && !flushing_; }

 private:
  struct SendRecord {
    PathWorker* worker = nullptr;
    std::array<std::byte, multipath::kHeaderBytes> header;
    std::uint32_t sequence = 0;
    bool has_payload = false;
  };
  struct LandingRecord {
    PathWorker* worker = nullptr;
    FrameTaker::Place place;
    void* descriptor = nullptr;  // UCX's, of a payload at the peer
    std::size_t bytes = 0;
  };

  explicit PathWorker(std::shared_ptr<DeviceContext> context);
  Status open();
  Status failed(const std::string& what, ucs_status_t status) const;
  void break_with(ucs_status_t status, const char* what);
  void release(SendRecord& record);
  void start_fetches();
  void end_landing(LandingRecord& record, ucs_status_t status);
  ucs_status_t handle_message(const void* header, std::size_t header_bytes, void* data, std::size_t bytes,
                              const ucp_am_recv_param_t& param);
  ucs_status_t begin_landing(std::span<const std::byte> header, void* descriptor, std::size_t bytes);

  const std::shared_ptr<DeviceContext> context_;
  const UcxLibrary& ucx_;
  ucp_worker_h worker_ = nullptr;
  ucp_ep_h endpoint_ = nullptr;
  std::vector<std::byte> address_;

  std::array<SendRecord, kMaxInFlight> records_;
  std::array<std::uint8_t, kMaxInFlight> free_{};
  std::size_t free_count_ = 0;
  std::uint64_t reading_ = 0;  // data frames that UCX has not sent to their end: bit sequence mod 64
  std::array<LandingRecord, multipath::kPathWindowFrames> landings_;
  std::uint64_t landing_ = 0;  // those in use
  // Of these, a ring of those that are not being fetched yet.
  std::array<std::uint8_t, multipath::kPathWindowFrames> waiting_{};
  std::size_t waiting_first_ = 0, waiting_count_ = 0;
  std::size_t fetching_bytes_ = 0;

  FrameTaker* taker_ = nullptr;
  bool heard_ = false;
  std::uint32_t activity_ = 0;
  const char* wrong_ = nullptr;
  std::string broken_;
  bool unflushed_ = false;  // something was sent since the last flush began
  bool flushing_ = false;
  const process::Birthplace birthplace_;
};
static_assert(multipath::kPathWindowFrames == 64, "one bit a frame");

}  // namespace weft::ucx
