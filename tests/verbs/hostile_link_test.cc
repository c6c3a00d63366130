// A link over verbs whose peer, or NIC, does what none should: malformed frames, frames behind the end,
// completions that are late or of nobody, a device that refuses to let go. What must hold: it costs the path
// that it came by, or the connection, and nothing else; nothing is written to a buffer that is the caller's
// again; no key is used that is not live, and none is left behind.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <string>

#include "tests/verbs/link_under_attack.h"

namespace weft::verbs {
namespace {

using ::testing::HasSubstr;

TEST(HostileLink, AWholeMessageArrivesAndLeaves) {
  Victim victim;
  Guarded buffer(100);
  const RequestId receive = victim.link().post_receive(buffer.data(), buffer.size, 0);
  const std::vector<std::byte> payload(16, std::byte{7});
  victim.send(0, message(victim.data(0), payload));
  const Completion completion = victim.link().test(receive);
  EXPECT_TRUE(completion.done);
  EXPECT_EQ(completion.bytes, 16u);
  EXPECT_EQ(buffer.data()[15], std::byte{7});

  const std::vector<std::byte> large(100000, std::byte{9});
  const RequestId sent = victim.link().post_send(large.data(), large.size(), 0);
  ASSERT_NE(sent, RequestId::kNone);
  victim.device.take_sent();
  victim.device.receive(victim.queue(1),
                        message(clear_to_send(0, large.size()), bytes_of(place_with_keys(kPlanes))));
  victim.link().progress();
  std::size_t written = 0;
  for (const ScriptedDevice::Sent& one : victim.device.take_sent()) {
    if (one.operation == IBV_WR_SEND) continue;
    written += one.length;
    EXPECT_GE(one.remote_address, 0x7000u);
    EXPECT_LE(one.remote_address + one.length, 0x7000u + large.size());
  }
  EXPECT_EQ(written, large.size());
  for (std::size_t path = 0; path < kPaths; ++path) EXPECT_TRUE(victim.serves(path));
}

struct Attack {
  const char* name;
  const char* error;
  std::vector<std::byte> (*frame)(Victim& victim);
  bool is_immediate = false;
  std::uint32_t immediate = 0;
  std::uint32_t bytes = 0;
};

void PrintTo(const Attack& attack, std::ostream* out) {
  *out << attack.name;
}

const Attack kAttacks[] = {
    {"nothing at all", "it is shorter than a header", [](Victim&) { return std::vector<std::byte>(); }},
    {"half a header", "it is shorter than a header", [](Victim&) { return std::vector<std::byte>(32); }},
    {"zeros", "", [](Victim&) { return std::vector<std::byte>(kMessageBytes); }},
    {"a bit flipped", "",
     [](Victim& victim) {
       auto bytes = message(victim.data(0), std::vector<std::byte>(16));
       bytes[9] ^= std::byte{1};
       return bytes;
     }},
    {"a receive without a place", "a clear-to-send that does not say where",
     [](Victim&) { return message(clear_to_send(0, 100)); }},
    {"a large receive without keys", "a clear-to-send without a key for each plane",
     [](Victim&) { return message(clear_to_send(0, 100000), bytes_of(place_with_keys(0))); }},
    {"too many keys", "a clear-to-send without a key for each plane",
     [](Victim&) { return message(clear_to_send(0, 100000), bytes_of(place_with_keys(kPlanes + 1))); }},
    {"keys that are not all there", "a clear-to-send that does not say where",
     [](Victim&) {
       auto place = bytes_of(place_with_keys(kPlanes));
       place.pop_back();
       return message(clear_to_send(0, 100000), place);
     }},
    {"a place that moves", "announced in another place before",
     [](Victim& victim) {
       Place place = place_with_keys(kPlanes);
       victim.send(0, message(clear_to_send(0, 100000), bytes_of(place)));
       place.address += 8;
       return message(clear_to_send(0, 100000), bytes_of(place));
     }},
    {"bytes behind a control frame", "bytes behind a control frame",
     [](Victim&) {
       FrameHeader header;
       header.type = FrameType::kFeedback;
       return message(header, std::vector<std::byte>(8));
     }},
    {"data out of order", "data frames out of order",
     [](Victim& victim) {
       victim.data(0);
       return message(victim.data(0), std::vector<std::byte>(16));
     }},
    {"a payload longer than it says", "a payload that its header does not speak of",
     [](Victim& victim) { return message(victim.data(0), std::vector<std::byte>(17)); }},
    {"data for nobody", "",
     [](Victim& victim) { return message(victim.data(0, 200), std::vector<std::byte>(16)); }},
    {"chunks of 2 GiB", "chunk",
     [](Victim& victim) {
       FrameHeader header = victim.data(0);
       header.chunk_shift = 255;
       return message(header, std::vector<std::byte>(16));
     }},
    {"a wrong checksum", "its payload checksum is wrong",
     [](Victim& victim) {
       FrameHeader header = victim.data(0);
       header.flags = multipath::kFlagChecksum;
       header.payload_checksum = 1;
       return message(header, std::vector<std::byte>(16));
     }},
    {"acknowledges what was not sent", "",
     [](Victim&) {
       FrameHeader header;
       header.type = FrameType::kFeedback;
       header.path_acknowledged = 1000;
       return message(header);
     }},
    {"a chunk of nothing", "a chunk of a message that it has not announced", nullptr, true,
     pack(Immediate{5, 0, 0}), 16},
};

class HostileFrame : public ::testing::TestWithParam<Attack> {};

TEST_P(HostileFrame, CostsItsPathAndNothingElse) {
  const Attack& attack = GetParam();
  Victim victim;
  Guarded first(100), second(100000);
  const RequestId small = victim.link().post_receive(first.data(), first.size, 0);
  const RequestId large = victim.link().post_receive(second.data(), second.size, 0);
  victim.turn();
  if (attack.is_immediate) {
    victim.device.receive_immediate(victim.queue(0), htonl(attack.immediate), attack.bytes);
    victim.turn();
  } else {
    victim.send(0, attack.frame(victim));
  }
  EXPECT_FALSE(victim.serves(0));
  EXPECT_FALSE(victim.device.is_in_service(victim.queue(0))) << "nothing more can land by it";
  for (std::size_t path = 1; path < kPaths; ++path) EXPECT_TRUE(victim.serves(path)) << path;
  EXPECT_THAT(victim.said, HasSubstr(attack.error));
  EXPECT_THAT(victim.said, HasSubstr("path 0 on device scripted0:1, 10.0.0.1 qp"));
  EXPECT_THAT(victim.said, HasSubstr("evil0:1 10.0.0.2 qp 99"));
  EXPECT_TRUE(victim.link().error()) << "the connection goes on";
  EXPECT_FALSE(victim.link().test(small).done);
  EXPECT_FALSE(victim.link().test(large).done);
  // The other paths still bring what was meant for these receives.
  victim.send(2, message(victim.data(2), std::vector<std::byte>(16, std::byte{3})));
  EXPECT_TRUE(victim.link().test(small).done);
  EXPECT_TRUE(first.is_intact() && second.is_intact());
  victim.end();
  for (const auto& registrar : victim.registrars) EXPECT_EQ(registrar->live(), 0u);
}

INSTANTIATE_TEST_SUITE_P(All, HostileFrame, ::testing::ValuesIn(kAttacks), [](const auto& one) {
  std::string name = one.param.name;
  for (char& letter : name)
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
  return name;
});

TEST(HostileLink, ChunksByImmediateAreHeldToTheirMessage) {
  struct Case {
    Immediate immediate;
    std::uint32_t bytes;
    const char* error;
  };
  for (const Case& one : {Case{{0, 5, 1}, kChunk, "a chunk outside its message"},
                          Case{{0, 1, 1}, kChunk, "a chunk of the wrong length"},
                          Case{{0, 1, 2}, 100000 - kChunk, "data frames out of order"},
                          Case{{1, 1, 1}, 100000 - kChunk, "has not announced"}}) {
    Victim victim;
    Guarded buffer(100000);
    const RequestId receive = victim.link().post_receive(buffer.data(), buffer.size, 0);
    victim.send(0, message(victim.data(0, 0, 100000)));  // its payload was written
    victim.device.receive_immediate(victim.queue(0), htonl(pack(one.immediate)), one.bytes);
    victim.turn();
    EXPECT_THAT(victim.said, HasSubstr(one.error));
    EXPECT_FALSE(victim.serves(0));
    EXPECT_FALSE(victim.link().test(receive).done);
  }
  Victim victim;
  Guarded buffer(100000);
  const RequestId receive = victim.link().post_receive(buffer.data(), buffer.size, 0);
  victim.send(0, message(victim.data(0, 0, 100000)));
  victim.device.receive_immediate(victim.queue(0), htonl(pack(Immediate{0, 1, 1})), 100000 - kChunk);
  victim.turn();
  EXPECT_TRUE(victim.link().test(receive).done) << victim.said;
}

TEST(HostileLink, FramesBehindAGoodbyeAreNotRead) {
  Victim victim;
  Guarded buffer(100);
  const RequestId receive = victim.link().post_receive(buffer.data(), buffer.size, 0);
  victim.turn();
  FrameHeader goodbye;
  goodbye.type = FrameType::kGoodbye;
  // All in one batch, and each path says it.
  for (std::size_t path = 0; path < kPaths; ++path) {
    victim.device.receive(victim.queue(path), message(goodbye));
    FrameHeader behind = victim.data(path);
    behind.slot = 0xFFFF;
    victim.device.receive(victim.queue(path), message(behind, std::vector<std::byte>(16)));
    FrameHeader down;
    down.type = FrameType::kPathDown;
    down.slot = 0xFFFF;
    down.epoch = ~0u;
    victim.device.receive(victim.queue(path), message(down));
  }
  victim.turn();
  const Completion completion = victim.link().test(receive);
  EXPECT_TRUE(completion.done);
  EXPECT_EQ(completion.status, StatusCode::kPeerLost);
  EXPECT_TRUE(buffer.is_intact());
  EXPECT_EQ(buffer.data()[0], kCanary);
}

TEST(HostileLink, CompletionsOfNobodyAreNobodys) {
  Victim victim;
  Guarded buffer(100);
  const RequestId receive = victim.link().post_receive(buffer.data(), buffer.size, 0);
  victim.turn();
  const std::uint32_t old_queue = victim.queue(0);
  victim.send(0, std::vector<std::byte>(3));  // gone
  ASSERT_FALSE(victim.serves(0));
  // What its NIC had received before comes late; and numbers that never were.
  for (const std::uint32_t number : {old_queue, 0u, 0xFFFFFFu}) {
    ibv_wc completion{};
    completion.opcode = IBV_WC_RECV;
    completion.byte_len = kMessageBytes;
    completion.qp_num = number;
    victim.device.complete(0, completion);
    completion.wr_id = SendMark{0x7FFFFFFF, 5}.pack();
    victim.device.complete(0, completion);
    completion.wr_id = SendMark{63, 5}.pack();
    completion.status = IBV_WC_FATAL_ERR;
    victim.device.complete(1, completion);
  }
  victim.device.receive(old_queue, message(victim.data(0), std::vector<std::byte>(16)));
  victim.turn();
  for (std::size_t path = 1; path < kPaths; ++path) EXPECT_TRUE(victim.serves(path)) << path;
  EXPECT_FALSE(victim.link().test(receive).done) << "what comes by a fenced path is not taken";
  EXPECT_EQ(buffer.data()[0], kCanary);
}

TEST(HostileLink, ACountThatWasNeverPostedCostsThePath) {
  Victim victim;
  ASSERT_FALSE(victim.device.sends(victim.queue(0)).empty()) << "the answer to the probe";
  const SendMark mark = SendMark::unpack(victim.device.sends(victim.queue(0)).front().id);
  ibv_wc completion{};
  completion.wr_id = SendMark{mark.token, mark.posted + 100}.pack();
  completion.qp_num = victim.queue(0);
  victim.device.complete(0, completion);
  victim.turn();
  EXPECT_FALSE(victim.serves(0));
  EXPECT_TRUE(victim.serves(1));
}

TEST(HostileLink, AQueueThatFailsTakesItsPlaneAlongUntilThereIsAnother) {
  enum class How { kPolling, kReceives, kEvent };
  for (const How how : {How::kPolling, How::kReceives, How::kEvent}) {
    Victim victim;
    if (how == How::kPolling) victim.device.refuses.poll = true;
    if (how == How::kReceives) {
      // Of one plane only: the other has nothing to post.
      victim.device.refuses.receives = true;
      FrameHeader feedback;
      feedback.type = FrameType::kFeedback;
      victim.device.receive(victim.queue(0), message(feedback));
    }
    if (how == How::kEvent) victim.device.report_failure(0);
    victim.turn();
    victim.wait_for_ticks();
    EXPECT_FALSE(victim.serves(0));
    EXPECT_FALSE(victim.serves(1));
    EXPECT_EQ(victim.serves(2), how != How::kPolling);
    EXPECT_THAT(victim.said, HasSubstr("device"));
    victim.device.refuses = {};
    std::uint32_t incarnation = 1;
    for (int tries = 0; tries < 2000 && !(victim.serves(0) && victim.serves(1)); ++tries) {
      victim.wait_for_ticks();
      ++incarnation;
      for (const std::size_t path : {0u, 1u})
        if (!victim.serves(path)) victim.connect(path, incarnation);
    }
    ASSERT_TRUE(victim.serves(0) && victim.serves(1)) << victim.said;
    Guarded buffer(100);
    const RequestId receive = victim.link().post_receive(buffer.data(), buffer.size, 0);
    victim.send(0, message(victim.data(0), std::vector<std::byte>(16)));
    EXPECT_TRUE(victim.link().test(receive).done);
  }
}

TEST(HostileLink, AQueuePairThatCannotBeFencedEndsTheConnection) {
  Victim victim;
  Guarded buffer(100000);
  const RequestId receive = victim.link().post_receive(buffer.data(), buffer.size, 0);
  victim.turn();
  victim.device.refuses.modify_to_error = victim.device.refuses_to_destroy = true;
  victim.send(0, std::vector<std::byte>(3));
  victim.turn();
  EXPECT_FALSE(victim.link().error());
  EXPECT_THAT(victim.link().error().message(), HasSubstr("does not take queue pair"));
  victim.device.refuses = {};
  victim.device.refuses_to_destroy = false;
  victim.turn();
  const Completion completion = victim.link().test(receive);
  EXPECT_TRUE(completion.done);
  EXPECT_NE(completion.status, StatusCode::kOk);
}

TEST(HostileLink, AQueuePairThatOnlyDestroyingStopsIsDestroyed) {
  Victim victim;
  const std::uint32_t queue = victim.queue(0);
  victim.device.refuses.modify_to_error = true;
  victim.send(0, std::vector<std::byte>(3));
  EXPECT_FALSE(victim.device.is_in_service(queue));
  EXPECT_TRUE(victim.link().error()) << "the connection goes on";
  EXPECT_TRUE(victim.serves(1));
}

// Seconds, where the network still holds packets of it or firmware does not answer.
TEST(HostileLink, ADeviceThatIsSlowToDestroyHoldsNothingUp) {
  Victim victim;
  std::promise<void> may_end;
  victim.device.before_destroying = [end = may_end.get_future().share()] { end.wait(); };
  const std::uint32_t queue = victim.queue(0);
  const std::size_t before = victim.device.queue_pairs();
  victim.send(0, std::vector<std::byte>(3));
  EXPECT_FALSE(victim.device.is_in_service(queue));
  victim.wait_for_ticks(100);  // until long after it would have been destroyed
  Guarded buffer(100);
  const RequestId receive = victim.link().post_receive(buffer.data(), buffer.size, 0);
  victim.send(1, message(victim.data(1), std::vector<std::byte>(16)));
  EXPECT_TRUE(victim.link().test(receive).done);
  EXPECT_EQ(victim.device.queue_pairs(), before) << "it is gone already: nothing was shown";
  may_end.set_value();
  victim.wait_for_burials();
  EXPECT_EQ(victim.device.queue_pairs(), before - 1);
}

TEST(HostileLink, DialsByThousandsLeaveNothingBehind) {
  Victim victim;
  const std::size_t before = victim.device.queue_pairs();
  for (std::uint32_t incarnation = 2; incarnation < 2000; ++incarnation) {
    victim.dial(incarnation % kPaths, incarnation);
    if (incarnation % 50 == 0) victim.link().housekeep();
  }
  for (int i = 0; i < 25; ++i) victim.wait_for_ticks();
  victim.wait_for_burials();
  EXPECT_LE(victim.device.queue_pairs(), before + kPaths) << "one in service and one awaited a path";
}

}  // namespace
}  // namespace weft::verbs
