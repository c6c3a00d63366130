// What WEFT_COMPRESS=auto makes of links, processors and data: a model of a transfer that is never idle, in
// virtual time.
#include "transport/tcp/coding_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace weft::tcp {
namespace {

using compression::ElementType;
using compression::Level;
using compression::SampledRatios;
using multipath::Duration;
using multipath::TimePoint;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::size_t kChunk = 64 << 10;

Duration after(double seconds) {
  return Duration(static_cast<Duration::rep>(seconds * 1e9));
}

// One direction of a connection and the processor behind it, which codes and sends while the network carries
// what it was given before: at most as much as `queue_s` takes.
class Transfer {
 public:
  double link_bytes_per_s = 125e6;
  double queue_s = 0.02;
  // The link's rate is off by this part of it, up or down, for 10 to 70 ms at a time, as bursts make it.
  double unsteadiness = 0;
  double moving_s_per_byte = 0.15e-9;  // on the wire
  std::array<double, compression::kLevels> ratios{1, 1.33, 1.44, 1.49};
  std::array<double, compression::kLevels> pack_bytes_per_s{0, 6e9, 4e9, 1e9};
  double hidden_s_per_byte = 0;  // what coding costs besides, where nobody measures it
  double hidden_share = 0;       // the same, as a part of the time that it takes
  double thread_load = 0;        // by other links
  bool short_messages = false;   // each waits for the one before
  double received_share = 0;     // comes the other way, uncoded
  int vain_every = 0;            // of so many chunks three do not become smaller

  // Returns what it carried, bytes of payload per second.
  double run(double seconds) {
    const double end = now_s_ + seconds, began = now_s_;
    std::uint64_t carried = 0;
    while (now_s_ < end) carried += window();
    return static_cast<double>(carried) / (now_s_ - began);
  }
  void receive_coded(Level level, double bytes_per_s) {
    choice_.decoded(level, kChunk, after(kChunk / bytes_per_s));
  }
  // Of the link's bursts.
  void seed(std::uint64_t seed) { state_ = seed; }
  const CodingChoice& choice() const { return choice_; }
  int samples() const { return samples_; }

 private:
  TimePoint now() const { return TimePoint(after(now_s_)); }

  CodingChoice::Step next_step() {
    CodingChoice::Step step = choice_.next(short_messages);
    if (!step.sample) return step;
    ++samples_;
    SampledRatios sampled;
    sampled.type = ElementType::kBfloat16;
    sampled.ratio = ratios;
    choice_.sampled(sampled, now());
    return choice_.next(short_messages);
  }

  double random() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state_ >> 32) / 0x1p32;
  }
  // Until no more than `left` bytes wait.
  void drain(double left) {
    while (waiting_bytes_ > left) {
      if (now_s_ >= burst_end_s_) {
        burst_rate_ =
            link_bytes_per_s * (burst_rate_ > link_bytes_per_s ? 1 - unsteadiness : 1 + unsteadiness);
        burst_end_s_ = now_s_ + 0.01 + 0.06 * random();
      }
      const double rate = unsteadiness == 0 ? link_bytes_per_s : burst_rate_;
      const double takes = std::min((waiting_bytes_ - left) / rate, burst_end_s_ - now_s_);
      if (!(takes > 1e-12)) break;
      now_s_ += takes;
      waiting_bytes_ -= takes * rate;
    }
  }

  void send_chunk(CodingChoice::Window& window) {
    const CodingChoice::Step step = next_step();
    const auto level = static_cast<std::size_t>(step.level);
    double wire = kChunk, processor = 0, hidden = 0;
    if (step.level != Level::kRaw) {
      const bool vain = vain_every != 0 && chunks_ % vain_every < 3;
      if (!vain) wire = kChunk / ratios[level];
      processor = kChunk / pack_bytes_per_s[level];
      choice_.encoded(step.level, kChunk, vain ? 0 : static_cast<std::size_t>(wire), after(processor), now());
      window.encoding += after(processor);
      hidden = kChunk * hidden_s_per_byte + processor * hidden_share;
    }
    processor += wire * moving_s_per_byte;
    window.moving += after(wire * moving_s_per_byte);
    window.wire_bytes_sent += static_cast<std::uint64_t>(wire);
    window.plain_bytes_sent += kChunk;
    ++window.chunks_sent;
    ++chunks_;
    now_s_ += processor + hidden;
    waiting_bytes_ = std::max(0.0, waiting_bytes_ - processor * link_bytes_per_s) + wire;
    busy_s_ += processor;
    drain(short_messages ? 0 : queue_s * link_bytes_per_s);
  }

  std::uint64_t window() {
    CodingChoice::Window window;
    const double began = now_s_;
    busy_s_ = 0;
    while (window.chunks_sent < 32) send_chunk(window);
    const double took = now_s_ - began;
    window.sending = after(took);
    window.uncoded_bytes_received =
        static_cast<std::uint64_t>(received_share * static_cast<double>(window.plain_bytes_sent));
    window.thread_load = std::min(1.0, busy_s_ / took + thread_load);
    choice_.look(window, now());
    return window.plain_bytes_sent;
  }

  CodingChoice choice_;
  double now_s_ = 1, burst_end_s_ = 0, burst_rate_ = 0;
  double waiting_bytes_ = 0, busy_s_ = 0;
  int samples_ = 0, chunks_ = 0;
  std::uint64_t state_ = 1;
};

TEST(CodingChoice, TakesTheSmallestWhereTheLinkIsSlow) {
  Transfer transfer;
  transfer.run(1);
  EXPECT_EQ(transfer.choice().level(), Level::kArchive) << transfer.choice().why();
  EXPECT_EQ(transfer.choice().type(), ElementType::kBfloat16);
  EXPECT_GT(transfer.run(4), 1.45 * transfer.link_bytes_per_s) << "looking anew now and then costs little";
  EXPECT_THAT(transfer.choice().why(), HasSubstr("archive"));
}

TEST(CodingChoice, TakesWhatTheProcessorCanKeepUpWith) {
  Transfer transfer;
  transfer.link_bytes_per_s = 1e9;
  transfer.run(4);
  EXPECT_EQ(transfer.choice().level(), Level::kDense) << transfer.choice().why();
  EXPECT_GT(transfer.run(4), 1.35 * transfer.link_bytes_per_s);
}

// Half of the processor's time goes into it, and it is faster all the same.
TEST(CodingChoice, MayTakeMuchOfTheProcessor) {
  Transfer transfer;
  transfer.link_bytes_per_s = 1.2e9;
  transfer.pack_bytes_per_s = {0, 5e9, 5e9, 5e9};
  transfer.run(1);
  EXPECT_GT(transfer.run(20), 1.4 * transfer.link_bytes_per_s) << transfer.choice().why();
}

TEST(CodingChoice, LeavesALinkAloneThatIsFasterThanTheProcessor) {
  Transfer transfer;
  transfer.link_bytes_per_s = 1e12;
  transfer.moving_s_per_byte = 0.3e-9;
  const double raw = 1 / transfer.moving_s_per_byte;
  EXPECT_GT(transfer.run(5), 0.999 * raw);
  EXPECT_EQ(transfer.samples(), 0) << "even a look at the data would be in vain";
  EXPECT_THAT(transfer.choice().why(), HasSubstr("processor"));
}

// 100 Gb/s and codecs of 6 GB/s: no level is worth it, and finding that out costs next to nothing.
TEST(CodingChoice, LeavesALinkAloneThatIsFasterThanTheCodecs) {
  Transfer transfer;
  transfer.link_bytes_per_s = 12.5e9;
  transfer.moving_s_per_byte = 0.03e-9;
  EXPECT_GT(transfer.run(10), 0.99 * transfer.link_bytes_per_s);
  EXPECT_EQ(transfer.choice().level(), Level::kRaw);
}

TEST(CodingChoice, LeavesDataAloneThatDoesNotBecomeSmallerAndSeldomLooksAgain) {
  Transfer transfer;
  transfer.ratios = {1, 1, 1.01, 1.02};
  EXPECT_GT(transfer.run(20), 0.99 * transfer.link_bytes_per_s);
  EXPECT_LE(transfer.samples(), 10);
  EXPECT_THAT(transfer.choice().why(), HasSubstr("does not become smaller"));
}

TEST(CodingChoice, FollowsDataThatChanges) {
  Transfer transfer;
  const auto good = transfer.ratios;
  transfer.run(1);
  ASSERT_NE(transfer.choice().level(), Level::kRaw);
  transfer.ratios = {1, 1, 1, 1};
  EXPECT_GT(transfer.run(5), 0.97 * transfer.link_bytes_per_s);
  EXPECT_EQ(transfer.choice().level(), Level::kRaw);
  transfer.ratios = good;
  transfer.run(20);
  EXPECT_NE(transfer.choice().level(), Level::kRaw);
}

TEST(CodingChoice, FollowsALinkThatBecomesFasterOrSlower) {
  Transfer transfer;
  transfer.run(1);
  ASSERT_EQ(transfer.choice().level(), Level::kArchive);
  transfer.link_bytes_per_s = 1e12;
  transfer.run(8);
  EXPECT_GT(transfer.run(10), 0.98 / transfer.moving_s_per_byte);
  EXPECT_EQ(transfer.choice().level(), Level::kRaw);
  transfer.link_bytes_per_s = 125e6;
  transfer.run(20);
  EXPECT_EQ(transfer.choice().level(), Level::kArchive);
}

// The model may be wrong about a machine. What it chose has to show that it is faster.
TEST(CodingChoice, DropsWhatDoesNotHelp) {
  Transfer transfer;
  transfer.link_bytes_per_s = 1e9;
  transfer.hidden_s_per_byte = 1e-9;
  EXPECT_GT(transfer.run(20), 0.98 * transfer.link_bytes_per_s);
  EXPECT_THAT(transfer.choice().why(), HasSubstr("no faster with compression"));
}

// As on a machine whose processors do the network's work too: what archive gains in bytes it loses there.
TEST(CodingChoice, FindsTheLevelThatIsFasterThanTheModelThinks) {
  Transfer transfer;
  transfer.hidden_share = 2;
  const double archive = 1 / (1 / (1.49 * transfer.link_bytes_per_s) + 2 / 1e9);
  const double dense = 1 / (1 / (1.44 * transfer.link_bytes_per_s) + 2 / 4e9);
  transfer.run(20);
  EXPECT_EQ(transfer.choice().level(), Level::kDense) << transfer.choice().why();
  EXPECT_GT(transfer.run(40), 0.98 * dense);
  ASSERT_GT(0.9 * dense, archive) << "else this shows nothing";
}

// Its rate swings from 0.7 to 1.3 of the mean.
TEST(CodingChoice, IsNotMisledByAnUnsteadyLink) {
  for (const double link : {60e6, 125e6, 400e6}) {
    Transfer transfer;
    transfer.link_bytes_per_s = link;
    transfer.unsteadiness = 0.3;
    transfer.run(2);
    EXPECT_GT(transfer.run(60), 1.38 * transfer.link_bytes_per_s) << link << ": " << transfer.choice().why();
  }
}

// Chance decides seldom: in 2 s a level that gains half has shown it.
TEST(CodingChoice, SeesThroughBurstsAtOnce) {
  int raw = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Transfer transfer;
    transfer.seed(seed << 32);
    transfer.unsteadiness = 0.5;
    transfer.run(2);
    raw += transfer.choice().level() == Level::kRaw;
  }
  EXPECT_LE(raw, 1);
}

// What waits in queues when a turn begins was coded as the turn before wanted it.
TEST(CodingChoice, SeesASmallGainBehindALongQueue) {
  Transfer transfer;
  transfer.queue_s = 0.025;
  transfer.ratios = {1, 1.06, 1.06, 1.06};
  transfer.run(2);
  EXPECT_GT(transfer.run(30), 1.04 * transfer.link_bytes_per_s) << transfer.choice().why();
}

// Another job comes to this host, or to the peer's, when a level has long shown what it brings.
TEST(CodingChoice, DropsWhatNoLongerHelps) {
  for (const double hidden : {0.6e-9, 1e-9, 2e-9}) {
    Transfer transfer;
    transfer.link_bytes_per_s = 1e9;
    transfer.run(10);
    ASSERT_NE(transfer.choice().level(), Level::kRaw);
    transfer.hidden_s_per_byte = hidden;
    transfer.run(60);
    EXPECT_GT(transfer.run(60), 0.98 * transfer.link_bytes_per_s)
        << hidden << ": " << transfer.choice().why();
  }
}

// The processor is what limits then, and it is busy: raw is met soon.
TEST(CodingChoice, NoticesSoonThatTheLinkHasBecomeFaster) {
  Transfer transfer;
  transfer.run(100);
  ASSERT_EQ(transfer.choice().level(), Level::kArchive);
  transfer.link_bytes_per_s = 1e12;
  transfer.run(4);
  EXPECT_EQ(transfer.choice().level(), Level::kRaw) << transfer.choice().why();
}

// Whenever three chunks do not become smaller, data is looked at anew: comparisons must end all the same.
TEST(CodingChoice, EndsItsComparisonsWhereDataIsMixed) {
  for (const int every : {23, 40, 100, 300}) {
    Transfer transfer;
    transfer.link_bytes_per_s = 1e9;
    transfer.hidden_s_per_byte = 1e-9;
    transfer.vain_every = every;
    transfer.run(5);
    EXPECT_GT(transfer.run(60), 0.98 * transfer.link_bytes_per_s) << every << ": " << transfer.choice().why();
  }
}

TEST(CodingChoice, KeepsWhatPaysForShortMessages) {
  Transfer transfer;
  transfer.short_messages = true;
  transfer.run(1);
  EXPECT_GT(transfer.run(60), 1.2 * transfer.link_bytes_per_s) << transfer.choice().why();
}

TEST(CodingChoice, SeesThatOtherLinksKeepItsThreadBusy) {
  Transfer transfer;
  transfer.thread_load = 0.9;
  transfer.run(5);
  EXPECT_EQ(transfer.samples(), 0);
}

// It waits for a chunk that is long enough, which may never come, so what it says meanwhile must hold.
TEST(CodingChoice, SaysWhatItWaitsFor) {
  CodingChoice choice;
  EXPECT_EQ(choice.why(), "too little was sent yet to judge the link");
  TimePoint now(after(1));
  CodingChoice::Window window;
  window.sending = after(0.01);
  window.chunks_sent = 20;
  window.plain_bytes_sent = window.wire_bytes_sent = 1'250'000;
  choice.look(window, now);
  EXPECT_THAT(choice.why(),
              StartsWith("too little was sent yet to judge the link; the link carries 0.125 GB/s"));
  for (int i = 0; i < 20; ++i) choice.look(window, now += window.sending);
  ASSERT_TRUE(choice.next(false).sample);
  EXPECT_THAT(choice.why(), StartsWith("the next chunk will be looked at;"));
  EXPECT_THAT(choice.why("chunks are short"), StartsWith("chunks are short; the link carries"));
  EXPECT_THAT(choice.why(), Not(HasSubstr("moving a byte"))) << "nothing large went, so that was not timed";
  SampledRatios sampled;
  sampled.type = ElementType::kBfloat16;
  sampled.ratio = {1, 1.3, 1.4, 1.5};
  choice.sampled(sampled, now);
  EXPECT_THAT(choice.why(), StartsWith("the levels are being tried;"));
}

// Measured rates, and what the model makes of them, are two things.
TEST(CodingChoice, PrintsWhatItMeasured) {
  Transfer transfer;
  transfer.received_share = 0.5;
  transfer.receive_coded(Level::kArchive, 1.9e9);
  transfer.run(10);
  const std::string why = transfer.choice().why();
  EXPECT_THAT(why, HasSubstr("archive ratio 1.490, pack 1 GB/s, unpack 1.9 GB/s, the thread 0.562 GB/s:"));
  EXPECT_THAT(why, HasSubstr("fast    ratio 1.330, pack 6 GB/s, unpack unknown, the thread"));
  EXPECT_THAT(why,
              HasSubstr("moving a byte takes 0.15 ns, 0.5 bytes to decode for each one sent, 90 % of its"));
  EXPECT_THAT(why, HasSubstr("forecast for long messages"));
}

TEST(CodingChoice, LeavesShortMessagesAloneWhereOnlyLongOnesGain) {
  Transfer transfer;
  transfer.link_bytes_per_s = 1.5e9;
  transfer.pack_bytes_per_s = {0, 5e9, 5e9, 5e9};
  transfer.run(1);
  ASSERT_NE(transfer.choice().level(), Level::kRaw) << transfer.choice().why();
  EXPECT_NE(transfer.choice().next(false).level, Level::kRaw);
  EXPECT_EQ(transfer.choice().next(true).level, Level::kRaw);
}

}  // namespace
}  // namespace weft::tcp
