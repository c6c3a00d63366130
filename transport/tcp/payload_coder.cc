#include "transport/tcp/payload_coder.h"

#include <algorithm>
#include <chrono>

#include "compression/slot/codec.h"
#include "compression/slot_format.h"
#include "transport/engine/environment.h"

namespace weft::tcp {

using compression::ElementType;
using compression::Level;
using multipath::Duration;
using multipath::TimePoint;

namespace {

// What is shorter is not coded: it costs its latency, and a slot's header is a large part of it.
constexpr std::size_t kLeastForced = 4 * 1024, kLeastChosen = 16 * 1024;
// After so many short ones in a row the length is what people are told. Long messages end in a short chunk
// too.
constexpr std::uint32_t kShortInARow = 64;
// How often a level that was asked for looks at the data anew.
constexpr std::uint32_t kSampleEvery = 64, kSampleAfterVain = 16;
constexpr std::uint64_t kWindowChunks = 32;
constexpr Duration kWindowTime = std::chrono::milliseconds(100);
constexpr Duration kLeastWindow = std::chrono::milliseconds(4);

// A thread that drives many links is as busy as all of them together make it.
thread_local Duration work_of_this_thread{};

TimePoint clock_now() {
  return TimePoint(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

Level level_of(CompressionChoice choice) {
  switch (choice) {
    case CompressionChoice::kFast:
      return Level::kFast;
    case CompressionChoice::kDense:
      return Level::kDense;
    case CompressionChoice::kArchive:
      return Level::kArchive;
    case CompressionChoice::kAuto:
    case CompressionChoice::kOff:
      break;
  }
  return Level::kRaw;
}

}  // namespace

std::string why_not_agreed(const CodingTerms& terms) {
  if (terms.sends == CompressionChoice::kOff) return "WEFT_COMPRESS=off at this end";
  if (!terms.peers_version) return "the peer's WEFT_COMPRESS is off";
  return "the peer has format version " + std::to_string(*terms.peers_version) + ", this end " +
         std::to_string(compression::kSlotVersion);
}

std::string remedy_if_not_agreed(const CodingTerms& terms) {
  return terms.peers_version ? "Run the same Weft everywhere."
                             : "Set WEFT_COMPRESS there too, to auto or a level.";
}

PayloadCoder::PayloadCoder(const CodingTerms& terms) : terms_(terms) {}

std::size_t PayloadCoder::room_for(std::size_t chunk_bytes) {
  std::size_t room = 0;
  for (int type = 0; type < compression::kElementTypes; ++type)
    for (int level = 1; level < compression::kLevels; ++level)
      room = std::max(room,
                      max_slot_bytes(static_cast<ElementType>(type), static_cast<Level>(level), chunk_bytes));
  return room;
}

CodingChoice::Step PayloadCoder::forced_step(std::span<const std::byte> chunk) {
  if (chunks_until_sample_ == 0) {
    const compression::SampledRatios ratios = compression::find_type(chunk);
    forced_type_ = ratios.type;
    forced_pays_ = level_for(forced_type_, level_of(terms_.sends)) != Level::kRaw &&
                   ratios.ratio[static_cast<std::size_t>(level_of(terms_.sends))] > 1;
    chunks_until_sample_ = forced_pays_ ? kSampleEvery : kSampleAfterVain;
  }
  --chunks_until_sample_;
  return {false, forced_pays_ ? level_of(terms_.sends) : Level::kRaw, forced_type_};
}

CodingChoice::Step PayloadCoder::next_step(std::span<const std::byte> chunk, std::uint64_t message_bytes,
                                           TimePoint now) {
  const bool is_alone = message_bytes <= 2 * chunk.size();
  CodingChoice::Step step = choice_.next(is_alone);
  if (!step.sample) return step;
  choice_.sampled(compression::find_type(chunk), now);
  return choice_.next(is_alone);
}

std::size_t PayloadCoder::least_bytes() const {
  return terms_.sends == CompressionChoice::kAuto ? kLeastChosen : kLeastForced;
}

std::size_t PayloadCoder::encode(std::span<const std::byte> chunk, std::uint64_t message_bytes,
                                 std::span<std::byte> room) {
  const bool chooses = terms_.sends == CompressionChoice::kAuto;
  if (terms_.sends == CompressionChoice::kOff || chunk.size() > terms_.largest_chunk_bytes) return 0;
  const bool is_short = chunk.size() < least_bytes();
  short_in_a_row_ = is_short ? std::min(short_in_a_row_ + 1, kShortInARow) : 0;
  was_ever_long_enough_ |= !is_short;
  if (is_short || (chooses && !choice_.is_active())) return 0;
  const TimePoint before = clock_now();
  const CodingChoice::Step step = chooses ? next_step(chunk, message_bytes, before) : forced_step(chunk);
  if (step.level == Level::kRaw || room.size() < max_slot_bytes(step.type, step.level, chunk.size()))
    return 0;
  const TimePoint begun = clock_now();
  auto packed = compression::pack(chunk, step.type, step.level, room);
  std::size_t coded = packed ? *packed : 0;
  if (coded >= chunk.size()) coded = 0;
  const TimePoint after = clock_now();
  if (chooses) choice_.encoded(step.level, chunk.size(), coded, after - begun, after);
  window_.encoding += after - before;
  work_of_this_thread += after - before;
  if (coded == 0) {
    chunks_until_sample_ = 0;
    return 0;
  }
  ++window_.chunks_sent;
  window_.plain_bytes_sent += chunk.size();
  window_.wire_bytes_sent += coded;
  ++sent_.chunks;
  sent_.plain_bytes += chunk.size();
  sent_.coded_bytes += coded;
  return coded;
}

Status PayloadCoder::decode(std::span<const std::byte> slot, std::span<std::byte> chunk) {
  const TimePoint before = clock_now();
  auto header = compression::read_header(slot);
  if (!header) return header.status();
  if (header->slot_bytes != slot.size())
    return {StatusCode::kProtocolError, "a coded payload that is longer than its slot"};
  if (Status status = compression::unpack(slot, chunk); !status) return status;
  const Duration took = clock_now() - before;
  choice_.decoded(header->level, chunk.size(), took);
  window_.decoding += took;
  work_of_this_thread += took;
  ++received_.chunks;
  received_.plain_bytes += chunk.size();
  received_.coded_bytes += slot.size();
  return Status::ok();
}

void PayloadCoder::note_moved(Duration took) {
  window_.moving += took;
  work_of_this_thread += took;
}

void PayloadCoder::tick(const multipath::Endpoint& endpoint, TimePoint now) {
  const bool is_sending = std::any_of(endpoint.paths().begin(), endpoint.paths().end(),
                                      [](const multipath::Path& path) { return path.bytes_in_flight != 0; });
  if (last_tick_ != TimePoint{}) window_.sending += (is_sending + was_sending_) * (now - last_tick_) / 2;
  was_sending_ = is_sending;
  last_tick_ = now;
  const Duration elapsed = now - window_began_;
  const bool enough = window_.chunks_sent >= kWindowChunks && elapsed >= kLeastWindow;
  // A window without a chunk goes on: the time in which the last one was on its way counts.
  if (!enough && (elapsed < kWindowTime || window_.chunks_sent == 0)) return;
  wire_share_ = static_cast<double>(window_.wire_bytes_sent) / static_cast<double>(window_.plain_bytes_sent);
  if (terms_.sends == CompressionChoice::kAuto) {
    if (window_thread_ == &work_of_this_thread && elapsed > Duration::zero() && elapsed < 2 * kWindowTime) {
      window_.thread_load = static_cast<double>((work_of_this_thread - thread_work_at_begin_).count()) /
                            static_cast<double>(elapsed.count());
    }
    choice_.look(window_, now);
  }
  window_ = {};
  window_began_ = now;
  window_thread_ = &work_of_this_thread;
  thread_work_at_begin_ = work_of_this_thread;
}

std::string PayloadCoder::why() const {
  if (!terms_.agreed) return why_not_agreed(terms_);
  std::string too_short;
  if (short_in_a_row_ == kShortInARow || (short_in_a_row_ != 0 && !was_ever_long_enough_))
    too_short = "the messages are too short to be worth coding: chunks of less than " +
                std::to_string(least_bytes() / 1024) + " KiB go as they are";
  if (terms_.sends == CompressionChoice::kAuto) return choice_.why(too_short);
  if (!too_short.empty()) return too_short;
  if (!was_ever_long_enough_) return "nothing was sent yet";
  return forced_pays_ ? "WEFT_COMPRESS asks for it" : "the data does not become smaller";
}

void PayloadCoder::describe(CompressionStatistics& statistics) const {
  statistics.setting = to_string(terms_.sends);
  statistics.agreed = terms_.agreed;
  statistics.sent = sent_;
  statistics.received = received_;
  statistics.why = why();
  if (!terms_.agreed) return;
  const bool chooses = terms_.sends == CompressionChoice::kAuto;
  const Level level = chooses ? choice_.level() : forced_pays_ ? level_of(terms_.sends) : Level::kRaw;
  statistics.level = to_string(level);
  statistics.element_type = to_string(chooses ? choice_.type() : forced_type_);
}

}  // namespace weft::tcp
