#include "transport/tcp/coding_choice.h"

#include <algorithm>
#include <cassert>
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
// work for the network. A rival may count on more, for it has to win before it is used.
constexpr double kHeadroom = 0.55, kRivalHeadroom = 0.9;
// Before anything is measured: no codec is faster, no floats of 16 bits become smaller.
constexpr double kHopedBytesPerS = 6e9, kHopedRatio = 1.5;
constexpr int kTrials = 2;  // chunks a level; the first may have to make the codec's memory
constexpr int kVainChunks = 3;
constexpr double kSmoothing = 0.25;
constexpr std::uint64_t kLeastChunks = 64;  // before anything is concluded from what was sent
// A turn of a comparison. Shorter ones see the link's bursts, and what still waits of the turn before.
constexpr Duration kTurn = std::chrono::milliseconds(100);
constexpr double kWin = 1.02;
constexpr double kHopeless = 0.85;                    // half of the turns are enough
constexpr Duration kStale = std::chrono::seconds(5);  // turns of a link that seldom sends say nothing
constexpr Duration kTrialsEvery = std::chrono::seconds(2);
constexpr Duration kFirstBetween = std::chrono::seconds(2), kLongestBetween = std::chrono::seconds(16);
constexpr std::size_t kLongMessage = std::size_t{1} << 30;
constexpr std::size_t kChunk = 256 << 10;

void blend(double& value, double fresh, double weight = kSmoothing) {
  value = value == 0 ? fresh : value + (fresh - value) * weight;
}

double seconds(Duration duration) {
  return static_cast<double>(duration.count()) * 1e-9;
}

}  // namespace

double LevelComparison::bytes_per_s(int side) const {
  return sending[side] == Duration::zero() ? 0 : plain_bytes[side] / seconds(sending[side]);
}

CodingChoice::CodingChoice() : next_rest_(kFirstRest) {}

void CodingChoice::rest(const char* reason, Duration how_long, TimePoint now) {
  stage_ = Stage::kRest;
  reason_ = reason;
  long_level_ = short_level_ = Level::kRaw;
  has_proved_itself_ = false;
  comparison_.reset();
  chunks_since_ = 0;
  sending_since_ = Duration::zero();
  rest_until_ = now + how_long;
}

// Each time for longer, until something has proved itself.
void CodingChoice::give_up(const char* reason, TimePoint now) {
  rest(reason, next_rest_, now);
  next_rest_ = std::min(4 * next_rest_, kLongestRest);
}

void CodingChoice::look(const Window& window, TimePoint now) {
  if (window.chunks_sent == 0 || window.wire_bytes_sent == 0 || window.sending <= Duration::zero()) return;
  note_link(window);
  chunks_since_ += window.chunks_sent;
  sending_since_ += window.sending;
  switch (stage_) {
    case Stage::kRest:
      if (now < rest_until_ || chunks_since_ < kLeastChunks || sending_since_ < kTurn) return;
      if (!may_pay()) {
        reason_ = "the processor, not the link, is what limits it";
        return;
      }
      stage_ = Stage::kSample;
      reason_ = "the next chunk will be looked at";
      return;
    case Stage::kUse:
      check_use(window, now);
      return;
    case Stage::kSample:
    case Stage::kTry:
      return;
  }
}

void CodingChoice::note_link(const Window& window) {
  const double plain = static_cast<double>(window.plain_bytes_sent);
  const double wire = static_cast<double>(window.wire_bytes_sent);
  const double sending = seconds(window.sending);
  // Windows of some milliseconds see the bursts of links and sockets.
  const double weight = sending / (sending + seconds(kTurn));
  blend(link_bytes_per_s_, wire / sending, weight);
  blend(moving_s_per_byte_, seconds(window.moving + window.decoding) / wire, weight);
  blend(processor_load_, seconds(window.moving + window.decoding + window.encoding) / sending, weight);
  const double share = std::min(2.0, static_cast<double>(window.uncoded_bytes_received) / plain);
  received_share_ += (share - received_share_) * weight;
  if (window.thread_load) blend(thread_load_, *window.thread_load, weight);
}

// Whether it is worth the trouble of looking at the data: whether the model would take the best that can be
// hoped for.
bool CodingChoice::may_pay() const {
  if (moving_s_per_byte_ * link_bytes_per_s_ > kBusyProcessor || thread_load_ > kBusyThread) return false;
  double fastest = *std::max_element(rates_.pack_bytes_per_s.begin() + 1, rates_.pack_bytes_per_s.end());
  // What was measured in a bad moment must not be the last word: it is measured again only if this says so.
  fastest = fastest == 0 ? kHopedBytesPerS : std::max(fastest, kHopedBytesPerS / 2);
  const double s_per_byte = moving_s_per_byte_ / kHopedRatio + (1 + received_share_) / fastest;
  return kHeadroom / s_per_byte > link_bytes_per_s_;
}

void CodingChoice::check_use(const Window& window, TimePoint now) {
  if (comparison_) return compare(window, now);
  const bool was_saturated = is_saturated_;
  is_saturated_ = processor_load_ > kSaturated || thread_load_ > kSaturated;
  if (is_saturated_ && !was_saturated) between_comparisons_ = kFirstBetween;
  if (now - last_compared_ >= between_comparisons_) return begin_comparison(now);
  if (now - trials_ended_ >= kTrialsEvery) stage_ = Stage::kSample;
}

// The rival is raw until that is beaten, and every fourth time: a link becomes faster, a processor gets other
// work, and a first victory may have been luck. Otherwise it is the next lower level, and by turns with that
// the one that the model prefers, or one between, or raw, where by now it may be the processor that limits.
void CodingChoice::begin_comparison(TimePoint now) {
  auto rival = static_cast<std::size_t>(long_level_);
  assert(rival != 0);
  const auto preferred =
      static_cast<std::size_t>(is_saturated_ ? Level::kRaw : model(kLongMessage, kRivalHeadroom).level);
  if (!has_proved_itself_ || ++comparisons_ % 4 == 0) {
    rival = 0;
  } else if (comparisons_ % 2 != 0 && preferred != rival) {
    rival = preferred > rival ? preferred - comparisons_ / 2 % (preferred - rival) : preferred;
    if (rival != 0 && !is_possible(static_cast<Level>(rival))) rival = preferred;
  } else {
    while (--rival != 0 && !is_possible(static_cast<Level>(rival))) continue;
  }
  comparison_.emplace();
  comparison_->level[0] = long_level_;
  comparison_->level[1] = static_cast<Level>(rival);
  comparison_->began = now;
}

void CodingChoice::compare(const Window& window, TimePoint now) {
  LevelComparison& comparison = *comparison_;
  if (now - comparison.began > kStale) {
    comparison_.reset();
    return pause_comparisons(now);
  }
  comparison.in_turn += window.sending;
  comparison.plain_bytes[comparison.side()] += static_cast<double>(window.plain_bytes_sent);
  comparison.sending[comparison.side()] += window.sending;
  if (comparison.in_turn < kTurn) return;
  comparison.in_turn = Duration::zero();
  ++comparison.turn;
  const bool is_clear = comparison.turn == LevelComparison::kTurns / 2 &&
                        comparison.bytes_per_s(0) < kHopeless * comparison.bytes_per_s(1);
  if (is_clear || comparison.turn == LevelComparison::kTurns) return end_comparison(now);
}

void CodingChoice::end_comparison(TimePoint now) {
  const LevelComparison comparison = *comparison_;
  comparison_.reset();
  last_comparison_ = comparison;
  const double used = comparison.bytes_per_s(0), rival = comparison.bytes_per_s(1);
  if (comparison.level[1] == Level::kRaw && used < kWin * rival)
    return give_up("it was no faster with compression", now);
  if (!has_proved_itself_) {
    has_proved_itself_ = true;
    next_rest_ = kFirstRest;
    between_comparisons_ = Duration::zero();
  } else if (comparison.level[1] != Level::kRaw && rival >= kWin * used) {
    long_level_ = comparison.level[1];
    reason_ = "the fastest level for this link, as turns have shown";
    between_comparisons_ = Duration::zero();
  } else {
    pause_comparisons(now);
  }
}

void CodingChoice::pause_comparisons(TimePoint now) {
  last_compared_ = now;
  between_comparisons_ = std::clamp(2 * between_comparisons_, kFirstBetween, kLongestBetween);
}

bool CodingChoice::is_possible(Level level) const {
  return level_for(ratios_.type, level) != Level::kRaw;
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
  if (long_level_ == Level::kRaw) reason_ = "the levels are being tried";
  ratios_.ratio = {1, 1, 1, 1};
  trial_level_ = 1;
  while (trial_level_ < kLevels && !is_possible(static_cast<Level>(trial_level_))) ++trial_level_;
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
    case Stage::kUse: {
      // Short messages have their own level, but in a raw turn they are raw: there may be no others.
      const Level turn = comparison_ ? comparison_->level[comparison_->side()] : long_level_;
      return {false, is_alone && turn != Level::kRaw ? short_level_ : turn, ratios_.type};
    }
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
    // Of a level's trials the faster one counts.
    rates_.pack_bytes_per_s[at] =
        trials_left_ == kTrials ? rate : std::max(rates_.pack_bytes_per_s[at], rate);
    ratios_.ratio[at] = ratio;
    if (--trials_left_ != 0) return;
    trials_left_ = kTrials;
    while (++trial_level_ < kLevels && !is_possible(static_cast<Level>(trial_level_))) continue;
    if (trial_level_ < kLevels) return;
    end_trials(now);
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

// A thread codes, sends, receives, and decodes as much as comes the other way.
compression::LevelChoice CodingChoice::model(std::size_t message_bytes, double headroom) const {
  return choose_level({link_bytes_per_s_, message_bytes, kChunk, 1}, ratios_, rates_,
                      compression::ThreadFacts{moving_s_per_byte_, received_share_, headroom});
}

void CodingChoice::end_trials(TimePoint now) {
  trials_ended_ = now;
  last_choice_ = model(kLongMessage, has_proved_itself_ ? kRivalHeadroom : kHeadroom);
  has_chosen_ = true;
  if (last_choice_.level == Level::kRaw) return give_up("no level would be faster", now);
  short_level_ = model(kChunk, kHeadroom).level;
  stage_ = Stage::kUse;
  // Data that changes all the time must not make a comparison begin anew and anew: the level that it is about
  // is in use meanwhile.
  if (comparison_ && is_possible(comparison_->level[0]) &&
      (comparison_->level[1] == Level::kRaw || is_possible(comparison_->level[1])))
    return;
  comparison_.reset();
  // What has shown that it is faster is replaced by what shows to be faster still, and given up if no level
  // is forecast to be worth it, but not replaced by a forecast.
  if (has_proved_itself_ && is_possible(long_level_)) return;
  long_level_ = last_choice_.level;
  reason_ = "the fastest level for this link";
  has_proved_itself_ = false;
  between_comparisons_ = Duration::zero();
}

std::string CodingChoice::why(const std::string& other_reason) const {
  std::string text = other_reason.empty() ? reason_ : other_reason;
  char part[120];
  if (link_bytes_per_s_ > 0) {
    std::snprintf(part, sizeof part, "; the link carries %.3g GB/s", link_bytes_per_s_ / 1e9);
    text += part;
  }
  // Only large transfers are timed; without one these are no measurement.
  if (moving_s_per_byte_ > 0) {
    std::snprintf(part, sizeof part,
                  ", moving a byte takes %.3g ns, sockets and codecs load the processor by %.0f %%",
                  moving_s_per_byte_ * 1e9, processor_load_ * 100);
    text += part;
  }
  if (last_comparison_.turn != 0) {
    char compared[120];
    std::snprintf(
        compared, sizeof compared, "; by turns, %s: %.3g, %s: %.3g GB/s",
        std::string(to_string(last_comparison_.level[0])).c_str(), last_comparison_.bytes_per_s(0) / 1e9,
        std::string(to_string(last_comparison_.level[1])).c_str(), last_comparison_.bytes_per_s(1) / 1e9);
    text += compared;
  }
  if (has_chosen_)
    text.append("\nforecast for long messages, of when the levels were last tried:\n")
        .append(to_string(last_choice_));
  return text;
}

}  // namespace weft::tcp
