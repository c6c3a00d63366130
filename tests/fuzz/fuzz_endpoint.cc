// A hostile peer behind the handshake: any frames in any order on four paths, against an endpoint that is
// driven as transport/engine drives it. A path here is what a TCP stream is: it may be in the middle of a
// payload, and what was queued on it still refers to the caller's buffer. Buffers are freed as soon as their
// completion is taken, so that AddressSanitizer sees every byte that lands, or is read, too late or outside.
//
// Input: one byte (bit 0: we are the end that reconnects), then operations; see operate().
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tests/fuzz/require.h"
#include "transport/multipath/endpoint.h"
#include "transport/tcp/byte_cursor.h"

using namespace weft::multipath;
using weft::Completion;
using weft::RequestId;
using weft::fuzz::require;
using weft::tcp::ByteReader;

namespace {

constexpr std::size_t kPaths = 4;
constexpr std::size_t kMaxRequests = 64;  // of one input, which bounds its memory

struct PartialLanding {
  FrameHeader header;
  std::byte* at = nullptr;  // null: the payload is dropped
};

struct Stream {
  bool open = false;
  Incarnation incarnation{};
  std::optional<PartialLanding> landing;  // a payload of which only the beginning has come
  std::vector<Transmission> queued;       // not taken by the kernel yet
};

class Driver {
 public:
  Driver(bool connects, std::span<const std::byte> input) : endpoint_(config(connects)), in_(input) {
    for (std::size_t i = 0; i < kPaths; ++i) connect(static_cast<PathId>(i), Incarnation{1});
  }

  void run() {
    while (in_.left() != 0 && !in_.overrun()) {
      operate();
      drive();
    }
    endpoint_.abandon();
    drive();
    for (const auto& [request, buffer] : buffers_) {
      require(endpoint_.take_completion(request).done, "every request of an abandoned endpoint is done");
    }
  }

 private:
  static EndpointConfig config(bool connects) {
    EndpointConfig config;
    config.path_planes = {PlaneId{0}, PlaneId{0}, PlaneId{1}, PlaneId{1}};
    config.connects = connects;
    return config;
  }

  void operate() {
    const std::uint8_t operation = in_.u8();
    const auto path = static_cast<PathId>(operation >> 4 & 3);
    switch (operation & 15) {
      case 0:
        return post_receive();
      case 1:
        return post_send();
      case 2:
      case 3:
      case 4:
        return frame(path, false);
      case 5:
        return frame(path, true);
      case 6:
        return finish_landing(path);
      case 7:
        return take_completion();
      case 8:
        now_ += std::chrono::milliseconds(in_.u8());
        return endpoint_.tick(now_);
      case 9:
        return flush(path, in_.u8());
      case 10:
        return lose(path, static_cast<LossReason>(in_.u8() % 8));
      case 11:
        return connect(path, static_cast<Incarnation>(number(endpoint_.paths()[index(path)].incarnation) +
                                                      in_.u8() % 4));
      case 12:
        return reconnect(path, in_.u8() % 2 == 0);
      case 13:
        return endpoint_.path_blocked(path);
      case 14:
        return endpoint_.path_writable(path);
      case 15:
        return rare(path, in_.u8());
    }
  }

  void rare(PathId path, std::uint8_t which) {
    switch (which % 4) {
      case 0:
        endpoint_.flush_feedback();
        return;
      case 1:
        endpoint_.set_denied(path, true);
        return;
      case 2:
        endpoint_.set_denied(path, false);
        return;
      case 3:
        endpoint_.close(now_);
        return;
    }
  }

  std::unique_ptr<std::byte[]> buffer(std::size_t bytes) {
    auto made = std::make_unique<std::byte[]>(bytes);
    std::memset(made.get(), 0x77, bytes);
    return made;
  }

  void post_receive() {
    const std::size_t bytes = in_.u16();
    const std::uint32_t tag = in_.u8() & 3;
    if (posted_ == kMaxRequests) return;
    auto memory = buffer(bytes);
    const RequestId request = endpoint_.post_receive(memory.get(), bytes, tag);
    if (request == RequestId::kNone) return;
    ++posted_;
    require(buffers_.emplace(request, std::move(memory)).second, "an id names one request");
  }

  void post_send() {
    const std::size_t bytes = std::size_t{in_.u16()} * 8;
    const std::uint32_t tag = in_.u8() & 3;
    if (posted_ == kMaxRequests) return;
    auto memory = buffer(bytes);
    const RequestId request = endpoint_.post_send(now_, memory.get(), bytes, tag);
    if (request == RequestId::kNone) return;
    ++posted_;
    require(buffers_.emplace(request, std::move(memory)).second, "an id names one request");
  }

  void take_completion() {
    if (buffers_.empty()) return;
    auto it = buffers_.begin();
    std::advance(it, in_.u8() % buffers_.size());
    const Completion completion = endpoint_.take_completion(it->first);
    if (completion.done) buffers_.erase(it);
  }

  // Fields within a byte reach the interesting values; `wild` reads them whole.
  FrameHeader read_header(bool wild) {
    FrameHeader header;
    header.type = static_cast<FrameType>(in_.u8() % 8 + 1);
    header.flags = in_.u8() & kAllFlags;
    header.chunk_shift = in_.u8();
    header.slot = wild ? in_.u16() : in_.u8();
    header.epoch = wild ? in_.u32() : in_.u8();
    header.offset = wild ? in_.u64() : std::uint64_t{in_.u8()} << (header.chunk_shift & 15);
    header.message_bytes = wild ? in_.u64() : in_.u16();
    header.path_sequence = wild ? in_.u32() : in_.u8();
    header.account_incarnation = wild ? in_.u32() : in_.u8();
    header.tag = in_.u8() & 3;
    header.path_acknowledged = wild ? in_.u32() : in_.u8();
    header.credit_seen = wild ? in_.u32() : in_.u8();
    if (header.type == FrameType::kData) header.length = wild ? in_.u32() : in_.u16();
    return header;
  }

  void frame(PathId path, bool wild) {
    const FrameHeader header = read_header(wild);
    const bool whole = (in_.u8() & 1) != 0;
    finish_landing(path);
    Stream& stream = streams_[index(path)];
    if (!stream.open) return;
    if (!stream.queued.empty() &&
        serial_distance(stream.queued.front().header.path_sequence, header.path_acknowledged) > 0) {
      return lose(path, LossReason::kProtocolError);
    }
    if (header.type != FrameType::kData || header.length == 0) {
      if (endpoint_.handle_frame(path, stream.incarnation, header, now_) != nullptr) {
        lose(path, LossReason::kProtocolError);
      }
      return;
    }
    const Landing landing = endpoint_.data_begins(path, stream.incarnation, header);
    if (landing.verdict == LandingVerdict::kProtocolError) {
      require(landing.error != nullptr, "a protocol error has words");
      return lose(path, LossReason::kProtocolError);
    }
    require((landing.verdict == LandingVerdict::kPlace) == (landing.at != nullptr),
            "what is placed has a place");
    stream.landing = PartialLanding{header, landing.at};
    if (landing.at != nullptr) *landing.at = std::byte{0x11};
    if (whole) finish_landing(path);
  }

  // The rest of the payload arrives.
  void finish_landing(PathId path) {
    Stream& stream = streams_[index(path)];
    if (!stream.open || !stream.landing) return;
    PartialLanding landing = *stream.landing;
    stream.landing.reset();
    if (endpoint_.data_begins(path, stream.incarnation, landing.header).at != landing.at)
      landing.at = nullptr;
    if (landing.at != nullptr) std::memset(landing.at, 0x22, landing.header.length);
    if (endpoint_.data_landed(path, stream.incarnation, landing.header, now_) != nullptr) {
      lose(path, LossReason::kProtocolError);
    }
  }

  // The kernel takes the first `frames` of what is queued.
  void flush(PathId path, std::size_t frames) {
    Stream& stream = streams_[index(path)];
    frames = std::min(frames, stream.queued.size());
    for (std::size_t i = 0; i < frames; ++i) read_payload(stream.queued[i]);
    stream.queued.erase(stream.queued.begin(), stream.queued.begin() + static_cast<std::ptrdiff_t>(frames));
  }

  void read_payload(const Transmission& frame) {
    for (std::uint32_t i = 0; i < frame.header.length; ++i) {
      require(frame.payload[i] == std::byte{0x77}, "what is sent is what the caller posted");
    }
  }

  void abandon_buffers() {
    for (std::size_t i = 0; i < kPaths; ++i) {
      if (streams_[i].landing) streams_[i].landing->at = nullptr;
      if (!streams_[i].queued.empty()) lose(static_cast<PathId>(i), LossReason::kClosed);
    }
  }

  void close_stream(PathId path) {
    Stream& stream = streams_[index(path)];
    stream.open = false;
    stream.landing.reset();
    stream.queued.clear();
  }

  void lose(PathId path, LossReason reason) {
    const Stream& stream = streams_[index(path)];
    if (!stream.open) return;
    const Incarnation incarnation = stream.incarnation;
    close_stream(path);
    endpoint_.path_lost(path, incarnation, reason, now_);
  }

  void connect(PathId path, Incarnation incarnation) {
    if (!endpoint_.may_connect(path, incarnation)) return;
    lose(path, LossReason::kReplaced);
    if (!endpoint_.path_connected(path, incarnation, now_)) return;
    Stream& stream = streams_[index(path)];
    stream.open = true;
    stream.incarnation = incarnation;
  }

  void reconnect(PathId path, bool works) {
    auto& wanted = wanted_[index(path)];
    if (!wanted) return;
    const Incarnation incarnation = *wanted;
    wanted.reset();
    if (!works) return endpoint_.reconnect_failed(path, now_);
    connect(path, incarnation);
  }

  void drive() {
    for (int round = 0;; ++round) {
      require(round < 1000, "an endpoint comes to rest without news");
      bool more = false;
      Transmission transmission;
      for (int sent = 0; endpoint_.poll_transmit(now_, transmission); ++sent) {
        require(sent < 100000, "an endpoint has a bounded amount to send");
        Stream& stream = streams_[index(transmission.path)];
        if (stream.open && transmission.header.length != 0) stream.queued.push_back(transmission);
      }
      Action action;
      while (endpoint_.poll_action(action)) {
        more = true;
        if (action.kind == ActionKind::kFence) {
          close_stream(action.path);
          endpoint_.path_fenced(action.path, now_);
        } else if (action.kind == ActionKind::kReconnect) {
          wanted_[index(action.path)] = action.incarnation;
        } else if (action.kind == ActionKind::kFailed || action.kind == ActionKind::kPeerClosed) {
          abandon_buffers();
        }
      }
      if (!more) return;
    }
  }

  Endpoint endpoint_;
  ByteReader in_;
  TimePoint now_{std::chrono::seconds(1)};
  std::array<Stream, kPaths> streams_;
  std::array<std::optional<Incarnation>, kPaths> wanted_;
  std::map<RequestId, std::unique_ptr<std::byte[]>> buffers_;
  std::size_t posted_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 4096) return 0;
  Driver((data[0] & 1) != 0, std::as_bytes(std::span(data, size)).subspan(1)).run();
  return 0;
}
