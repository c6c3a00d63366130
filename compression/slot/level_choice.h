// Which type a buffer has, how well it would code, and which level a transfer should use: never one that
// makes it slower. What was measured and what follows from it can be printed.
//
// Any thread. Samples allocate only at their first use in a thread; measure_rates() allocates and takes some
// milliseconds; the choice does neither.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "compression/element_type.h"

namespace weft::compression {

// What the archive level is estimated to need above the entropy, for each element.
inline constexpr double kArchiveEstimateBits = 0.03;

// Ratios, payload by slot, of some tiles from all over a buffer; 1 for raw.
struct SampledRatios {
  ElementType type = ElementType::kBytes;
  std::array<double, kLevels> ratio{1, 1, 1, 1};
};
// Takes at most `tiles` tiles. The ratio of level archive is estimated from the exponents' entropy; for bytes
// zstd is asked.
SampledRatios sample_ratios(std::span<const std::byte> payload, ElementType type, int tiles = 8);
// Tries every type and keeps the one that becomes smallest; kBytes where none gains more than some percent,
// so that chance does not decide, and where zstd makes clearly less of it than any type's exponents do.
SampledRatios find_type(std::span<const std::byte> payload, int tiles = 8);

// Payload bytes per second of one core of this machine.
struct CodecRates {
  std::array<double, kLevels> pack_bytes_per_s{};
  std::array<double, kLevels> unpack_bytes_per_s{};
};
// Codes normal numbers of the type for about `milliseconds` in all. Both ends are taken to be alike. For
// programs that have no traffic to measure: WEFT_COMPRESS=auto takes the rates from what it sends.
CodecRates measure_rates(ElementType type, int milliseconds = 20);

struct LinkFacts {
  double bytes_per_s = 0;  // what the link carries without compression, all paths together
  std::size_t message_bytes = 0;
  std::size_t chunk_bytes = 256 << 10;  // what is coded while the chunk before it is on its way
  int cores = 1;                        // that may code at each end at the same time
};

// Where one thread of each end codes, decodes and serves the sockets: the rates of its codecs are not what it
// can do.
struct ThreadFacts {
  double moving_s_per_byte = 0;  // in sockets, for each byte on the wire
  double received_share = 0;     // bytes to be decoded for each one that is coded
  double headroom = 1;           // share of its time that may be counted on
};

// The model: coding, sending and decoding are a pipeline of chunks, so a transfer takes one chunk through
// each stage and the rest at the slowest stage's rate.
struct LevelForecast {
  double ratio = 1;
  double thread_bytes_per_s = 0;     // of payload through the thread, all its work together; 0: unknown
  double effective_bytes_per_s = 0;  // of payload, once the pipeline is full
  double seconds = 0;
};
struct LevelChoice {
  Level level = Level::kRaw;
  LinkFacts link;
  ElementType type = ElementType::kBytes;
  CodecRates rates;  // as they were given, whatever is made of them
  std::optional<ThreadFacts> thread;
  std::array<LevelForecast, kLevels> forecast;
};
// The fastest level, if it is faster than raw by 3 % at least; raw otherwise.
// With `thread` its rate takes the place of both codecs', and LinkFacts::cores says nothing. Decoding is not
// counted as faster than coding, nor an unknown rate of it (0) as slower.
LevelChoice choose_level(const LinkFacts& link, const SampledRatios& ratios, const CodecRates& rates,
                         const std::optional<ThreadFacts>& thread = std::nullopt);

// All that the model was given, and then one line a level: its rates, what the model makes of them, and which
// was taken.
std::string to_string(const LevelChoice& choice);

}  // namespace weft::compression
