// One path: a connected socket and the framing on it. Payloads are read from the socket straight into place
// and written straight from the caller's buffer; coded ones go through buffers of the stream's own.
//
// Threads: one at a time, under the link's lock.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "transport/multipath/endpoint.h"
#include "transport/tcp/payload_coder.h"
#include "transport/tcp/socket.h"

namespace weft::tcp {

// What came of a turn of reading or writing.
enum class StreamOutcome : std::uint8_t {
  kIdle,
  kMoved,
  kBlocked,
  kClosed,
  kBroken,
  kProtocolError,
  kBadChecksum
};

class PathStream {
 public:
  // `coder` outlives it; null: the ends have not agreed on coded payloads.
  PathStream(Socket socket, multipath::PathId path, multipath::Incarnation incarnation, bool payload_checksum,
             PayloadCoder* coder = nullptr);

  int fd() const { return socket_.fd(); }
  multipath::Incarnation incarnation() const { return incarnation_; }

  // Reads what is there, up to a budget, so that one busy path does not keep the others waiting (I6).
  StreamOutcome receive(multipath::Endpoint& endpoint, multipath::TimePoint now);
  // How much may wait unsent, in the kernel and, in front of it, here: what is queued has left the hands of
  // those who choose paths. Only a few values, so that it seldom changes.
  void limit_unsent(std::uint64_t bytes);
  // Takes a frame. The caller flushes when wants_flush().
  void enqueue(const multipath::Transmission& transmission);
  bool wants_flush() const {
    return queued_ == kQueueFrames || queued_bytes_ >= unsent_limit_ || !has_room_to_code();
  }
  bool has_output() const { return queued_ != 0; }
  StreamOutcome flush();

  // Payload that is still to come is dropped instead of placed. False: a frame that refers to user memory is
  // queued, so the stream can only be broken.
  bool abandon_buffers();
  // Bytes that the peer's kernel has not acknowledged; 0 also where the kernel does not say.
  int unacknowledged_bytes() const;
  // What the kernel knows of the connection.
  struct KernelView {
    std::uint64_t mark = 0;      // changes when data moves: bytes and segments acknowledged, bytes received
    std::uint64_t received = 0;  // bytes, read or not: the peer's process has sent them
    bool owes_nothing =
        false;  // the peer's kernel has acknowledged all: only its process can be what is slow
  };
  KernelView kernel_view() const;
  void reset() { socket_.reset(); }

  // What the peer did wrong, after kProtocolError.
  const std::string& error() const { return error_; }

 private:
  static constexpr std::size_t kQueueFrames = 32;
  static constexpr std::size_t kFewFrames = 4;
  static constexpr std::size_t kFewBytes = 512;
  static constexpr std::size_t kStagingBytes = 4096;

  struct QueuedFrame {
    std::array<std::byte, multipath::kHeaderBytes> header;
    const std::byte* payload;
    std::uint32_t length;  // on the wire
    std::uint32_t path_sequence;
  };

  // What is left of a payload goes to `place_`, or nowhere where that is null.
  bool in_payload() const { return payload_left_ != 0; }
  ssize_t read_some(std::size_t& asked);
  StreamOutcome parse_staging(multipath::Endpoint& endpoint, multipath::TimePoint now);
  StreamOutcome begin_frame(multipath::Endpoint& endpoint, multipath::TimePoint now);
  StreamOutcome take_staged_payload(const multipath::Landing& landing, multipath::Endpoint& endpoint,
                                    multipath::TimePoint now);
  bool has_good_payload() const;
  StreamOutcome end_payload(multipath::Endpoint& endpoint, multipath::TimePoint now);
  bool is_coded() const { return (header_.flags & multipath::kFlagCoded) != 0; }
  StreamOutcome land_coded(const std::byte* slot, const multipath::Landing& landing,
                           multipath::Endpoint& endpoint, multipath::TimePoint now);
  bool has_room_to_code() const { return coding_used_ == 0 || coding_used_ + coding_step_ <= coding_bytes_; }
  // Codes the payload of the frame that is queued, if that is wanted, and changes frame and header.
  void code(QueuedFrame& frame, multipath::FrameHeader& header, std::uint64_t message_bytes);
  StreamOutcome protocol_error(const std::string& what);
  bool acknowledges_queued(const multipath::FrameHeader& header) const;
  ssize_t send_few(std::size_t& asked);
  ssize_t send_many(std::size_t& asked);
  void drop_sent(std::size_t bytes);

  Socket socket_;
  multipath::PathId path_;
  multipath::Incarnation incarnation_;
  bool payload_checksum_;

  std::array<std::byte, kStagingBytes> staging_;
  std::size_t staged_ = 0;         // bytes in staging_
  std::size_t consumed_ = 0;       // of these, already parsed
  multipath::FrameHeader header_;  // of the payload that is being read, and lands at place_begin_
  std::byte* place_ = nullptr;
  std::byte* place_begin_ = nullptr;
  std::uint32_t payload_left_ = 0;

  // What is coded and queued, one behind the other until the queue is empty, and what comes coded until it is
  // whole.
  PayloadCoder* const coder_;
  std::size_t coding_bytes_ = 0, coding_used_ = 0, coding_step_ = 0;
  std::unique_ptr<std::byte[]> coding_, decoding_;
  std::size_t decoded_bytes_ = 0;  // in this turn: few bytes may stand for many

  std::array<QueuedFrame, kQueueFrames> queue_;
  std::size_t queue_first_ = 0;
  std::size_t queued_ = 0;
  std::size_t queued_bytes_ = 0;  // payload, of frames that are not sent as a whole
  std::uint32_t unsent_limit_ = 0;
  std::size_t first_sent_bytes_ = 0;  // of the first queued frame, header included
  std::string error_;
};

}  // namespace weft::tcp
