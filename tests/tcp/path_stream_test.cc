// The framing on a real socket against a hostile peer: buffers that are the caller's again are out of its
// reach.
#include "transport/tcp/path_stream.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <vector>

#include "compression/slot/codec.h"

namespace weft::tcp {
namespace {

using multipath::Endpoint;
using multipath::FrameHeader;
using multipath::FrameType;
using multipath::Incarnation;
using multipath::PathId;
using multipath::PlaneId;
using multipath::TimePoint;
using ::testing::HasSubstr;

constexpr TimePoint kNow{std::chrono::seconds(1)};

struct Pair {
  Socket ours, peers;
};

// TCP, because streams drop unwanted payload inside the kernel as only TCP can.
Pair connected_pair(int buffer_bytes = 0) {
  const Socket listener(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(bind(listener.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(listen(listener.fd(), 1), 0);
  EXPECT_EQ(getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  Pair pair;
  pair.peers = Socket(socket(AF_INET, SOCK_STREAM, 0));
  if (buffer_bytes != 0) {
    setsockopt(pair.peers.fd(), SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
  }
  EXPECT_EQ(connect(pair.peers.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  pair.ours = Socket(accept4(listener.fd(), nullptr, nullptr, SOCK_NONBLOCK));
  if (buffer_bytes != 0) {
    setsockopt(pair.ours.fd(), SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
  }
  EXPECT_TRUE(pair.ours.is_open());
  return pair;
}

class HostilePeer : public ::testing::Test {
 protected:
  HostilePeer() : endpoint_(config()) {}

  static multipath::EndpointConfig config() {
    multipath::EndpointConfig config;
    config.path_planes = {PlaneId{0}, PlaneId{0}};
    return config;
  }

  PathStream open(PathId path, Pair* pair, PayloadCoder* coder = nullptr) {
    EXPECT_TRUE(endpoint_.path_connected(path, Incarnation{1}, kNow));
    return PathStream(std::move(pair->ours), path, Incarnation{1}, false, coder);
  }

  static void say(const Pair& pair, const FrameHeader& header, std::size_t payload_bytes, std::byte value) {
    std::array<std::byte, multipath::kHeaderBytes> bytes;
    multipath::encode(header, bytes);
    ASSERT_EQ(send(pair.peers.fd(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    pour(pair, payload_bytes, value);
  }
  static void pour(const Pair& pair, std::size_t count, std::byte value) {
    const std::vector<std::byte> payload(count, value);
    ASSERT_EQ(send(pair.peers.fd(), payload.data(), payload.size(), 0), static_cast<ssize_t>(payload.size()));
  }

  // Until all that was said is read; loopback may hand it over in pieces.
  StreamOutcome hear(PathStream& stream) {
    StreamOutcome outcome = StreamOutcome::kIdle;
    pollfd waiting{stream.fd(), POLLIN, 0};
    while (poll(&waiting, 1, 50) == 1) {
      outcome = stream.receive(endpoint_, kNow);
      if (outcome != StreamOutcome::kMoved && outcome != StreamOutcome::kIdle) break;
    }
    return outcome;
  }

  static FrameHeader data(std::uint32_t bytes) {
    FrameHeader header;
    header.type = FrameType::kData;
    header.chunk_shift = 16;
    header.length = bytes;
    header.message_bytes = bytes;
    return header;
  }

  Endpoint endpoint_;
};

// The same peer where coded payloads were agreed on.
class HostileCodingPeer : public HostilePeer {
 protected:
  static constexpr std::uint32_t kBytes = 40000, kLimit = 65536;

  // Numbers whose exponents are alike.
  static std::vector<std::byte> numbers(std::size_t bytes, unsigned seed) {
    std::vector<std::byte> all(bytes);
    for (std::size_t i = 0; i < bytes; ++i)
      all[i] = i % 2 == 1 ? std::byte{0x3f} : static_cast<std::byte>((i * 131 + seed) * 2654435761u >> 13);
    return all;
  }
  static std::vector<std::byte> slot_of(const std::vector<std::byte>& payload) {
    using namespace compression;
    std::vector<std::byte> slot(max_slot_bytes(ElementType::kBfloat16, Level::kFast, payload.size()));
    slot.resize(*pack(payload, ElementType::kBfloat16, Level::kFast, slot));
    return slot;
  }
  static FrameHeader coded(std::uint32_t bytes, std::size_t slot_bytes) {
    FrameHeader header = data(bytes);
    header.flags = multipath::kFlagCoded;
    header.coded_length = static_cast<std::uint32_t>(slot_bytes);
    return header;
  }
  static void pour(const Pair& pair, std::span<const std::byte> bytes) {
    ASSERT_EQ(send(pair.peers.fd(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }

  // What comes of a coded frame for a receive of kBytes.
  StreamOutcome outcome_of(const FrameHeader& header, const std::vector<std::byte>& slot) {
    Pair pair = connected_pair();
    PathStream stream = open(PathId{0}, &pair, &coder_);
    const RequestId request = endpoint_.post_receive(buffer_.data(), kBytes, 0);
    say(pair, header, 0, {});
    pour(pair, slot);
    const StreamOutcome outcome = hear(stream);
    error_ = stream.error();
    is_done_ = endpoint_.take_completion(request).done;
    return outcome;
  }

  PayloadCoder coder_{{CompressionChoice::kFast, true, kLimit}};
  std::vector<std::byte> buffer_ = std::vector<std::byte>(2 * kBytes, std::byte{0xee});
  std::string error_;
  bool is_done_ = false;
};

TEST_F(HostileCodingPeer, IsHeardWhenItMeansWell) {
  const auto payload = numbers(kBytes, 1);
  const auto slot = slot_of(payload);
  EXPECT_EQ(outcome_of(coded(kBytes, slot.size()), slot), StreamOutcome::kMoved);
  EXPECT_TRUE(is_done_);
  EXPECT_TRUE(std::equal(payload.begin(), payload.end(), buffer_.begin()));
  EXPECT_EQ(buffer_[kBytes], std::byte{0xee});
}

TEST_F(HostileCodingPeer, CannotDecodeIntoABufferAfterTheMessageIsComplete) {
  const auto slot = slot_of(numbers(kBytes, 1));
  Pair first = connected_pair(), second = connected_pair();
  PathStream stream_1 = open(PathId{0}, &first, &coder_), stream_2 = open(PathId{1}, &second, &coder_);
  const RequestId request = endpoint_.post_receive(buffer_.data(), kBytes, 0);
  say(first, coded(kBytes, slot.size()), 0, {});
  pour(first, std::span(slot).first(slot.size() - 1));
  hear(stream_1);
  EXPECT_EQ(std::count(buffer_.begin(), buffer_.end(), std::byte{0xee}),
            static_cast<std::ptrdiff_t>(buffer_.size()))
      << "half a slot lands nowhere";
  say(second, data(kBytes), kBytes, std::byte{2});
  hear(stream_2);
  ASSERT_TRUE(endpoint_.take_completion(request).done);

  std::fill(buffer_.begin(), buffer_.end(), std::byte{3});
  pour(first, std::span(slot).last(1));
  EXPECT_EQ(hear(stream_1), StreamOutcome::kMoved);
  EXPECT_EQ(std::count(buffer_.begin(), buffer_.end(), std::byte{3}),
            static_cast<std::ptrdiff_t>(buffer_.size()));
}

TEST_F(HostileCodingPeer, IsThrownOutForSlotsThatAreNone) {
  auto slot = slot_of(numbers(kBytes, 1));
  const FrameHeader header = coded(kBytes, slot.size());
  slot[0] ^= std::byte{1};
  EXPECT_EQ(outcome_of(header, slot), StreamOutcome::kProtocolError);
  EXPECT_THAT(error_, HasSubstr("not a coded slot"));
  EXPECT_FALSE(is_done_);
}

TEST_F(HostileCodingPeer, IsThrownOutForASlotOfAnotherLength) {
  const auto slot = slot_of(numbers(kBytes + 2, 1));
  EXPECT_EQ(outcome_of(coded(kBytes, slot.size()), slot), StreamOutcome::kProtocolError);
  EXPECT_THAT(error_, HasSubstr("are expected"));
  EXPECT_EQ(buffer_[kBytes], std::byte{0xee});
}

TEST_F(HostileCodingPeer, IsThrownOutForASlotThatEndsBeforeItsFrame) {
  auto slot = slot_of(numbers(kBytes, 1));
  slot.resize(slot.size() + 4);
  EXPECT_EQ(outcome_of(coded(kBytes, slot.size()), slot), StreamOutcome::kProtocolError);
  EXPECT_THAT(error_, HasSubstr("longer than its slot"));
}

TEST_F(HostileCodingPeer, IsThrownOutForAFrameThatEndsBeforeItsSlot) {
  auto slot = slot_of(numbers(kBytes, 1));
  slot.resize(slot.size() - 4);
  EXPECT_EQ(outcome_of(coded(kBytes, slot.size()), slot), StreamOutcome::kProtocolError);
  EXPECT_FALSE(is_done_);
}

TEST_F(HostileCodingPeer, IsThrownOutForChunksBeyondTheLimitBeforeTheyCome) {
  std::vector<std::byte> large(4 * kLimit);
  Pair pair = connected_pair();
  PathStream stream = open(PathId{0}, &pair, &coder_);
  endpoint_.post_receive(large.data(), large.size(), 0);
  FrameHeader header = coded(2 * kLimit, 100);
  header.chunk_shift = 17;
  say(pair, header, 0, {});
  EXPECT_EQ(hear(stream), StreamOutcome::kProtocolError);
  EXPECT_THAT(stream.error(), HasSubstr("larger than the agreed limit"));
}

TEST_F(HostileCodingPeer, IsThrownOutWhereNothingWasAgreed) {
  const auto slot = slot_of(numbers(kBytes, 1));
  Pair pair = connected_pair();
  PathStream stream = open(PathId{0}, &pair);
  endpoint_.post_receive(buffer_.data(), kBytes, 0);
  say(pair, coded(kBytes, slot.size()), 0, {});
  EXPECT_EQ(hear(stream), StreamOutcome::kProtocolError);
  EXPECT_THAT(stream.error(), HasSubstr("unknown flags"));
}

// Any bit of a slot, in turn: either the path ends, or the message arrives, perhaps with other numbers in it.
TEST_F(HostileCodingPeer, WritesNowhereElseWhateverItSays) {
  const auto good = slot_of(numbers(4096, 1));
  for (std::size_t at = 0; at < std::min<std::size_t>(good.size(), 64); ++at) {
    auto slot = good;
    slot[at] ^= static_cast<std::byte>(1 << at % 8);
    std::vector<std::byte> destination(4096 + 4096, std::byte{0xee});
    const Status decoded = coder_.decode(slot, std::span(destination).first(4096));
    if (!decoded) {
      EXPECT_EQ(decoded.code(), StatusCode::kProtocolError);
    }
    EXPECT_EQ(std::count(destination.begin() + 4096, destination.end(), std::byte{0xee}), 4096);
  }
}

TEST_F(HostilePeer, CannotFinishAPayloadAfterTheMessageIsComplete) {
  constexpr std::size_t kBytes = 40000;
  Pair first = connected_pair(), second = connected_pair();
  PathStream stream_1 = open(PathId{0}, &first), stream_2 = open(PathId{1}, &second);
  std::vector<std::byte> buffer(kBytes);
  const RequestId request = endpoint_.post_receive(buffer.data(), buffer.size(), 0);

  say(first, data(kBytes), kBytes / 2, std::byte{1});
  hear(stream_1);
  EXPECT_EQ(buffer[kBytes / 2 - 1], std::byte{1}) << "the first half lands";
  say(second, data(kBytes), kBytes, std::byte{2});
  hear(stream_2);
  ASSERT_TRUE(endpoint_.take_completion(request).done);

  std::fill(buffer.begin(), buffer.end(), std::byte{3});
  pour(first, kBytes / 2, std::byte{4});
  hear(stream_1);
  EXPECT_EQ(std::count(buffer.begin(), buffer.end(), std::byte{3}), static_cast<std::ptrdiff_t>(kBytes));
}

TEST_F(HostilePeer, CannotAcknowledgeWhatWasNotSent) {
  constexpr std::size_t kBytes = 8 * 1024 * 1024;
  Pair pair = connected_pair(4096);
  PathStream stream = open(PathId{0}, &pair);
  FrameHeader credit;
  credit.type = FrameType::kClearToSend;
  credit.message_bytes = kBytes;
  say(pair, credit, 0, {});
  ASSERT_EQ(hear(stream), StreamOutcome::kMoved);
  const std::vector<std::byte> buffer(kBytes);
  const RequestId request = endpoint_.post_send(kNow, buffer.data(), buffer.size(), 0);
  multipath::Transmission transmission;
  while (!stream.wants_flush() && endpoint_.poll_transmit(kNow, transmission)) stream.enqueue(transmission);
  ASSERT_EQ(stream.flush(), StreamOutcome::kBlocked);

  FrameHeader acknowledgement;
  acknowledgement.type = FrameType::kFeedback;
  acknowledgement.path_acknowledged = endpoint_.paths()[0].in_flight_frames();
  ASSERT_GT(acknowledgement.path_acknowledged, 0u);
  say(pair, acknowledgement, 0, {});
  EXPECT_EQ(hear(stream), StreamOutcome::kProtocolError);
  EXPECT_THAT(stream.error(), HasSubstr("never sent"));
  EXPECT_FALSE(endpoint_.take_completion(request).done);
}

}  // namespace
}  // namespace weft::tcp
