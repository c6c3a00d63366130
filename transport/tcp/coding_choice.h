// Whether chunks are coded before they go to the socket, and at which level, where WEFT_COMPRESS=auto leaves
// that open. A level is used only where the link, not the processor, is what limits a transfer: the link's
// rate and the time that sockets take are measured while data flows, rate and ratio of each level with chunks
// that are sent anyway. What the model chooses from that has to win, in turns, against sending as it is, and
// then now and then against its neighbours: a model does not see everything that coding costs.
//
// No clock inside: times are arguments. One thread at a time; nothing allocates but why().
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "compression/slot/level_choice.h"
#include "transport/multipath/types.h"

namespace weft::tcp {

// Two levels by turns: A B B A, so that a drift does not count for either.
struct LevelComparison {
  static constexpr int kTurns = 4;
  compression::Level level[2]{};  // what is in use, its rival
  int turn = 0;
  multipath::Duration in_turn{};
  multipath::TimePoint began{};
  double plain_bytes[2]{};
  multipath::Duration sending[2]{};

  int side() const { return turn == 1 || turn == 2; }
  double bytes_per_s(int side) const;
};

class CodingChoice {
 public:
  CodingChoice();

  // What was seen of the link since the last look().
  struct Window {
    // Time in which something was on its way to the peer.
    multipath::Duration sending{};
    std::uint64_t chunks_sent = 0;
    std::uint64_t plain_bytes_sent = 0, wire_bytes_sent = 0;
    std::uint64_t uncoded_bytes_received = 0;
    multipath::Duration moving{};    // time in sockets, of large transfers
    multipath::Duration decoding{};  // what the peer had coded
    multipath::Duration encoding{};
    // Share of its time that the thread spent on these three, for all its links, if one thread did it all.
    std::optional<double> thread_load;
  };
  void look(const Window& window, multipath::TimePoint now);

  // What is to be done with the next chunk.
  struct Step {
    bool sample = false;  // look what type it has, say so with sampled(), and ask again
    compression::Level level = compression::Level::kRaw;
    compression::ElementType type = compression::ElementType::kBytes;
  };
  // `is_alone`: its message is about as short as the chunk, so that nothing of its coding overlaps with
  // sending.
  Step next(bool is_alone) const;
  void sampled(const compression::SampledRatios& ratios, multipath::TimePoint now);
  // `coded_bytes` 0: it did not become smaller.
  void encoded(compression::Level level, std::size_t plain_bytes, std::size_t coded_bytes,
               multipath::Duration took, multipath::TimePoint now);
  void decoded(compression::Level level, std::size_t plain_bytes, multipath::Duration took);

  // False: every chunk goes as it is.
  bool is_active() const { return stage_ != Stage::kRest; }
  compression::Level level() const { return long_level_; }  // of long messages
  compression::ElementType type() const { return ratios_.type; }
  // For people: the last reason, or one that the caller knows better, what was measured of the link, and the
  // model with its inputs if it was asked.
  std::string why(const std::string& other_reason = {}) const;

 private:
  enum class Stage : std::uint8_t { kRest, kSample, kTry, kUse };

  void rest(const char* reason, multipath::Duration how_long, multipath::TimePoint now);
  void give_up(const char* reason, multipath::TimePoint now);
  void note_link(const Window& window);
  bool may_pay() const;
  void begin_trials();
  void end_trials(multipath::TimePoint now);
  bool is_possible(compression::Level level) const;
  compression::LevelChoice model(std::size_t message_bytes, double headroom) const;
  void check_use(const Window& window, multipath::TimePoint now);
  void begin_comparison(multipath::TimePoint now);
  void pause_comparisons(multipath::TimePoint now);
  void compare(const Window& window, multipath::TimePoint now);
  void end_comparison(multipath::TimePoint now);

  Stage stage_ = Stage::kRest;
  multipath::TimePoint rest_until_{};
  multipath::Duration next_rest_;
  const char* reason_ = "too little was sent yet to judge the link";

  // The link, as it carries data of any kind, and what the processor does for a byte of it, in seconds.
  double link_bytes_per_s_ = 0;
  double moving_s_per_byte_ = 0;
  double received_share_ = 0;  // bytes received uncoded, for each byte sent
  double thread_load_ = 0;
  double processor_load_ = 0;  // what this link's bytes load a processor with while they are sent

  compression::SampledRatios ratios_;
  compression::CodecRates rates_;  // measured; 0: unknown
  std::size_t trial_level_ = 0;
  int trials_left_ = 0;
  int vain_chunks_ = 0;
  multipath::TimePoint trials_ended_{};
  compression::Level long_level_ = compression::Level::kRaw, short_level_ = compression::Level::kRaw;
  compression::LevelChoice last_choice_;
  bool has_chosen_ = false;

  std::uint64_t chunks_since_ = 0;  // since the last rest began
  multipath::Duration sending_since_{};
  bool has_proved_itself_ = false;
  std::optional<LevelComparison> comparison_;
  LevelComparison last_comparison_;  // for people
  multipath::TimePoint last_compared_{};
  multipath::Duration between_comparisons_{};
  unsigned comparisons_ = 0;  // that followed a first victory
  bool is_saturated_ = false;
};

}  // namespace weft::tcp
