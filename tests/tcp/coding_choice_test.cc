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

constexpr std::size_t kChunk = 256 << 10;

Duration after(double seconds) {
  return Duration(static_cast<Duration::rep>(seconds * 1e9));
}

// One direction of a connection and the processor behind it, which sends and codes while the network carries
// what it was given before.
class Transfer {
 public:
  double link_bytes_per_s = 125e6;
  double moving_s_per_byte = 0.15e-9;  // on the wire
  std::array<double, compression::kLevels> ratios{1, 1.33, 1.44, 1.49};
  std::array<double, compression::kLevels> pack_bytes_per_s{0, 6e9, 4e9, 1e9};
  double hidden_s_per_byte = 0;  // what coding costs besides, where nobody measures it
  double hidden_share = 0;       // the same, as a part of the time that it takes
  double unsteadiness = 0;       // by how much the link's rate may be off in a window, in parts of it
  double thread_load = 0;        // by other links

  // Returns what it carried, bytes of payload per second.
  double run(double seconds) {
    const TimePoint end = now_ + after(seconds);
    const TimePoint began = now_;
    std::uint64_t carried = 0;
    while (now_ < end) carried += window();
    return static_cast<double>(carried) / (static_cast<double>((now_ - began).count()) * 1e-9);
  }
  const CodingChoice& choice() const { return choice_; }
  int samples() const { return samples_; }

 private:
  std::uint64_t window() {
    CodingChoice::Window window;
    double network = 0, processor = 0, hidden = 0;
    while (window.chunks_sent < 32) {
      CodingChoice::Step step = choice_.next(false);
      if (step.sample) {
        ++samples_;
        SampledRatios sampled;
        sampled.type = ElementType::kBfloat16;
        sampled.ratio = ratios;
        choice_.sampled(sampled, now_);
        step = choice_.next(false);
      }
      const auto level = static_cast<std::size_t>(step.level);
      double wire = kChunk;
      if (step.level != Level::kRaw) {
        wire = kChunk / ratios[level];
        const double took = kChunk / pack_bytes_per_s[level];
        choice_.encoded(step.level, kChunk, static_cast<std::size_t>(wire), after(took), now_);
        window.encoding += after(took);
        processor += took;
        hidden += kChunk * hidden_s_per_byte + took * hidden_share;
      }
      network += wire / link_bytes_per_s;
      processor += wire * moving_s_per_byte;
      window.moving += after(wire * moving_s_per_byte);
      window.wire_bytes_sent += static_cast<std::uint64_t>(wire);
      window.plain_bytes_sent += kChunk;
      ++window.chunks_sent;
    }
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    network *= 1 + unsteadiness * (static_cast<double>(state_ >> 33) / 0x1p30 - 1);
    const double took = std::max(network, processor) + hidden;
    now_ += after(took);
    window.sending = after(took);
    window.thread_load = std::min(1.0, processor / took + thread_load);
    choice_.look(window, now_);
    return window.plain_bytes_sent;
  }

  CodingChoice choice_;
  TimePoint now_{std::chrono::seconds(1)};
  int samples_ = 0;
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
  transfer.run(1);
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
  transfer.run(4);
  EXPECT_EQ(transfer.choice().level(), Level::kDense) << transfer.choice().why();
  EXPECT_GT(transfer.run(40), 0.98 * dense);
  ASSERT_GT(0.9 * dense, archive) << "else this shows nothing";
}

// Rates that swing by half from one window to the next, as bursts make them.
TEST(CodingChoice, IsNotMisledByAnUnsteadyLink) {
  for (const double link : {60e6, 125e6, 400e6}) {
    Transfer transfer;
    transfer.link_bytes_per_s = link;
    transfer.unsteadiness = 0.5;
    transfer.run(1);
    EXPECT_GT(transfer.run(40), 1.38 * transfer.link_bytes_per_s) << link << ": " << transfer.choice().why();
  }
}

TEST(CodingChoice, SeesThatOtherLinksKeepItsThreadBusy) {
  Transfer transfer;
  transfer.thread_load = 0.9;
  transfer.run(5);
  EXPECT_EQ(transfer.samples(), 0);
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
