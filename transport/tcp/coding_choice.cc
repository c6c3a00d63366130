#include "transport/tcp/coding_choice.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "compression/slot_format.h"

namespace weft::tcp {

using compression::ElementType;
using compression::kLevels;
using compression::Level;
using multipath::Duration;
using multipath::TimePoint;

namespace {

constexpr Duration kFirstRest = std::chrono::milliseconds(250);
constexpr Duration kLongestRest = std::chrono::seconds(16);
// A processor that is busy for more than this share of the time is what limits the transfer.
constexpr double kBusyProcessor = 0.6;
constexpr double kBusyThread = 0.7;
constexpr double kSaturated = 0.85;
// What a level may count on of a processor: the rest goes to what nobody measures here, such as the kernel's
// work for the network, and a thread that codes all the time is late with everything else.
constexpr double kHeadroom = 0.55;
// Where coding takes all of the processor, how fast the link is shows only without: how often it is asked.
constexpr Duration kRawEvery = std::chrono::seconds(5), kRawFor = std::chrono::milliseconds(50);
// Before anything is measured: no codec is faster, no floats of 16 bits become smaller.
constexpr double kHopedBytesPerS = 6e9, kHopedRatio = 1.5;
constexpr int kTrials = 2;  // chunks a level; the first may have to make the codec's memory
constexpr int kVainChunks = 3;
constexpr double kSmoothing = 0.25;
constexpr std::uint64_t kProofChunks = 64;  // that smoothed rates need to follow
constexpr Duration kProofTime = std::chrono::milliseconds(100);
constexpr double kProvedGain = 1.02;
constexpr Duration kTrialsEvery = std::chrono::seconds(2);
constexpr std::size_t kLongMessage = std::size_t{1} << 30;
constexpr std::size_t kChunk = 256 << 10;

void blend(double& value, double fresh) {
  value = value == 0 ? fresh : value + (fresh - value) * kSmoothing;
}

double seconds(Duration duration) {
  return static_cast<double>(duration.count()) * 1e-9;
}

}  // namespace

CodingChoice::CodingChoice() : next_rest_(kFirstRest) {}

void CodingChoice::rest(const char* reason, Duration how_long, TimePoint now) {
  stage_ = Stage::kRest;
  reason_ = reason;
  long_level_ = short_level_ = Level::kRaw;
  in_use_ = has_proved_itself_ = false;
  chunks_since_ = 0;
  rest_until_ = now + how_long;
}

// Each time for longer, until something has proved itself.
void CodingChoice::give_up(const char* reason, TimePoint now) {
  rest(reason, next_rest_, now);
  next_rest_ = std::min(2 * next_rest_, kLongestRest);
}

void CodingChoice::look(const Window& window, TimePoint now) {
  if (window.chunks_sent == 0 || window.wire_bytes_sent == 0 || window.delivered_bytes_per_s <= 0) return;
  const double plain = static_cast<double>(window.plain_bytes_sent);
  const double wire = static_cast<double>(window.wire_bytes_sent);
  delivered_bytes_per_s_ = window.delivered_bytes_per_s;
  link_bytes_per_s_ = window.delivered_bytes_per_s * wire / plain;
  blend(moving_s_per_byte_, seconds(window.moving + window.decoding) / wire);
  received_share_ = std::min(2.0, static_cast<double>(window.uncoded_bytes_received) / plain);
  thread_load_ = window.thread_load;
  processor_load_ =
      seconds(window.moving + window.decoding + window.encoding) / plain * window.delivered_bytes_per_s;
  chunks_since_ += window.chunks_sent;
  switch (stage_) {
    case Stage::kRest:
      if (now < rest_until_ || chunks_since_ < kProofChunks) return;
      if (!may_pay()) {
        reason_ = "the processor, not the link, is what limits it";
        return;
      }
      raw_bytes_per_s_ = delivered_bytes_per_s_;
      stage_ = Stage::kSample;
      return;
    case Stage::kUse:
      check_use(now);
      return;
    case Stage::kSample:
    case Stage::kTry:
      return;
  }
}

// Whether it is worth the trouble of looking at the data.
bool CodingChoice::may_pay() const {
  if (moving_s_per_byte_ * link_bytes_per_s_ > kBusyProcessor || thread_load_ > kBusyThread) return false;
  double fastest = *std::max_element(rates_.pack_bytes_per_s.begin() + 1, rates_.pack_bytes_per_s.end());
  if (fastest == 0) fastest = kHopedBytesPerS;
  const double s_per_byte = moving_s_per_byte_ / kHopedRatio + (1 + received_share_) / fastest;
  return std::min(1 / s_per_byte, kHopedRatio * link_bytes_per_s_) > link_bytes_per_s_;
}

void CodingChoice::check_use(TimePoint now) {
  if (!has_proved_itself_ && chunks_since_ >= kProofChunks && now - use_began_ >= kProofTime) {
    if (delivered_bytes_per_s_ < kProvedGain * raw_bytes_per_s_)
      return give_up("it was no faster with compression", now);
    has_proved_itself_ = true;
    next_rest_ = kFirstRest;
  }
  const bool is_saturated = processor_load_ > kSaturated || thread_load_ > kSaturated;
  if (is_saturated && has_proved_itself_ && now - use_began_ >= kRawEvery)
    return rest("the link is measured without compression for a moment", kRawFor, now);
  if (now - trials_ended_ >= kTrialsEvery) {
    stage_ = Stage::kSample;
    return;
  }
  decide(now);
}

bool CodingChoice::is_possible(std::size_t level) const {
  return level < kLevels && level_for(ratios_.type, static_cast<Level>(level)) != Level::kRaw;
}

void CodingChoice::sampled(const compression::SampledRatios& ratios, TimePoint now) {
  constexpr double kLeastGain = 1.05;
  ratios_.type = ratios.type;
  const double best = *std::max_element(ratios.ratio.begin(), ratios.ratio.end());
  if (best < kLeastGain) return give_up("the data does not become smaller", now);
  begin_trials();
}

void CodingChoice::begin_trials() {
  stage_ = Stage::kTry;
  ratios_.ratio = {1, 1, 1, 1};
  trial_level_ = 1;
  while (trial_level_ < kLevels && !is_possible(trial_level_)) ++trial_level_;
  trials_left_ = kTrials;
  vain_chunks_ = 0;
}

CodingChoice::Step CodingChoice::next(bool is_alone) const {
  switch (stage_) {
    case Stage::kRest:
      return {};
    case Stage::kSample:
      return {true, Level::kRaw, ratios_.type};
    case Stage::kTry:
      return {false, static_cast<Level>(trial_level_), ratios_.type};
    case Stage::kUse:
      return {false, is_alone ? short_level_ : long_level_, ratios_.type};
  }
  return {};
}

void CodingChoice::encoded(Level level, std::size_t plain_bytes, std::size_t coded_bytes, Duration took,
                           TimePoint now) {
  const auto at = static_cast<std::size_t>(level);
  const double plain = static_cast<double>(plain_bytes);
  const double rate = plain / std::max(1e-9, seconds(took));
  const double ratio = coded_bytes == 0 ? 1 : plain / static_cast<double>(coded_bytes);
  if (stage_ == Stage::kTry && at == trial_level_) {
    // Of a level's trials the faster one counts, unless it was measured before.
    rates_.pack_bytes_per_s[at] =
        trials_left_ == kTrials ? rate : std::max(rates_.pack_bytes_per_s[at], rate);
    ratios_.ratio[at] = ratio;
    if (--trials_left_ != 0) return;
    trials_left_ = kTrials;
    while (++trial_level_ < kLevels && !is_possible(trial_level_)) continue;
    if (trial_level_ < kLevels) return;
    trials_ended_ = now;
    decide(now);
    return;
  }
  blend(rates_.pack_bytes_per_s[at], rate);
  blend(ratios_.ratio[at], ratio);
  vain_chunks_ = coded_bytes == 0 ? vain_chunks_ + 1 : 0;
  if (stage_ == Stage::kUse && vain_chunks_ >= kVainChunks) {
    stage_ = Stage::kSample;
    vain_chunks_ = 0;
  }
}

void CodingChoice::decoded(Level level, std::size_t plain_bytes, Duration took) {
  blend(rates_.unpack_bytes_per_s[static_cast<std::size_t>(level)],
        static_cast<double>(plain_bytes) / std::max(1e-9, seconds(took)));
}

// Payload per second of a thread that codes, sends, receives, and decodes as much as comes the other way.
double CodingChoice::processor_rate(std::size_t level) const {
  const double pack = rates_.pack_bytes_per_s[level];
  if (pack == 0) return 0;
  const double unpack =
      rates_.unpack_bytes_per_s[level] == 0 ? pack : std::min(pack, rates_.unpack_bytes_per_s[level]);
  const double s_per_byte = moving_s_per_byte_ / ratios_.ratio[level] + 1 / pack + received_share_ / unpack;
  return kHeadroom / s_per_byte;
}

void CodingChoice::decide(TimePoint now) {
  compression::CodecRates rates;
  for (std::size_t level = 1; level < kLevels; ++level) {
    const double rate = std::max(1.0, processor_rate(level));
    rates.pack_bytes_per_s[level] = rates.unpack_bytes_per_s[level] = rate;
  }
  compression::LinkFacts link{link_bytes_per_s_, kLongMessage, kChunk, 1};
  last_choice_ = choose_level(link, ratios_, rates);
  has_chosen_ = true;
  long_level_ = last_choice_.level;
  link.message_bytes = kChunk;
  short_level_ = choose_level(link, ratios_, rates).level;
  if (long_level_ == Level::kRaw) return give_up("no level would be faster", now);
  reason_ = "the fastest level for this link";
  stage_ = Stage::kUse;
  if (in_use_) return;
  in_use_ = true;
  use_began_ = now;
  chunks_since_ = 0;
}

std::string CodingChoice::why() const {
  char load[120];
  std::snprintf(load, sizeof load,
                "; the link carries %.3g GB/s, sockets and codecs load the processor by %.0f %%",
                link_bytes_per_s_ / 1e9, processor_load_ * 100);
  std::string text = reason_;
  if (link_bytes_per_s_ > 0) text += load;
  if (has_chosen_) text += "\n" + to_string(last_choice_);
  return text;
}

}  // namespace weft::tcp
