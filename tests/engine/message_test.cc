// Messages over real TCP on the loopback device: sizes, tags, truncation, the limit of pending requests.
#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "tests/engine/loopback.h"

namespace weft::loopback {
namespace {

class Messages : public ConnectedContexts {};

TEST_F(Messages, OfManySizesPassBothWaysAtOnce) {
  start(config(), config());
  const std::size_t chunk = config().chunk_bytes;
  const std::size_t sizes[] = {0,
                               1,
                               7,
                               63,
                               64,
                               65,
                               4032,
                               4096,
                               65535,
                               chunk - 1,
                               chunk,
                               chunk + 1,
                               2 * chunk,
                               3 * chunk + 17,
                               1024 * 1024,
                               0,
                               8,
                               (8 << 20) + 3,
                               33 * chunk - 1};
  unsigned seed = 0;
  for (std::size_t bytes : sizes) expect_messages_pass(one(), other(), bytes, seed += 2);
}

TEST_F(Messages, ArriveInOrderWhenAWindowOfThemIsPostedAtOnce) {
  start(config(), config());
  constexpr unsigned kMessages = 120;
  const auto size_of = [](unsigned i) { return std::size_t{i} * i * 61 % 300000; };
  std::vector<Bytes> sent, received;
  std::vector<RequestId> sends, receives;
  for (unsigned i = 0; i < kMessages; ++i) {
    sent.push_back(pattern(size_of(i), i));
    received.emplace_back(size_of(i) + i % 3);
  }
  for (unsigned i = 0; i < kMessages; ++i) {
    // Some receives come before their sends, some after.
    if (i % 2 == 0) receives.push_back(other().post_receive(received[i].data(), received[i].size(), 1));
    sends.push_back(one().post_send(sent[i].data(), sent[i].size(), 1));
    if (i % 2 == 1) receives.push_back(other().post_receive(received[i].data(), received[i].size(), 1));
  }
  for (unsigned i = kMessages; i-- > 0;) {
    const Completion completion = wait(other(), receives[i], one());
    ASSERT_EQ(completion.status, StatusCode::kOk);
    ASSERT_EQ(completion.bytes, sent[i].size());
    received[i].resize(completion.bytes);
    ASSERT_TRUE(received[i] == sent[i]) << "message " << i;
    ASSERT_EQ(wait(one(), sends[i], other()).status, StatusCode::kOk);
  }
}

TEST_F(Messages, MeetTheReceiveOfTheirTag) {
  start(config(), config());
  constexpr std::size_t kBytes = 100000;
  const std::array<std::uint32_t, 6> send_tags = {5, 9, 5, 0, 0xffffffffu, 9};
  const std::array<std::size_t, 6> receive_order = {4, 1, 0,
                                                    5, 3, 2};  // of one tag: in the order of its sends
  std::vector<Bytes> sent, received(6, Bytes(kBytes));
  std::array<RequestId, 6> sends{}, receives{};
  for (unsigned i = 0; i < 6; ++i) {
    sent.push_back(pattern(kBytes, 40 + i));
    sends[i] = one().post_send(sent[i].data(), kBytes, send_tags[i]);
  }
  for (std::size_t i : receive_order) {
    receives[i] = other().post_receive(received[i].data(), kBytes, send_tags[i]);
  }
  for (std::size_t i = 0; i < 6; ++i) {
    ASSERT_EQ(wait(other(), receives[i], one()).status, StatusCode::kOk);
    ASSERT_EQ(wait(one(), sends[i], other()).status, StatusCode::kOk);
    EXPECT_TRUE(received[i] == sent[i]) << "send " << i << " with tag " << send_tags[i];
  }
}

TEST_F(Messages, TooLargeForTheirReceiveFailAloneAtBothEnds) {
  start(config(), config());
  constexpr std::size_t kCapacity = 50000, kTooMuch = 300000;
  const std::array<std::size_t, 4> sizes = {kCapacity, kTooMuch, 10, kCapacity + 1};
  std::vector<Bytes> sent, received(4, Bytes(kTooMuch, std::byte{0xee}));
  std::vector<RequestId> sends, receives;
  for (unsigned i = 0; i < 4; ++i) {
    sent.push_back(pattern(sizes[i], 60 + i));
    receives.push_back(other().post_receive(received[i].data(), kCapacity, 3));
    sends.push_back(one().post_send(sent[i].data(), sizes[i], 3));
  }
  for (unsigned i = 0; i < 4; ++i) {
    const StatusCode expected = sizes[i] > kCapacity ? StatusCode::kTruncated : StatusCode::kOk;
    EXPECT_EQ(wait(other(), receives[i], one()).status, expected) << "receive " << i;
    EXPECT_EQ(wait(one(), sends[i], other()).status, expected) << "send " << i;
    const auto beyond = received[i].begin() + kCapacity;
    EXPECT_TRUE(
        std::all_of(beyond, received[i].end(), [](std::byte byte) { return byte == std::byte{0xee}; }))
        << "bytes landed behind receive " << i;
    if (expected == StatusCode::kOk) {
      EXPECT_TRUE(std::equal(sent[i].begin(), sent[i].end(), received[i].begin()));
    }
  }
  EXPECT_TRUE(one().error().is_ok());
  EXPECT_TRUE(other().error().is_ok());
  expect_messages_pass(one(), other(), 200000, 70);
}

TEST_F(Messages, PendingBeyondTheLimitAreRefusedUntilOneIsDone) {
  start(config(), config());
  std::vector<int> sent(kMaxPendingRequests + 1), received(kMaxPendingRequests + 1, -1);
  std::vector<RequestId> sends, receives;
  for (int i = 0; i < kMaxPendingRequests; ++i) {
    const auto at = static_cast<std::size_t>(i);
    sent[at] = i;
    sends.push_back(one().post_send(&sent[at], sizeof(int), 2));
    ASSERT_NE(sends.back(), RequestId::kNone) << i;
  }
  EXPECT_EQ(one().post_send(&sent.back(), sizeof(int), 2), RequestId::kNone);
  // The other direction has a count of its own.
  for (int i = 0; i < kMaxPendingRequests; ++i) {
    receives.push_back(one().post_receive(&received[static_cast<std::size_t>(i)], sizeof(int), 2));
    ASSERT_NE(receives.back(), RequestId::kNone) << i;
  }
  EXPECT_EQ(one().post_receive(&received.back(), sizeof(int), 2), RequestId::kNone);

  int got = -1;
  ASSERT_EQ(wait(other(), other().post_receive(&got, sizeof got, 2), one()).status, StatusCode::kOk);
  EXPECT_EQ(got, 0);
  ASSERT_EQ(wait(one(), sends[0], other()).status, StatusCode::kOk);
  sent.back() = kMaxPendingRequests;
  sends[0] = one().post_send(&sent.back(), sizeof(int), 2);
  EXPECT_NE(sends[0], RequestId::kNone);
  for (int i = 1; i <= kMaxPendingRequests; ++i) {
    ASSERT_EQ(wait(other(), other().post_receive(&got, sizeof got, 2), one()).status, StatusCode::kOk);
    ASSERT_EQ(got, i);
  }
  for (RequestId request : sends) ASSERT_EQ(wait(one(), request, other()).status, StatusCode::kOk);
  for (int i = 0; i < kMaxPendingRequests; ++i) {
    ASSERT_EQ(wait(other(), other().post_send(&i, sizeof i, 2), one()).status, StatusCode::kOk);
    ASSERT_EQ(wait(one(), receives[static_cast<std::size_t>(i)], other()).status, StatusCode::kOk);
    ASSERT_EQ(received[static_cast<std::size_t>(i)], i);
  }
}

TEST_F(Messages, PassWithPayloadChecksumsAskedForAtOneEndOrBoth) {
  for (int ends = 1; ends <= 3; ++ends) {
    const Config plain = config_without_silence_limit();
    Config checked = plain;
    checked.payload_checksum = true;
    start(ends & 1 ? checked : plain, ends & 2 ? checked : plain);
    for (std::size_t bytes : {0, 1, 4096, 1000003}) expect_messages_pass(one(), other(), bytes, 90);
    EXPECT_EQ(totals(one()).failures + totals(other()).failures, 0u);
    pair_ = {};
    listener_.reset();
    first_.reset();
    second_.reset();
  }
}

TEST_F(Messages, PassThroughPathsThatAreCutInTheirMidst) {
  Config cuttable = config();
  cuttable.log_level = LogLevel::kInfo;
  start(cuttable, cuttable);
  constexpr std::size_t kBytes = std::size_t{48} << 20;
  constexpr unsigned kCutsPerMessage = 5;
  const Bytes sent = pattern(kBytes, 5);
  unsigned random = 12345, cuts = 0;
  // Until there were enough cuts, and chunks have moved: on a busy machine the housekeeping threads may move
  // most of a message between two looks at it, and a cut may meet a path that has nothing outstanding.
  const auto is_enough = [&] { return cuts >= 2 * kCutsPerMessage && totals(one()).resent != 0; };
  for (unsigned message = 0; !is_enough() && message < 50; ++message) {
    Bytes received(kBytes);
    const RequestId receive = other().post_receive(received.data(), kBytes, message);
    const RequestId send = one().post_send(sent.data(), kBytes, message);
    const std::uint64_t before = totals(other()).received_bytes;
    unsigned cuts_now = 0;
    Completion completion;
    ASSERT_TRUE(repeat_until([&] {
      one().progress();
      completion = other().test(receive);
      if (cuts_now < kCutsPerMessage &&
          totals(other()).received_bytes - before > (cuts_now + 1) * (kBytes / (kCutsPerMessage + 2))) {
        random = random * 1664525u + 1013904223u;
        const int path = static_cast<int>((random >> 20) % 4);
        Connection& end = (random >> 28) & 1 ? one() : other();
        ++cuts_now;
        EXPECT_TRUE(end.cut_path(path).is_ok());
      }
      return completion.done;
    }));
    cuts += cuts_now;
    ASSERT_EQ(completion.status, StatusCode::kOk) << other().error().message();
    ASSERT_EQ(wait(one(), send, other()).status, StatusCode::kOk);
    ASSERT_TRUE(received == sent) << "message " << message;
  }
  EXPECT_TRUE(is_enough()) << cuts << " cuts, " << totals(one()).resent << " chunks were sent again";
  // They come back while nothing but the housekeeping threads is at work, too.
  EXPECT_TRUE(repeat_until([&] { return totals(one()).all_good && totals(other()).all_good; }));
  for (Connection* end : {&one(), &other()}) {
    EXPECT_GT(totals(*end).failures, 0u);
    EXPECT_GT(totals(*end).revivals, 0u);
    EXPECT_TRUE(end->error().is_ok());
  }
  EXPECT_GT(one().statistics().stalls, 0u);
  expect_messages_pass(one(), other(), 1000000, 8);

  const Status none = one().cut_path(4);
  EXPECT_EQ(none.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(none.message().find("paths 0..3"), std::string::npos) << none.message();
  EXPECT_EQ(one().cut_path(-1).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace weft::loopback
