// The accepting end of a link, driven as it is in service, against a peer that sends what no Weft would: real
// UCX, real frames. What is refused closes the path, says why, and leaves the caller's buffers alone.
#include "transport/ucx/link_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <functional>

#include "tests/ucx/raw_peer.h"
#include "tests/ucx/test_device.h"
#include "transport/engine/link.h"
#include "transport/multipath/crc32c.h"
#include "transport/ucx/path_offer.h"

namespace weft::ucx {
namespace {

using multipath::FrameHeader;
using multipath::FrameType;
using ::testing::HasSubstr;
using Way = RawPeer::Way;

constexpr std::chrono::seconds kPatience{60};
constexpr std::size_t kChunk = std::size_t{1} << 20;
constexpr std::size_t kPaths = 2;

std::vector<std::byte> filled(std::size_t bytes, int value) {
  return std::vector<std::byte>(bytes, static_cast<std::byte>(value));
}

// A chunk of the first receive.
FrameHeader chunk(std::uint32_t sequence, std::uint32_t number, std::size_t message_bytes) {
  FrameHeader header;
  header.type = FrameType::kData;
  header.chunk_shift = 20;
  header.path_sequence = sequence;
  header.offset = std::uint64_t{number} * kChunk;
  header.message_bytes = message_bytes;
  header.length = static_cast<std::uint32_t>(std::min(kChunk, message_bytes - header.offset));
  return header;
}

class UcxLinkBackend : public ::testing::Test {
 protected:
  void SetUp() override {
    auto library = ucx_library();
    if (!library) GTEST_SKIP() << library.status().message();
    auto context = open_test_device(**library);
    ASSERT_TRUE(context.is_ok()) << context.status().message();
    context_ = *context;

    multipath::EndpointConfig config;
    config.path_planes.resize(kPaths);
    config.chunk_bytes = kChunk;
    config.peer_timeout = config.path_timeout = kPatience;  // nobody answers probes
    tcp::DialledPlan plan;
    plan.paths = kPaths;
    plan.path_planes.resize(kPaths);
    plan.ports = {0};
    auto log = std::make_shared<engine::Log>(
        [this](LogLevel, const std::string& message) { said_ += message + '\n'; }, LogLevel::kWarn);
    auto backend =
        std::make_unique<LinkBackend>(std::move(plan), std::make_shared<WorkerShelf>(std::vector{context_}),
                                      std::vector{context_->device().name}, log);
    backend_ = backend.get();
    link_ = std::make_unique<engine::Link>(config, std::move(backend), log);
  }

  // Everything but the first frame.
  std::unique_ptr<RawPeer> dial(std::uint8_t path) {
    auto peer = std::make_unique<RawPeer>(context_);
    tcp::Hello hello;
    hello.path_index = path;
    hello.options.push_back({kPathOfferOption, encode(PathOffer{peer->address(), "raw:1"})});
    auto prepared = backend_->prepare(hello, {});
    EXPECT_TRUE(prepared.is_ok()) << prepared.status().message();
    peer->connect(find_offer((*prepared)->options())->address);
    link_->with_endpoint([&](multipath::Endpoint& endpoint, engine::Backend&, multipath::TimePoint now) {
      backend_->await(std::move(*prepared), endpoint, now);
      return true;
    });
    return peer;
  }
  std::unique_ptr<RawPeer> connect(std::uint8_t path) {
    auto peer = dial(path);
    peer->send(FrameHeader());
    EXPECT_TRUE(wait(*peer, [&] { return is_connected(path) && !peer->heard().empty(); }));
    return peer;
  }
  bool wait(RawPeer& peer, const std::function<bool()>& done) {
    const auto limit = std::chrono::steady_clock::now() + kPatience;
    while (!done()) {
      if (std::chrono::steady_clock::now() > limit) return false;
      link_->progress();
      peer.progress();
    }
    return true;
  }
  bool is_connected(std::size_t path) {
    return link_->with_endpoint([&](multipath::Endpoint& endpoint, engine::Backend&, multipath::TimePoint) {
      return endpoint.paths()[path].connected;
    });
  }
  std::uint64_t failures(std::size_t path) {
    return link_->with_endpoint([&](multipath::Endpoint& endpoint, engine::Backend&, multipath::TimePoint) {
      return endpoint.paths()[path].failures;
    });
  }

  std::shared_ptr<DeviceContext> context_;
  std::string said_;
  std::unique_ptr<engine::Link> link_;
  LinkBackend* backend_ = nullptr;
};

TEST_F(UcxLinkBackend, TheFirstFrameMakesThePath) {
  auto peer = dial(0);
  for (int i = 0; i < 1000; ++i) {
    link_->progress();
    peer->progress();
  }
  EXPECT_FALSE(is_connected(0));
  EXPECT_FALSE(backend_->has_heard());
  peer->send(FrameHeader());
  ASSERT_TRUE(wait(*peer, [&] { return !peer->heard().empty(); }));
  EXPECT_TRUE(is_connected(0));
  EXPECT_TRUE(backend_->has_heard());
  EXPECT_EQ(peer->heard().front().type, FrameType::kProbe) << "the answer, which makes it the peer's too";
}

TEST_F(UcxLinkBackend, GarbageIsNoFirstFrame) {
  auto peer = dial(0);
  peer->send(filled(multipath::kHeaderBytes, 0), {}, Way::kAlong);
  ASSERT_TRUE(wait(*peer, [&] { return failures(0) != 0; }));
  EXPECT_FALSE(backend_->has_heard());
}

TEST_F(UcxLinkBackend, AMessageArrivesWholeByEitherWay) {
  constexpr std::size_t kBytes = 3 * kChunk + 5;
  std::vector<std::byte> sent(kBytes), received(kBytes);
  for (std::size_t i = 0; i < kBytes; ++i) sent[i] = static_cast<std::byte>(i * 31 >> 8);
  auto peer = connect(0);
  const RequestId request = link_->post_receive(received.data(), kBytes, 0);
  for (std::uint32_t i = 0; i < 4; ++i) {
    FrameHeader header = chunk(i, i, kBytes);
    header.flags = multipath::kFlagChecksum;
    header.payload_checksum = multipath::crc32c(0, sent.data() + header.offset, header.length);
    peer->send(header, std::span(sent).subspan(header.offset, header.length),
               i % 2 == 0 ? Way::kFetched : Way::kAlong);
  }
  Completion completion;
  ASSERT_TRUE(wait(*peer, [&] { return (completion = link_->test(request)).done; })) << said_;
  EXPECT_EQ(completion.status, StatusCode::kOk);
  EXPECT_EQ(completion.bytes, kBytes);
  EXPECT_TRUE(sent == received);
}

struct Misdeed {
  const char* what;  // and what is said of it
  std::function<void(RawPeer&, std::span<const std::byte> payload)> commit;
};

class UcxMisdeed : public UcxLinkBackend, public ::testing::WithParamInterface<Misdeed> {};

TEST_P(UcxMisdeed, ClosesThePathAndLeavesTheBufferAlone) {
  // The receive is smaller than what the peer has, and what lies beyond it is not the peer's.
  constexpr std::size_t kRoom = kChunk + 100;
  std::vector<std::byte> buffer = filled(2 * kChunk, 0x11);
  const std::vector<std::byte> payload = filled(2 * kChunk, 0x22);
  auto peer = connect(0);
  link_->post_receive(buffer.data(), kRoom, 0);
  GetParam().commit(*peer, payload);
  ASSERT_TRUE(wait(*peer, [&] { return failures(0) != 0; }));
  EXPECT_FALSE(is_connected(0));
  EXPECT_THAT(said_, HasSubstr(GetParam().what));
  EXPECT_THAT(said_, HasSubstr("path 0 on device " + context_->device().name));
  buffer.erase(buffer.begin(), buffer.begin() + kRoom);
  EXPECT_TRUE(buffer == filled(2 * kChunk - kRoom, 0x11));
}

std::vector<std::byte> changed(const FrameHeader& header, std::size_t at) {
  std::vector<std::byte> bytes(multipath::kHeaderBytes);
  multipath::encode(header, std::span<std::byte, multipath::kHeaderBytes>(bytes));
  bytes.at(at) ^= std::byte{1};
  return bytes;
}

const Misdeed kMisdeeds[] = {
    {"a header of the wrong length",
     [](RawPeer& peer, auto) { peer.send(filled(multipath::kHeaderBytes - 1, 0), {}, Way::kAlong); }},
    {"header checksum", [](RawPeer& peer, auto) { peer.send(changed(FrameHeader(), 20), {}, Way::kAlong); }},
    {"a payload that its header does not speak of",
     [](RawPeer& peer, auto payload) {
       peer.send(chunk(0, 0, kChunk + 100), payload.first(kChunk + 1), Way::kAlong);
     }},
    {"a payload that its header does not speak of",
     [](RawPeer& peer, auto payload) {
       peer.send(chunk(0, 0, kChunk + 100), payload.first(kChunk + 1), Way::kFetched);
     }},
    {"a payload that its header does not speak of",
     [](RawPeer& peer, auto payload) { peer.send(FrameHeader(), payload.first(kChunk), Way::kFetched); }},
    {"a message larger than its receive",
     [](RawPeer& peer, auto payload) {
       peer.send(chunk(0, 1, 2 * kChunk), payload.first(kChunk), Way::kFetched);
     }},
    {"a message larger than its receive",
     [](RawPeer& peer, auto payload) {
       peer.send(chunk(0, 1, 2 * kChunk), payload.first(kChunk), Way::kAlong);
     }},
    {"a chunk outside its message",
     [](RawPeer& peer, auto payload) {
       FrameHeader header = chunk(0, 0, kChunk + 100);
       header.offset = std::uint64_t{1} << 40;
       peer.send(header, payload.first(kChunk), Way::kFetched);
     }},
    {"data for a receive that was never posted",
     [](RawPeer& peer, auto payload) {
       FrameHeader header = chunk(0, 0, kChunk);
       header.slot = 1;
       peer.send(header, payload.first(kChunk), Way::kFetched);
     }},
    {"a slot beyond the limit",
     [](RawPeer& peer, auto payload) {
       FrameHeader header = chunk(0, 0, kChunk);
       header.slot = multipath::kSlots;
       peer.send(header, payload.first(kChunk), Way::kFetched);
     }},
    {"an acknowledgement of frames that were never sent",
     [](RawPeer& peer, auto) {
       FrameHeader header;
       header.path_acknowledged = 7;
       peer.send(header);
     }},
    {"its payload checksum is wrong",
     [](RawPeer& peer, auto payload) {
       FrameHeader header = chunk(0, 0, kChunk + 100);
       header.flags = multipath::kFlagChecksum;
       header.payload_checksum = 1;
       peer.send(header, payload.first(kChunk), Way::kAlong);
     }},
    {"its payload checksum is wrong",
     [](RawPeer& peer, auto payload) {
       FrameHeader header = chunk(0, 0, kChunk + 100);
       header.flags = multipath::kFlagChecksum;
       header.payload_checksum = 1;
       peer.send(header, payload.first(kChunk), Way::kFetched);
     }},
    // The first is still being fetched when the second comes.
    {"a chunk that another one on its way contradicts",
     [](RawPeer& peer, auto payload) {
       peer.send(chunk(0, 0, kChunk + 100), payload.first(kChunk), Way::kFetched);
       peer.send(chunk(1, 0, kChunk + 100), payload.last(kChunk), Way::kFetched);
     }},
    {"a chunk that another one on its way contradicts",
     [](RawPeer& peer, auto payload) {
       peer.send(chunk(0, 0, kChunk + 100), payload.first(kChunk), Way::kFetched);
       FrameHeader cut_short = chunk(1, 0, 0);
       cut_short.flags = multipath::kFlagTruncated;
       peer.send(cut_short);
     }},
};
INSTANTIATE_TEST_SUITE_P(Each, UcxMisdeed, ::testing::ValuesIn(kMisdeeds));

TEST_F(UcxLinkBackend, NothingLandsOnceThePathIsCut) {
  constexpr std::size_t kBytes = 32 * kChunk;
  const std::vector<std::byte> sent = filled(kBytes, 0x22);
  std::vector<std::byte> buffer = filled(kBytes, 0x11);
  auto other = connect(1);
  auto peer = connect(0);
  link_->post_receive(buffer.data(), kBytes, 0);
  for (std::uint32_t i = 0; i < 32; ++i)
    peer->send(chunk(i, i, kBytes), std::span(sent).subspan(i * kChunk, kChunk), Way::kFetched);
  ASSERT_TRUE(wait(*peer, [&] { return buffer.front() == std::byte{0x22}; }));
  ASSERT_EQ(buffer.back(), std::byte{0x11}) << "it is all here already";
  ASSERT_TRUE(link_->cut_path(0).is_ok());
  std::memset(buffer.data(), 0x33, kBytes);
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  while (std::chrono::steady_clock::now() < until) {
    link_->progress();
    peer->progress();
    other->progress();
  }
  EXPECT_TRUE(buffer == filled(kBytes, 0x33));
}

// The send's buffer would be the caller's again while UCX still reads it.
TEST_F(UcxLinkBackend, AnAcknowledgementThatComesTooEarlyWaits) {
  const std::vector<std::byte> sent = filled(kChunk, 0x22);
  std::vector<std::byte> received(kChunk);
  auto peer = connect(0);
  FrameHeader credit;
  credit.type = FrameType::kClearToSend;
  credit.message_bytes = kChunk;
  peer->send(credit);
  const RequestId request = link_->post_send(sent.data(), kChunk, 0);
  ASSERT_TRUE(wait(*peer, [&] { return peer->offered() == 1; }));
  FrameHeader early;
  early.type = FrameType::kProbe;
  early.path_sequence = 77;
  early.path_acknowledged = 1;
  peer->send(early);
  ASSERT_TRUE(wait(*peer, [&] {
    const FrameHeader& last = peer->heard().back();
    return last.type == FrameType::kProbeReply && last.path_sequence == 77;
  })) << "the frame that acknowledges was read";
  EXPECT_FALSE(link_->test(request).done);
  peer->fetch(0, received);
  ASSERT_TRUE(wait(*peer, [&] { return peer->fetched() == 1; }));
  ASSERT_TRUE(wait(*peer, [&] { return link_->test(request).done; }));
  EXPECT_TRUE(sent == received);
}

}  // namespace
}  // namespace weft::ucx
