#include "transport/tcp/path_stream.h"

#include <linux/sockios.h>
#include <linux/tcp.h>  // the kernel's tcp_info; glibc's lacks the newer fields
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <span>
#include <utility>

#include "transport/multipath/crc32c.h"

namespace weft::tcp {

using multipath::FrameHeader;
using multipath::FrameType;
using multipath::kHeaderBytes;
using multipath::TimePoint;

namespace {

constexpr std::size_t kReceiveBudgetBytes = 1024 * 1024;
// While a large payload is read, only the next header is read along: what lands in staging is copied once
// more.
constexpr std::size_t kLargePayload = 16 * 1024;
constexpr std::uint64_t kLeastUnsentLimit = 32 * 1024;
constexpr std::uint64_t kFirstUnsentLimit = 128 * 1024;
constexpr std::uint64_t kLargestUnsentLimit = 4 * 1024 * 1024;
// Tells the coder how long large transfers take in the socket.
class MovingTime {
 public:
  MovingTime(PayloadCoder* coder, std::size_t bytes) : coder_(bytes >= kLargePayload ? coder : nullptr) {
    if (coder_ != nullptr) began_ = std::chrono::steady_clock::now();
  }
  ~MovingTime() {
    if (coder_ != nullptr) coder_->note_moved(std::chrono::steady_clock::now() - began_);
  }
  MovingTime(const MovingTime&) = delete;
  MovingTime& operator=(const MovingTime&) = delete;

 private:
  PayloadCoder* const coder_;
  std::chrono::steady_clock::time_point began_;
};

}  // namespace

PathStream::PathStream(Socket socket, multipath::PathId path, multipath::Incarnation incarnation,
                       bool payload_checksum, PayloadCoder* coder)
    : socket_(std::move(socket)),
      path_(path),
      incarnation_(incarnation),
      payload_checksum_(payload_checksum),
      coder_(coder) {
  limit_unsent(kFirstUnsentLimit);
  if (coder_ == nullptr) return;
  coding_bytes_ = PayloadCoder::room_for(coder_->largest_chunk_bytes());
  coding_ = std::make_unique_for_overwrite<std::byte[]>(coding_bytes_);
  decoding_ = std::make_unique_for_overwrite<std::byte[]>(coder_->largest_chunk_bytes());
}

void PathStream::limit_unsent(std::uint64_t bytes) {
  auto limit = static_cast<std::uint32_t>(
      std::bit_ceil(std::clamp<std::uint64_t>(bytes, kLeastUnsentLimit, kLargestUnsentLimit)));
  if (limit == unsent_limit_) return;
  unsent_limit_ = limit;
  setsockopt(socket_.fd(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &limit, sizeof limit);
}

StreamOutcome PathStream::protocol_error(const std::string& what) {
  error_ = what;
  return StreamOutcome::kProtocolError;
}

StreamOutcome PathStream::receive(multipath::Endpoint& endpoint, TimePoint now) {
  bool moved = false;
  if (place_ && !is_coded() && endpoint.data_begins(path_, incarnation_, header_).at != place_begin_) {
    // A hostile peer has completed the message over another path meanwhile, or the connection has failed: the
    // buffer is the caller's again. Nothing on this path between two turns can do that, so once a turn is
    // enough.
    place_ = place_begin_ = nullptr;
  }
  for (std::size_t budget = kReceiveBudgetBytes; budget != 0;) {
    std::size_t asked = 0;
    ssize_t got = read_some(asked);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      return StreamOutcome::kBroken;
    }
    if (got == 0) return StreamOutcome::kClosed;
    moved = true;
    std::size_t left = static_cast<std::size_t>(got);
    budget -= std::min(budget, left);
    if (in_payload()) {
      std::uint32_t bytes = static_cast<std::uint32_t>(std::min<std::size_t>(left, payload_left_));
      if (place_) place_ += bytes;
      payload_left_ -= bytes;
      left -= bytes;
      if (payload_left_ == 0) {
        StreamOutcome outcome = end_payload(endpoint, now);
        if (outcome != StreamOutcome::kMoved) return outcome;
      }
    }
    staged_ += left;
    StreamOutcome outcome = parse_staging(endpoint, now);
    if (outcome != StreamOutcome::kMoved) return outcome;
    if (static_cast<std::size_t>(got) < asked) break;  // the socket is empty
    budget -= std::min(budget, std::exchange(decoded_bytes_, 0));
  }
  return moved ? StreamOutcome::kMoved : StreamOutcome::kIdle;
}

// Reads the rest of a payload into place and what follows it into staging, which holds no more than an
// incomplete header here. A payload that nobody wants is dropped inside the kernel (MSG_TRUNC, tcp(7)).
ssize_t PathStream::read_some(std::size_t& asked) {
  const MovingTime time(coder_, payload_left_);
  if (in_payload() && !place_) {
    asked = payload_left_;
    return recv(socket_.fd(), nullptr, asked, MSG_TRUNC | MSG_DONTWAIT);
  }
  iovec parts[2];
  int count = 0;
  if (in_payload()) parts[count++] = {place_, payload_left_};
  std::size_t room = payload_left_ > kLargePayload ? kHeaderBytes : kStagingBytes - staged_;
  parts[count++] = {staging_.data() + staged_, room};
  asked = payload_left_ + room;
  if (count == 1) return recv(socket_.fd(), parts[0].iov_base, room, MSG_DONTWAIT);
  return readv(socket_.fd(), parts, count);
}

StreamOutcome PathStream::parse_staging(multipath::Endpoint& endpoint, TimePoint now) {
  while (staged_ - consumed_ >= kHeaderBytes && !in_payload()) {
    StreamOutcome outcome = begin_frame(endpoint, now);
    if (outcome != StreamOutcome::kMoved) return outcome;
    if (!in_payload()) continue;
    // The rest is still to come, and what is here of it is the end of staging.
    std::uint32_t bytes = static_cast<std::uint32_t>(staged_ - consumed_);
    if (place_) {
      std::memcpy(place_, staging_.data() + consumed_, bytes);
      place_ += bytes;
    }
    consumed_ += bytes;
    payload_left_ -= bytes;
  }
  staged_ -= consumed_;
  if (staged_ != 0) std::memmove(staging_.data(), staging_.data() + consumed_, staged_);
  consumed_ = 0;
  return StreamOutcome::kMoved;
}

StreamOutcome PathStream::begin_frame(multipath::Endpoint& endpoint, TimePoint now) {
  auto bytes = std::span<const std::byte, kHeaderBytes>(staging_.data() + consumed_, kHeaderBytes);
  consumed_ += kHeaderBytes;
  multipath::FrameError error = multipath::decode(bytes, header_, coder_ != nullptr);
  if (error != multipath::FrameError::kNone) return protocol_error(multipath::to_string(error));
  if (acknowledges_queued(header_))
    return protocol_error("an acknowledgement of frames that were never sent");
  if (header_.type == FrameType::kData && header_.length != 0) {
    multipath::Landing landing = endpoint.data_begins(path_, incarnation_, header_);
    if (landing.verdict == multipath::LandingVerdict::kProtocolError) return protocol_error(landing.error);
    place_ = place_begin_ = landing.at;
    if (is_coded()) {
      if (header_.length > coder_->largest_chunk_bytes())
        return protocol_error("a coded chunk that is larger than the agreed limit");
      place_ = decoding_.get();
    }
    if (header_.wire_length() <= staged_ - consumed_) return take_staged_payload(landing, endpoint, now);
    payload_left_ = header_.wire_length();
    return StreamOutcome::kMoved;
  }
  if (const char* wrong = endpoint.handle_frame(path_, incarnation_, header_, now))
    return protocol_error(wrong);
  return StreamOutcome::kMoved;
}

// A small message came with its header.
StreamOutcome PathStream::take_staged_payload(const multipath::Landing& landing,
                                              multipath::Endpoint& endpoint, TimePoint now) {
  const std::byte* payload = staging_.data() + consumed_;
  consumed_ += header_.wire_length();
  std::byte* place = std::exchange(place_, nullptr);
  if (is_coded()) return land_coded(payload, landing, endpoint, now);
  if (place) std::memcpy(place, payload, header_.length);
  if (coder_) coder_->note_plain_received(header_.length);
  if (!has_good_payload()) return StreamOutcome::kBadChecksum;
  if (const char* wrong = endpoint.data_landed(path_, incarnation_, header_, landing, now))
    return protocol_error(wrong);
  return StreamOutcome::kMoved;
}

bool PathStream::has_good_payload() const {
  bool check = (header_.flags & multipath::kFlagChecksum) && place_begin_;
  return !check || multipath::crc32c(0, place_begin_, header_.length) == header_.payload_checksum;
}

// Between the first byte and the last of a coded payload anything may have happened at the endpoint; what
// counts is whether its chunk is wanted now, and nothing happens between this and its landing.
StreamOutcome PathStream::land_coded(const std::byte* slot, const multipath::Landing& landing,
                                     multipath::Endpoint& endpoint, TimePoint now) {
  if (landing.verdict == multipath::LandingVerdict::kProtocolError) return protocol_error(landing.error);
  place_begin_ = landing.at;
  if (landing.at) {
    Status decoded = coder_->decode({slot, header_.coded_length}, {landing.at, header_.length});
    if (!decoded) return protocol_error(decoded.message());
    decoded_bytes_ += header_.length;
  }
  if (!has_good_payload()) return StreamOutcome::kBadChecksum;
  if (const char* wrong = endpoint.data_landed(path_, incarnation_, header_, landing, now))
    return protocol_error(wrong);
  return StreamOutcome::kMoved;
}

StreamOutcome PathStream::end_payload(multipath::Endpoint& endpoint, TimePoint now) {
  if (is_coded()) {
    place_ = nullptr;
    return land_coded(decoding_.get(), endpoint.data_begins(path_, incarnation_, header_), endpoint, now);
  }
  if (coder_) coder_->note_plain_received(header_.length);
  if (!has_good_payload()) return StreamOutcome::kBadChecksum;
  if (const char* wrong = endpoint.data_landed(path_, incarnation_, header_, now))
    return protocol_error(wrong);
  return StreamOutcome::kMoved;
}

// A data frame that waits here has not been sent, or not to its end. Were its acknowledgement believed, the
// send would complete and the caller's buffer be reused while the queue still refers to it.
bool PathStream::acknowledges_queued(const FrameHeader& header) const {
  for (std::size_t i = 0; i < queued_; ++i) {
    const QueuedFrame& frame = queue_[(queue_first_ + i) % kQueueFrames];
    if (frame.length != 0)
      return multipath::serial_distance(frame.path_sequence, header.path_acknowledged) > 0;
  }
  return false;
}

void PathStream::enqueue(const multipath::Transmission& transmission) {
  QueuedFrame& frame = queue_[(queue_first_ + queued_++) % kQueueFrames];
  frame.path_sequence = transmission.header.path_sequence;
  frame.payload = transmission.payload;
  frame.length = transmission.header.length;
  if (frame.length != 0 && (payload_checksum_ || coder_ != nullptr)) {
    FrameHeader header = transmission.header;
    if (payload_checksum_) {
      header.flags |= multipath::kFlagChecksum;
      header.payload_checksum = multipath::crc32c(0, frame.payload, frame.length);
    }
    if (coder_ != nullptr) code(frame, header, transmission.header.message_bytes);
    multipath::encode(header, frame.header);
  } else {
    multipath::encode(transmission.header, frame.header);
  }
  queued_bytes_ += frame.length;
}

void PathStream::code(QueuedFrame& frame, FrameHeader& header, std::uint64_t message_bytes) {
  std::span<std::byte> room(coding_.get() + coding_used_, coding_bytes_ - coding_used_);
  const std::size_t coded = coder_->encode({frame.payload, frame.length}, message_bytes, room);
  if (coded == 0) return coder_->note_plain_sent(frame.length);
  coding_used_ += coded;
  coding_step_ = PayloadCoder::room_for(frame.length);
  header.flags |= multipath::kFlagCoded;
  header.coded_length = static_cast<std::uint32_t>(coded);
  frame.payload = room.data();
  frame.length = header.coded_length;
}

StreamOutcome PathStream::flush() {
  const MovingTime time(coder_, queued_bytes_);
  while (queued_ != 0) {
    std::size_t asked = 0;
    ssize_t sent = queued_ <= kFewFrames && queued_bytes_ <= kFewBytes ? send_few(asked) : send_many(asked);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return StreamOutcome::kBlocked;
      return StreamOutcome::kBroken;
    }
    drop_sent(static_cast<std::size_t>(sent));
    if (static_cast<std::size_t>(sent) < asked) return StreamOutcome::kBlocked;
  }
  return StreamOutcome::kMoved;
}

// A small message and the clear-to-send that goes with it: copying them together costs less than the kernel's
// taking of a vector.
ssize_t PathStream::send_few(std::size_t& asked) {
  std::array<std::byte, kFewFrames * kHeaderBytes + kFewBytes> together;
  std::size_t size = 0;
  for (std::size_t i = 0; i < queued_; ++i) {
    const QueuedFrame& frame = queue_[(queue_first_ + i) % kQueueFrames];
    std::memcpy(together.data() + size, frame.header.data(), kHeaderBytes);
    size += kHeaderBytes;
    if (frame.length != 0) std::memcpy(together.data() + size, frame.payload, frame.length);
    size += frame.length;
  }
  asked = size - first_sent_bytes_;
  return ::send(socket_.fd(), together.data() + first_sent_bytes_, asked, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t PathStream::send_many(std::size_t& asked) {
  std::array<iovec, 2 * kQueueFrames> parts;
  std::size_t count = 0;
  std::size_t skip = first_sent_bytes_;
  auto add = [&](const std::byte* data, std::size_t bytes) {
    std::size_t skipped = std::min(skip, bytes);
    skip -= skipped;
    if (bytes == skipped) return;
    parts[count++] = {const_cast<std::byte*>(data) + skipped, bytes - skipped};
    asked += bytes - skipped;
  };
  for (std::size_t i = 0; i < queued_; ++i) {
    const QueuedFrame& frame = queue_[(queue_first_ + i) % kQueueFrames];
    add(frame.header.data(), kHeaderBytes);
    if (frame.length != 0) add(frame.payload, frame.length);
  }
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = count;
  return sendmsg(socket_.fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void PathStream::drop_sent(std::size_t bytes) {
  bytes += first_sent_bytes_;
  while (queued_ != 0) {
    std::size_t whole = kHeaderBytes + queue_[queue_first_].length;
    if (bytes < whole) break;
    bytes -= whole;
    queued_bytes_ -= queue_[queue_first_].length;
    queue_first_ = (queue_first_ + 1) % kQueueFrames;
    --queued_;
  }
  first_sent_bytes_ = bytes;
  if (queued_ == 0) coding_used_ = 0;
}

bool PathStream::abandon_buffers() {
  if (!is_coded()) place_ = place_begin_ = nullptr;
  for (std::size_t i = 0; i < queued_; ++i)
    if (queue_[(queue_first_ + i) % kQueueFrames].length != 0) return false;
  return true;
}

int PathStream::unacknowledged_bytes() const {
  int bytes = 0;
  return ioctl(socket_.fd(), SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

PathStream::KernelView PathStream::kernel_view() const {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(socket_.fd(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  bool silent_window = info.tcpi_probes != 0;  // a closed window is asked about, and nothing answers
  return {info.tcpi_bytes_acked + info.tcpi_delivered + info.tcpi_bytes_received, info.tcpi_bytes_received,
          info.tcpi_unacked == 0 && !silent_window};
}

}  // namespace weft::tcp
