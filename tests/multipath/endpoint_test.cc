// Rules of the endpoint, one at a time.
#include "transport/multipath/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "tests/multipath/endpoint_pair.h"

namespace weft::multipath {
namespace {

using namespace std::chrono_literals;

std::vector<std::byte> pattern(std::size_t bytes, unsigned seed = 1) {
  std::vector<std::byte> out(bytes);
  for (std::size_t i = 0; i < bytes; ++i)
    out[i] = static_cast<std::byte>((i * 31 + seed * 17 + (i >> 8)) & 0xFF);
  return out;
}

// A message from a to b, while so much time passes.
void send_within(EndpointPair& pair, std::size_t bytes, Duration time) {
  const auto sent = pattern(bytes);
  std::vector<std::byte> got(sent.size());
  (void)pair.b().post_receive(got.data(), got.size(), 1);
  (void)pair.a().post_send(pair.now(), sent.data(), sent.size(), 1);
  pair.advance(time);
  EXPECT_EQ(sent, got);
}

TEST(Endpoint, SmallAndLargeAndEmptyMessages) {
  EndpointPair pair(EndpointPair::small_config(4));
  pair.connect_all();
  for (std::size_t bytes : {0u, 1u, 1023u, 1024u, 1025u, 100000u, 1048576u, 3000001u}) {
    auto sent = pattern(bytes, static_cast<unsigned>(bytes));
    std::vector<std::byte> got(bytes + 8);
    RequestId receive = pair.b().post_receive(got.data(), got.size(), 7);
    RequestId send = pair.a().post_send(pair.now(), sent.data(), bytes, 7);
    pair.settle();
    pair.advance(5ms);
    Completion received = pair.b().take_completion(receive);
    ASSERT_TRUE(received.done) << bytes;
    EXPECT_EQ(received.status, StatusCode::kOk);
    EXPECT_EQ(received.bytes, bytes);
    EXPECT_TRUE(std::equal(sent.begin(), sent.end(), got.begin())) << bytes;
    Completion done = pair.a().take_completion(send);
    ASSERT_TRUE(done.done);
    EXPECT_EQ(done.status, StatusCode::kOk);
  }
  EXPECT_EQ(pair.end(0).protocol_error, nullptr);
  EXPECT_EQ(pair.end(1).protocol_error, nullptr);
}

TEST(Endpoint, ChunksAreNoLargerThanThePeerWants) {
  EndpointPair pair(EndpointPair::small_config(2));
  pair.a().limit_chunk_bytes(600);  // at most: no power of two
  pair.connect_all();
  std::size_t largest = 0;
  pair.filter = [&](int, const Transmission& frame) {
    largest = std::max<std::size_t>(largest, frame.header.length);
    return true;
  };
  auto sent = pattern(10000, 1);
  std::vector<std::byte> got(10000);
  RequestId receive = pair.b().post_receive(got.data(), got.size(), 7);
  pair.a().post_send(pair.now(), sent.data(), sent.size(), 7);
  pair.settle();
  pair.advance(5ms);
  EXPECT_TRUE(pair.b().take_completion(receive).done);
  EXPECT_EQ(got, sent);
  EXPECT_EQ(largest, 512u);
}

// An answer and the receive for the next request are one frame; if it is lost, neither is.
TEST(Endpoint, AClearToSendTravelsWithASmallMessage) {
  EndpointPair pair(EndpointPair::small_config(2));
  pair.connect_all();
  auto request = pattern(8, 1), answer = pattern(8, 2);
  std::vector<std::byte> asked(8), answered(8);
  RequestId first = pair.b().post_receive(asked.data(), 8, 1);
  pair.settle();

  std::vector<Transmission> frames;
  bool lose = true;
  pair.filter = [&](int from, const Transmission& frame) {
    if (from == 0) frames.push_back(frame);
    return from == 1 || !std::exchange(lose, false);
  };
  RequestId back = pair.a().post_receive(answered.data(), 8, 2);
  RequestId send = pair.a().post_send(pair.now(), request.data(), 8, 1);
  pair.settle();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].header.type, FrameType::kData);
  EXPECT_TRUE(frames[0].header.flags & kFlagCredit);
  EXPECT_FALSE(pair.b().take_completion(first).done);

  RequestId reply = pair.b().post_send(pair.now(), answer.data(), 8, 2);
  pair.advance(500ms);
  EXPECT_TRUE(pair.b().take_completion(first).done);
  EXPECT_TRUE(pair.a().take_completion(send).done);
  EXPECT_TRUE(pair.a().take_completion(back).done);
  EXPECT_TRUE(pair.b().take_completion(reply).done);
  EXPECT_EQ(asked, request);
  EXPECT_EQ(answered, answer);

  frames.clear();
  first = pair.b().post_receive(asked.data(), 8, 1);
  pair.settle();
  back = pair.a().post_receive(answered.data(), 8, 2);
  send = pair.a().post_send(pair.now(), request.data(), 8, 1);
  pair.settle();
  ASSERT_FALSE(frames.empty());
  EXPECT_TRUE(frames[0].header.flags & kFlagCredit);
  reply = pair.b().post_send(pair.now(), answer.data(), 8, 2);
  pair.settle();
  EXPECT_TRUE(pair.a().take_completion(back).done);
  EXPECT_EQ(pair.end(0).protocol_error, nullptr);
  EXPECT_EQ(pair.end(1).protocol_error, nullptr);
}

TEST(Endpoint, APathThatFallsSilentIsLeftAndComesBack) {
  EndpointPair pair(EndpointPair::small_config(2));
  pair.connect_all();
  auto sent = pattern(200000);
  std::vector<std::byte> got(sent.size());
  pair.cut(PathId{0});
  RequestId receive = pair.b().post_receive(got.data(), got.size(), 1);
  RequestId send = pair.a().post_send(pair.now(), sent.data(), sent.size(), 1);
  pair.advance(300ms);
  EXPECT_TRUE(pair.b().take_completion(receive).done);
  EXPECT_TRUE(pair.a().take_completion(send).done);
  EXPECT_EQ(sent, got);
  pair.restore(PathId{0});
  pair.advance(1s);
  EXPECT_TRUE(pair.a().paths()[0].usable());
  EXPECT_TRUE(pair.b().paths()[0].usable());
}

// As where TCP dials a path that RDMA then leaves silent, time and again.
TEST(Endpoint, AttemptsToReviveAreNoFailuresOfTheirOwn) {
  EndpointPair pair(EndpointPair::small_config(2));
  pair.connect_all();
  int attempts = 0;
  pair.on_reconnect = [&](const Action& action) {
    ++attempts;
    pair.connect(action.path, number(action.incarnation));
  };
  const auto news = [&](ActionKind kind) {
    const auto& all = pair.end(0).news;
    return std::count_if(all.begin(), all.end(), [&](const Action& action) { return action.kind == kind; });
  };
  pair.cut(PathId{0});
  send_within(pair, 200000, 10s);
  EXPECT_GT(attempts, 2);
  for (Endpoint* end : {&pair.a(), &pair.b()}) EXPECT_EQ(end->paths()[0].failures, 1u);
  EXPECT_EQ(news(ActionKind::kLost), 1);
  EXPECT_GE(news(ActionKind::kNotRevived), attempts - 1);
  pair.restore(PathId{0});
  pair.advance(2s);
  EXPECT_EQ(news(ActionKind::kRevived), 1);
  EXPECT_EQ(pair.a().paths()[0].failures, pair.a().paths()[0].revivals);
  // In use again, it can fail again.
  pair.a().path_lost(PathId{0}, pair.a().paths()[0].incarnation, LossReason::kReset, pair.now());
  EXPECT_EQ(pair.a().paths()[0].failures, 2u);
}

// The last path that may carry data is not left for one that may not yet: silence may be the peer's, and then
// nothing would be left until new paths have been probed.
TEST(Endpoint, TheLastTrustedPathIsNotLeftForUntriedOnes) {
  EndpointConfig config = EndpointPair::small_config(2);
  config.good_probes_needed = 200;
  EndpointPair pair(config);
  pair.connect_all();
  bool silent = false;
  pair.filter = [&](int, const Transmission& frame) { return frame.path == PathId{0} || !silent; };
  pair.a().path_lost(PathId{0}, Incarnation{1}, LossReason::kReset, pair.now());
  pair.advance(50ms);
  auto sent = pattern(20000);
  std::vector<std::byte> got(sent.size());
  RequestId receive = pair.b().post_receive(got.data(), got.size(), 1);
  pair.settle();
  silent = true;
  RequestId send = pair.a().post_send(pair.now(), sent.data(), sent.size(), 1);
  pair.advance(300ms);
  const Path& fresh = pair.a().paths()[0];
  ASSERT_TRUE(fresh.connected && !fresh.trusted);
  EXPECT_GT(fresh.last_heard, pair.now() - Duration(50ms)) << "the peer lives";
  EXPECT_EQ(pair.a().paths()[1].failures, 0u);
  for (int i = 0; i < 1000 && !fresh.trusted; ++i) pair.advance(1ms);
  pair.advance(10ms);
  EXPECT_EQ(pair.a().paths()[1].failures, 1u);
  EXPECT_TRUE(pair.b().take_completion(receive).done);
  EXPECT_TRUE(pair.a().take_completion(send).done);
  EXPECT_EQ(sent, got);
}

TEST(Endpoint, AllPathsDeadFailsEverythingInTime) {
  EndpointPair pair(EndpointPair::small_config(2));
  pair.connect_all();
  auto sent = pattern(5000);
  std::vector<std::byte> got(sent.size());
  pair.cut(PathId{0});
  pair.cut(PathId{1});
  RequestId receive = pair.b().post_receive(got.data(), got.size(), 1);
  RequestId send = pair.a().post_send(pair.now(), sent.data(), sent.size(), 1);
  pair.advance(2100ms);
  EXPECT_EQ(pair.b().take_completion(receive).status, StatusCode::kPeerLost);
  EXPECT_EQ(pair.a().take_completion(send).status, StatusCode::kPeerLost);
  EXPECT_FALSE(pair.a().has_pending_requests());
}

// A connection can stand at the accepting end only: the connecting end gave up waiting just before.
TEST(Endpoint, DataSentOnAnIncarnationThatThePeerNeverHadIsSentAgain) {
  EndpointPair pair(EndpointPair::small_config(2));
  pair.attach(1, PathId{0}, 1);
  pair.attach(1, PathId{1}, 1);
  pair.attach(0, PathId{1}, 1);
  auto sent = pattern(20000);
  std::vector<std::byte> got(sent.size());
  RequestId receive = pair.a().post_receive(got.data(), got.size(), 1);
  RequestId send = pair.b().post_send(pair.now(), sent.data(), sent.size(), 1);
  pair.settle();
  ASSERT_GT(pair.b().paths()[0].in_flight_frames(), 0u);
  pair.connect(PathId{0}, 2);
  pair.advance(100ms);
  EXPECT_TRUE(pair.a().take_completion(receive).done);
  EXPECT_TRUE(pair.b().take_completion(send).done);
  EXPECT_EQ(sent, got);
  EXPECT_TRUE(pair.a().paths()[0].usable());
  EXPECT_TRUE(pair.b().paths()[0].usable());
}

// The same, and the path dies for the connecting end while it still has the incarnation before.
TEST(Endpoint, AnAccountReachesTheLatestIncarnationThatThePeerSpeaksOf) {
  EndpointPair pair(EndpointPair::small_config(2));
  pair.connect_all();
  pair.attach(1, PathId{0}, 2);  // the accepting end is ahead; its sends wait for probes, so nothing is lost
  pair.settle();
  pair.advance(500ms);
  EXPECT_TRUE(pair.a().paths()[0].usable());
  EXPECT_TRUE(pair.b().paths()[0].usable());
}

TEST(Endpoint, ARefusedConnectionIsTriedAgain) {
  EndpointPair pair(EndpointPair::small_config(2));
  pair.connect_all();
  int attempts = 0;
  pair.on_reconnect = [&](const Action& action) {
    if (++attempts > 1) return pair.connect(action.path, number(action.incarnation));
    // While it connects, the other end gives up this very incarnation and says so.
    pair.attach(1, action.path, number(action.incarnation));
    pair.b().path_lost(action.path, action.incarnation, LossReason::kReset, pair.now());
    pair.settle();
    pair.attach(0, action.path, number(action.incarnation));
  };
  pair.a().path_lost(PathId{0}, Incarnation{1}, LossReason::kReset, pair.now());
  pair.b().path_lost(PathId{0}, Incarnation{1}, LossReason::kReset, pair.now());
  pair.advance(500ms);
  EXPECT_GE(attempts, 2);
  EXPECT_TRUE(pair.a().paths()[0].usable());
}

// I2 and I3 hold for failures too: the caller may free a buffer as soon as its request is reported failed.
TEST(Endpoint, RequestsFailOnlyWhenEveryPathIsFenced) {
  EndpointPair pair(EndpointPair::small_config(2));
  pair.connect_all();
  pair.hold_fences = true;
  auto sent = pattern(5000);
  std::vector<std::byte> got(sent.size());
  RequestId receive = pair.b().post_receive(got.data(), got.size(), 1);
  pair.settle();
  pair.cut(PathId{0});
  pair.cut(PathId{1});
  RequestId send = pair.a().post_send(pair.now(), sent.data(), sent.size(), 1);
  pair.advance(5s);
  for (int which : {0, 1}) {
    EXPECT_TRUE(pair.end(which).endpoint.has_pending_requests());
    EXPECT_FALSE(pair.end(which).endpoint.failed());
    pair.release_fences(which);
    pair.settle();
    EXPECT_TRUE(pair.end(which).endpoint.failed());
  }
  EXPECT_EQ(pair.b().take_completion(receive).status, StatusCode::kPeerLost);
  EXPECT_EQ(pair.a().take_completion(send).status, StatusCode::kPeerLost);
}

// The receiver is done with everything and closes, while the sender waits for the account of a failed path.
TEST(Endpoint, AGoodbyeDoesNotOvertakeTheAccountOfAFailedPath) {
  EndpointPair pair(EndpointPair::small_config(2));
  pair.connect_all();
  pair.hold_fences = true;
  std::vector<std::byte> got(100);
  auto sent = pattern(100);
  RequestId receive = pair.b().post_receive(got.data(), got.size(), 1);
  pair.settle();
  PathId used{0};
  pair.filter = [&](int from, const Transmission& frame) {
    if (from == 0 && frame.header.type == FrameType::kData) used = frame.path;
    return from == 0 || frame.header.type != FrameType::kFeedback;
  };
  RequestId send = pair.a().post_send(pair.now(), sent.data(), sent.size(), 1);
  pair.settle();
  ASSERT_TRUE(pair.b().take_completion(receive).done);
  ASSERT_FALSE(pair.a().take_completion(send).done);
  pair.b().path_lost(used, Incarnation{1}, LossReason::kReset, pair.now());
  pair.b().close(pair.now());
  pair.settle();
  ASSERT_FALSE(pair.a().take_completion(send).done);
  pair.release_fences(0);
  pair.settle();
  EXPECT_EQ(pair.a().take_completion(send).status, StatusCode::kOk);
  EXPECT_TRUE(pair.a().peer_closed());
}

TEST(Endpoint, ADeniedPathAloneDoesNotKeepRequestsWaitingForEver) {
  EndpointPair pair(EndpointPair::small_config(2));
  pair.connect_all();
  for (int which : {0, 1}) ASSERT_TRUE(pair.end(which).endpoint.set_denied(PathId{1}, true));
  EXPECT_FALSE(pair.a().set_denied(PathId{0}, true)) << "the last usable path";
  auto sent = pattern(5000);
  std::vector<std::byte> got(sent.size());
  RequestId receive = pair.b().post_receive(got.data(), got.size(), 1);
  pair.settle();
  pair.cut(PathId{0});
  RequestId send = pair.a().post_send(pair.now(), sent.data(), sent.size(), 1);
  pair.advance(2100ms);
  EXPECT_EQ(pair.a().take_completion(send).status, StatusCode::kPeerLost);
  EXPECT_EQ(pair.b().take_completion(receive).status, StatusCode::kPeerLost);
}

// The path answers everything else, so silence never gives it away.
TEST(Endpoint, ALostFrameOnALivingPathIsNoticed) {
  EndpointPair pair(EndpointPair::small_config(1));
  pair.connect_all();
  auto sent = pattern(100);
  std::vector<std::byte> got(sent.size());
  std::vector<std::byte> back(sent.size());
  RequestId receive = pair.b().post_receive(got.data(), got.size(), 1);
  pair.settle();
  bool dropped = false;
  pair.filter = [&](int from, const Transmission& frame) {
    if (dropped || from != 0 || frame.header.type != FrameType::kData) return true;
    dropped = true;
    return false;
  };
  RequestId send = pair.a().post_send(pair.now(), sent.data(), sent.size(), 1);
  for (int ms = 0; ms < 300; ++ms) {
    RequestId back_receive = pair.a().post_receive(back.data(), back.size(), 2);
    RequestId back_send = pair.b().post_send(pair.now(), sent.data(), sent.size(), 2);
    pair.advance(1ms);
    (void)pair.a().take_completion(back_receive);
    (void)pair.b().take_completion(back_send);
  }
  EXPECT_TRUE(dropped);
  EXPECT_TRUE(pair.b().take_completion(receive).done);
  EXPECT_TRUE(pair.a().take_completion(send).done);
}

TEST(Endpoint, ALostProbeOnALivingPathIsSentAgain) {
  EndpointPair pair(EndpointPair::small_config(2));
  pair.connect_all();
  pair.a().path_lost(PathId{0}, Incarnation{1}, LossReason::kReset, pair.now());
  bool dropped = false;
  pair.filter = [&](int from, const Transmission& frame) {
    if (dropped || from != 0 || frame.header.type != FrameType::kProbe) return true;
    dropped = true;
    return false;
  };
  pair.advance(1s);
  EXPECT_TRUE(dropped);
  EXPECT_TRUE(pair.a().paths()[0].usable());
  EXPECT_EQ(pair.a().paths()[0].failures, 1u);
}

// The peer waits for a message that this end will post only later, and has lost every path.
TEST(Endpoint, AnIdleEndNoticesThatThePeerLostItsPaths) {
  EndpointPair pair(EndpointPair::small_config(1));
  pair.connect_all();
  std::byte got[16];
  RequestId receive = pair.b().post_receive(got, sizeof got, 1);
  pair.advance(100ms);
  pair.end(1).attached[0] = EndpointPair::kNone;
  pair.b().path_lost(PathId{0}, Incarnation{1}, LossReason::kReset, pair.now());
  pair.advance(5s);
  EXPECT_FALSE(pair.b().take_completion(receive).done);
  EXPECT_TRUE(pair.b().paths()[0].usable());
}

// Connections keep coming, and nothing on them.
TEST(Endpoint, ConnectionsWithoutFramesDoNotPutOffTheDeadline) {
  EndpointPair pair(EndpointPair::small_config(1));
  pair.connect_all();
  std::byte got[16];
  pair.cut(PathId{0});
  RequestId receive = pair.b().post_receive(got, sizeof got, 1);
  for (std::uint32_t incarnation = 2; incarnation < 40; ++incarnation) {
    pair.advance(100ms);
    pair.attach(1, PathId{0}, incarnation);
  }
  EXPECT_EQ(pair.b().take_completion(receive).status, StatusCode::kPeerLost);
}

// Whatever the tick: shorter than a quarter of the path timeout, or always late.
TEST(Endpoint, ASilentPathIsFoundAtAnyTick) {
  for (Duration path_timeout : {Duration(2ms), Duration(15ms)}) {
    for (Duration tick : {Duration(1ms), Duration(10ms)}) {
      EndpointConfig config = EndpointPair::small_config(2);
      config.path_timeout = path_timeout;
      EndpointPair pair(config);
      pair.tick = tick;
      pair.connect_all();
      auto sent = pattern(20000);
      std::vector<std::byte> got(sent.size());
      RequestId receive = pair.b().post_receive(got.data(), got.size(), 1);
      pair.settle();
      pair.cut(PathId{0});
      RequestId send = pair.a().post_send(pair.now(), sent.data(), sent.size(), 1);
      pair.advance(400ms);
      EXPECT_TRUE(pair.b().take_completion(receive).done);
      EXPECT_TRUE(pair.a().take_completion(send).done);
    }
  }
}

// Bytes over no time at all would be a rate beside which no real one counts.
TEST(Endpoint, AnAnswerUnderTheSameReadingOfTheClockTellsNoRate) {
  EndpointPair pair(EndpointPair::small_config(1));
  pair.connect_all();
  send_within(pair, 100000, 10ms);
  EXPECT_EQ(pair.a().plane_of(pair.a().paths()[0]).rate.highest(), 0);
}

TEST(Endpoint, SmallChunksTellThePathsRateToo) {
  EndpointPair pair(EndpointPair::small_config(1));
  pair.transit = 1us;
  pair.connect_all();
  send_within(pair, 100000, 10ms);
  EXPECT_GT(pair.a().plane_of(pair.a().paths()[0]).rate.typical(), 0);
}

}  // namespace
}  // namespace weft::multipath
