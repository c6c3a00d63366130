// Every error that an endpoint can find in a peer's frame, provoked by the smallest frame that does, and what
// is left standing after it. (What a peer can do with many frames is tests/fuzz/fuzz_endpoint.cc's.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/multipath/endpoint_pair.h"
#include "transport/multipath/endpoint.h"

namespace weft::multipath {
namespace {

constexpr PathId kHostilePath{0};
constexpr PathId kOtherPath{1};
constexpr std::size_t kCapacity = 4096;  // of the one receive that the victim has posted, number 0

struct Attack {
  const char* name;
  const char* error;                // of the last frame
  std::vector<FrameHeader> frames;  // all others are in order
};

void PrintTo(const Attack& attack, std::ostream* out) {
  *out << attack.name;
}

// A whole message for the victim's receive.
FrameHeader data() {
  FrameHeader header;
  header.type = FrameType::kData;
  header.chunk_shift = 10;
  header.length = 1024;
  header.message_bytes = 1024;
  return header;
}

template <typename Change>
FrameHeader data_but(Change change) {
  FrameHeader header = data();
  change(header);
  return header;
}

template <typename Change>
FrameHeader control(FrameType type, Change change) {
  FrameHeader header;
  header.type = type;
  change(header);
  return header;
}

std::vector<Attack> attacks_with_data() {
  using H = FrameHeader;
  return {
      {"chunks of 2 GiB", "a data frame with an impossible chunk size", {data_but([](H& h) {
         h.chunk_shift = 31;
       })}},
      {"a shift beyond the width of a word",
       "a data frame with an impossible chunk size",
       {data_but([](H& h) { h.chunk_shift = 255; })}},
      {"one chunk too many", "a message in more chunks than the limit", {data_but([](H& h) {
         h.message_bytes = kMaxChunksPerMessage * 1024 + 1;
       })}},
      {"the largest message that can be written down",
       "a message in more chunks than the limit",
       {data_but([](H& h) { h.message_bytes = ~std::uint64_t{0}; })}},
      {"an offset between two chunks", "a chunk outside its message", {data_but([](H& h) {
         h.message_bytes = 2048, h.offset = 1;
       })}},
      {"an offset behind the last chunk", "a chunk outside its message", {data_but([](H& h) {
         h.offset = 1024;
       })}},
      {"an offset that would wrap", "a chunk outside its message", {data_but([](H& h) {
         h.offset = ~std::uint64_t{1023};
       })}},
      {"a byte too many", "a chunk of the wrong length", {data_but([](H& h) { h.length = 1025; })}},
      {"a byte too few", "a chunk of the wrong length", {data_but([](H& h) { h.length = 1023; })}},
      {"a payload for a message that did not fit", "a chunk of the wrong length", {data_but([](H& h) {
         h.flags = kFlagTruncated;
       })}},
      {"data for a slot beyond the table", "a slot beyond the limit", {data_but([](H& h) {
         h.slot = kSlots;
       })}},
      {"data for the next receive", "data for a receive that was never posted", {data_but([](H& h) {
         h.slot = 1;
       })}},
      {"data for a receive of the next round",
       "data for a receive that was never posted",
       {data_but([](H& h) { h.epoch = 1; })}},
      {"a sequence number behind the window",
       "more unacknowledged frames than the window",
       {data_but([](H& h) { h.path_sequence = kPathWindowFrames; })}},
      {"a byte more than the receive has room for", "a message larger than its receive", {data_but([](H& h) {
         h.message_bytes = kCapacity + 1;
       })}},
      {"a second chunk of a longer message",
       "chunks of one message that disagree",
       {data_but([](H& h) { h.message_bytes = 2048; }),
        data_but([](H& h) { h.message_bytes = 3072, h.offset = 1024, h.path_sequence = 1; })}},
      {"a second chunk of another size",
       "chunks of one message that disagree",
       {data_but([](H& h) { h.message_bytes = 2048; }), data_but([](H& h) {
          h.message_bytes = 2048, h.chunk_shift = 9, h.length = 512, h.offset = 512, h.path_sequence = 1;
        })}},
      {"a message that began and then did not fit",
       "chunks of one message that disagree",
       {data_but([](H& h) { h.message_bytes = 2048; }), data_but([](H& h) {
          h.message_bytes = 2048, h.flags = kFlagTruncated, h.length = 0, h.path_sequence = 1;
        })}},
      {"data with a clear-to-send beyond the slots", "more clear-to-sends than slots", {data_but([](H& h) {
         h.flags = kFlagCredit, h.credit_number = kSlots;
       })}},
      {"data with the clear-to-send furthest ahead", "more clear-to-sends than slots", {data_but([](H& h) {
         h.flags = kFlagCredit, h.credit_number = 0x7FFFFFFF;
       })}},
      {"data that acknowledges what was never sent",
       "an acknowledgement of frames that were never sent",
       {data_but([](H& h) { h.path_acknowledged = 1; })}},
  };
}

std::vector<Attack> attacks_with_control() {
  using H = FrameHeader;
  using T = FrameType;
  return {
      {"an acknowledgement too many",
       "an acknowledgement of frames that were never sent",
       {control(T::kFeedback, [](H& h) { h.path_acknowledged = 1; })}},
      {"a credit too many",
       "it saw more clear-to-sends than were sent",
       {control(T::kFeedback, [](H& h) { h.credit_seen = 2; })}},
      {"credit for a slot beyond the table",
       "a clear-to-send for a slot beyond the limit",
       {control(T::kClearToSend, [](H& h) { h.slot = kSlots; })}},
      {"credit a whole round too early",
       "more clear-to-sends than slots",
       {control(T::kClearToSend, [](H& h) { h.epoch = 1, h.slot = 1; })}},
      {"credit for a slot whose credit nobody took",
       "more clear-to-sends than slots",
       {control(T::kClearToSend, [](H& h) { h.epoch = 1; })}},
      {"news of a path that does not exist",
       "a path-down for a path that does not exist",
       {control(T::kPathDown, [](H& h) { h.slot = 2, h.epoch = 1; })}},
      {"a path that says it is dead",
       "a path-down sent over the dead path itself",
       {control(T::kPathDown, [](H& h) { h.slot = index(kHostilePath), h.epoch = 1; })}},
      {"an account of what is not dead",
       "a path-down whose account is of a living incarnation",
       {control(T::kPathDown,
                [](H& h) { h.slot = index(kOtherPath), h.epoch = 0, h.account_incarnation = 1; })}},
      {"a confirmation for a path that does not exist",
       "a confirmation for a path that does not exist",
       {control(T::kPathDownConfirm, [](H& h) { h.slot = 2; })}},
      {"a type that decode() lets nobody send",
       "a frame of unknown type",
       {control(static_cast<T>(99), [](H&) {})}},
  };
}

std::vector<Attack> all_attacks() {
  std::vector<Attack> all = attacks_with_data();
  for (Attack& attack : attacks_with_control()) all.push_back(std::move(attack));
  return all;
}

// `b` is the victim; each end has a receive posted for which nothing is sent. What `a` says on the hostile
// path the test says in its place.
class HostileFrames : public testing::TestWithParam<Attack> {
 protected:
  HostileFrames() : pair_(EndpointPair::small_config(2)), memory_(kCapacity) {
    pair_.connect_all();
    EXPECT_NE(pair_.b().post_receive(memory_.data(), memory_.size(), 1), RequestId::kNone);
    EXPECT_NE(pair_.a().post_receive(nullptr, 0, 1), RequestId::kNone);
    pair_.settle();
  }

  const char* say(const FrameHeader& header) {
    return pair_.b().handle_frame(kHostilePath, Incarnation{1}, header, pair_.now());
  }

  // What a driver does when it is told of a protocol error; the socket ends for the peer too.
  void end_hostile_path() {
    for (int which : {0, 1}) pair_.end(which).attached[index(kHostilePath)] = EndpointPair::kNone;
    pair_.b().path_lost(kHostilePath, Incarnation{1}, LossReason::kProtocolError, pair_.now());
    pair_.a().path_lost(kHostilePath, Incarnation{1}, LossReason::kClosed, pair_.now());
  }

  void expect_healthy_message(Endpoint& from, Endpoint& to) {
    std::vector<std::byte> sent(3000);
    for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<std::byte>(i * 31 + (i >> 8));
    std::vector<std::byte> got(sent.size());
    const RequestId receive = to.post_receive(got.data(), got.size(), 2);
    const RequestId send = from.post_send(pair_.now(), sent.data(), sent.size(), 2);
    pair_.settle();
    const Completion received = to.take_completion(receive);
    ASSERT_TRUE(received.done);
    EXPECT_EQ(received.status, StatusCode::kOk);
    EXPECT_EQ(received.bytes, sent.size());
    EXPECT_EQ(got, sent);
    const Completion done = from.take_completion(send);
    ASSERT_TRUE(done.done);
    EXPECT_EQ(done.status, StatusCode::kOk);
  }

  EndpointPair pair_;
  std::vector<std::byte> memory_;
};

TEST_P(HostileFrames, EndOnePathAndNothingElse) {
  const Attack& attack = GetParam();
  for (std::size_t i = 0; i + 1 < attack.frames.size(); ++i) {
    const char* error = say(attack.frames[i]);
    ASSERT_EQ(error, nullptr) << "frame " << i << " is only there to prepare the last: " << error;
  }
  const FrameHeader& last = attack.frames.back();
  const Landing landing = pair_.b().data_begins(kHostilePath, Incarnation{1}, last);
  if (landing.verdict == LandingVerdict::kProtocolError && last.type == FrameType::kData) {
    EXPECT_STREQ(landing.error, attack.error) << "before the payload comes";
    EXPECT_EQ(landing.at, nullptr);
  }
  ASSERT_STREQ(say(last), attack.error);

  end_hostile_path();
  std::vector<PathId> carried;
  pair_.filter = [&carried](int, const Transmission& frame) {
    if (frame.header.type == FrameType::kData) carried.push_back(frame.path);
    return true;
  };
  expect_healthy_message(pair_.a(), pair_.b());
  expect_healthy_message(pair_.b(), pair_.a());
  EXPECT_THAT(carried, testing::AllOf(testing::Not(testing::IsEmpty()), testing::Each(kOtherPath)));
  EXPECT_EQ(pair_.end(0).protocol_error, nullptr);
  EXPECT_EQ(pair_.end(1).protocol_error, nullptr);
  EXPECT_FALSE(pair_.b().failed());
  EXPECT_FALSE(pair_.b().peer_closed());
  EXPECT_EQ(pair_.b().paths()[index(kHostilePath)].failures, 1u);
  EXPECT_EQ(pair_.b().paths()[index(kOtherPath)].failures, 0u);
}

std::string case_name(const testing::TestParamInfo<Attack>& info) {
  std::string name = info.param.name;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(EveryError, HostileFrames, testing::ValuesIn(all_attacks()), case_name);

// Of two errors only the words differ; so a new one without an attack above is found by its words.
TEST(HostileFramesTable, HasAnAttackForEveryErrorInTheSources) {
  const std::regex error_text("(?:return|kProtocolError,\\s*nullptr,)\\s*\"([^\"]+)\"");
  std::set<std::string> in_sources;
  for (const auto& entry : std::filesystem::directory_iterator(WEFT_MULTIPATH_SOURCES)) {
    if (!entry.path().filename().string().starts_with("endpoint")) continue;
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    const std::string source = text.str();
    for (std::sregex_iterator found(source.begin(), source.end(), error_text), end; found != end; ++found)
      in_sources.insert((*found)[1].str());
  }
  std::set<std::string> provoked;
  for (const Attack& attack : all_attacks()) provoked.insert(attack.error);
  EXPECT_EQ(provoked, in_sources);
}

}  // namespace
}  // namespace weft::multipath
