#include "compression/slot/level_choice.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "compression/slot/codec.h"
#include "compression/slot/zstd_block.h"
#include "compression/tile_shape.h"

namespace weft::compression {
namespace {

constexpr double kWorthwhile = 1.03;

// Bits of the archive level's symbol of an element: FORMAT.md, "The archive block".
unsigned archive_symbol(ElementType type, const std::byte* element) {
  const auto byte = [&](std::size_t i) { return std::to_integer<unsigned>(element[i]); };
  switch (element_bytes(type)) {
    case 2:
      return (byte(1) << 1 | byte(0) >> 7) & 0xff;
    case 4:
      return (byte(3) << 1 | byte(2) >> 7) & 0xff;
    default:
      return byte(0);
  }
}

double entropy_bits(const std::array<std::size_t, 256>& counts, double total) {
  double bits = 0;
  for (const std::size_t count : counts)
    if (count != 0)
      bits -= static_cast<double>(count) / total * std::log2(static_cast<double>(count) / total);
  return bits;
}

// Calls use(offset) for `tiles` tiles, evenly spread; returns how many there were. 0 where there is not one
// whole tile.
template <typename Use>
std::size_t for_tiles(std::size_t bytes, std::size_t tile_bytes, int tiles, const Use& use) {
  const std::size_t there = bytes / tile_bytes, taken = std::min(there, static_cast<std::size_t>(tiles));
  for (std::size_t i = 0; i < taken; ++i) use(there * i / taken * tile_bytes);
  return taken;
}

double zstd_ratio(std::span<const std::byte> payload, int tiles) {
  constexpr std::size_t kPart = 32768;
  thread_local const auto coded = std::make_unique<std::uint8_t[]>(kPart);
  double after = 0;
  const std::size_t taken = for_tiles(payload.size(), kPart, std::max(1, tiles / 4), [&](std::size_t at) {
    const std::size_t bytes =
        encode_zstd(reinterpret_cast<const std::uint8_t*>(payload.data()) + at, kPart, coded.get());
    after += static_cast<double>(bytes == 0 ? kPart : bytes);
  });
  return taken == 0 ? 1 : static_cast<double>(taken * kPart) / after;
}

// Normal numbers are what floats mostly are; a table of them is enough, as a codec does not look for
// repetitions.
std::vector<std::byte> calibration_payload(ElementType type, std::size_t bytes) {
  std::vector<std::byte> payload(bytes);
  std::uint64_t state = 1;
  const std::size_t size = element_bytes(type);
  for (std::size_t at = 0; at + size <= bytes; at += size) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    // Exponents fall off by halves, as those of a normal distribution do below its scale.
    const unsigned below = static_cast<unsigned>(__builtin_ctzll(state >> 20 | std::uint64_t{1} << 40));
    auto bits = static_cast<std::uint32_t>(state >> 32);
    if (type == ElementType::kBfloat16) bits = (bits & 0x807f) | (120 - below) << 7;
    if (type == ElementType::kFloat32) bits = (bits & 0x807fffff) | (120 - below) << 23;
    if (type == ElementType::kFloat16) bits = (bits & 0x83ff) | (below > 12 ? 0 : 13 - below) << 10;
    if (type == ElementType::kFloat8E4M3) bits = (bits & 0x87) | (below > 8 ? 0 : 9 - below) << 3;
    if (type == ElementType::kFloat8E5M2) bits = (bits & 0x83) | (below > 12 ? 0 : 13 - below) << 2;
    std::memcpy(&payload[at], &bits, size);
  }
  return payload;
}

double thread_rate(const ThreadFacts& thread, double ratio, double pack, double unpack) {
  if (pack == 0) return 0;
  const double decoding = unpack == 0 ? pack : std::min(pack, unpack);
  return thread.headroom / (thread.moving_s_per_byte / ratio + 1 / pack + thread.received_share / decoding);
}

std::string rate_text(double bytes_per_s) {
  if (bytes_per_s == 0) return "unknown";
  char text[40];
  std::snprintf(text, sizeof(text), "%.3g GB/s", bytes_per_s / 1e9);
  return text;
}

std::string facts_text(const LevelChoice& choice) {
  char text[360];
  int length = std::snprintf(text, sizeof(text), "%zu bytes of %s over %.3g GB/s, chunks of %zu, ",
                             choice.link.message_bytes, std::string(to_string(choice.type)).c_str(),
                             choice.link.bytes_per_s / 1e9, choice.link.chunk_bytes);
  char* const rest = text + length;
  const std::size_t room = sizeof(text) - static_cast<std::size_t>(length);
  if (const auto& thread = choice.thread) {
    std::snprintf(
        rest, room,
        "one thread at each end: moving a byte takes %.3g ns, %.3g bytes to decode for each one sent, "
        "%.0f %% of its time counted on\n",
        thread->moving_s_per_byte * 1e9, thread->received_share, thread->headroom * 100);
  } else {
    std::snprintf(rest, room, "%d core%s\n", choice.link.cores, choice.link.cores == 1 ? "" : "s");
  }
  return text;
}

template <typename Work>
double bytes_per_s(std::size_t bytes, double seconds, const Work& work) {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  const auto started = Clock::now();
  const auto since = [](Clock::time_point from) {
    return std::chrono::duration<double>(Clock::now() - from).count();
  };
  do {
    const auto before = Clock::now();
    work();
    best = std::max(best, static_cast<double>(bytes) / std::max(1e-9, since(before)));
  } while (since(started) < seconds);
  return best;
}

}  // namespace

SampledRatios sample_ratios(std::span<const std::byte> payload, ElementType type, int tiles) {
  SampledRatios sampled;
  sampled.type = type;
  if (type == ElementType::kBytes) {
    sampled.ratio[static_cast<std::size_t>(Level::kArchive)] = std::max(1.0, zstd_ratio(payload, tiles));
    return sampled;
  }
  const std::size_t size = element_bytes(type), tile_bytes = kTileElements * size;
  std::array<std::size_t, 256> counts{};
  double fast = 0, dense = 0;
  std::array<std::uint8_t, kMaxTileBytes> coded;
  const std::size_t taken = for_tiles(payload.size(), tile_bytes, tiles, [&](std::size_t at) {
    const auto* tile = reinterpret_cast<const std::uint8_t*>(payload.data()) + at;
    const auto bytes = [&](Level level) {
      constexpr double kEntry = 2;
      if (std::memcmp(tile, tile + size, tile_bytes - size) == 0) return kPieceAlignment + kEntry;
      const std::size_t used = cpu::tile_kernels().encode(type, level, tile, coded.data());
      return static_cast<double>(used == 0 ? tile_bytes : used) + kEntry;
    };
    fast += bytes(Level::kFast);
    dense += bytes(Level::kDense);
    for (std::size_t i = 0; i < kTileElements; ++i)
      ++counts[archive_symbol(type, payload.data() + at + i * size)];
  });
  if (taken == 0) return sampled;
  const double before = static_cast<double>(tile_bytes * taken);
  const double elements = static_cast<double>(kTileElements * taken);
  const double archive_bits =
      static_cast<double>(8 * size - 8) + entropy_bits(counts, elements) + kArchiveEstimateBits;
  sampled.ratio = {1, before / fast, before / dense, static_cast<double>(8 * size) / archive_bits};
  return sampled;
}

SampledRatios find_type(std::span<const std::byte> payload, int tiles) {
  constexpr double kLeastGain = 1.05;
  constexpr double kRepetitions = 1.15;  // text passes for 8-bit floats, but zstd finds its words again
  const SampledRatios bytes = sample_ratios(payload, ElementType::kBytes, tiles);
  SampledRatios best = bytes;
  double best_ratio = kLeastGain;
  for (const ElementType type : {ElementType::kBfloat16, ElementType::kFloat16, ElementType::kFloat32,
                                 ElementType::kFloat8E4M3, ElementType::kFloat8E5M2}) {
    const SampledRatios sampled = sample_ratios(payload, type, tiles);
    const double ratio = sampled.ratio[static_cast<std::size_t>(Level::kDense)];
    if (ratio > best_ratio) {
      best = sampled;
      best_ratio = ratio;
    }
  }
  constexpr auto kArchive = static_cast<std::size_t>(Level::kArchive);
  return bytes.ratio[kArchive] > kRepetitions * best.ratio[kArchive] ? bytes : best;
}

CodecRates measure_rates(ElementType type, int milliseconds) {
  constexpr std::size_t kBytes = 1 << 20;
  const auto payload = calibration_payload(type, kBytes);
  std::vector<std::byte> again(kBytes);
  CodecRates rates;
  for (std::size_t level = 0; level < kLevels; ++level) {
    std::vector<std::byte> slot(max_slot_bytes(type, static_cast<Level>(level), kBytes));
    const double seconds = milliseconds * 1e-3 / (2 * kLevels);
    rates.pack_bytes_per_s[level] =
        bytes_per_s(kBytes, seconds, [&] { (void)pack(payload, type, static_cast<Level>(level), slot); });
    rates.unpack_bytes_per_s[level] = bytes_per_s(kBytes, seconds, [&] { (void)unpack(slot, again); });
  }
  return rates;
}

LevelChoice choose_level(const LinkFacts& link, const SampledRatios& ratios, const CodecRates& rates,
                         const std::optional<ThreadFacts>& thread) {
  LevelChoice choice;
  choice.thread = thread;
  choice.link = link;
  choice.type = ratios.type;
  choice.rates = rates;
  const double message = static_cast<double>(link.message_bytes);
  const double first = std::min(message, static_cast<double>(link.chunk_bytes));
  const double cores = std::max(1, link.cores);
  for (std::size_t level = 0; level < kLevels; ++level) {
    LevelForecast& forecast = choice.forecast[level];
    forecast.ratio = ratios.ratio[level];
    const double wire = link.bytes_per_s * forecast.ratio;
    if (level_for(ratios.type, static_cast<Level>(level)) == Level::kRaw) {
      forecast = {1, 0, link.bytes_per_s, message / link.bytes_per_s};
      continue;
    }
    double pack = rates.pack_bytes_per_s[level], unpack = rates.unpack_bytes_per_s[level];
    if (thread)
      pack = unpack = forecast.thread_bytes_per_s = thread_rate(*thread, forecast.ratio, pack, unpack);
    forecast.effective_bytes_per_s =
        thread ? std::min(wire, pack) : std::min({wire, pack * cores, unpack * cores});
    // Of the first chunk no stage overlaps with another; one core does it.
    forecast.seconds =
        first / pack + first / wire + first / unpack + (message - first) / forecast.effective_bytes_per_s;
  }
  double fastest = choice.forecast[0].seconds / kWorthwhile;
  for (std::size_t level = 1; level < kLevels; ++level) {
    // Not ">=": where a rate is unknown (0) the forecast is no number, and what is not known to pay is not
    // taken.
    if (!(choice.forecast[level].seconds < fastest)) continue;
    choice.level = static_cast<Level>(level);
    fastest = choice.forecast[level].seconds;
  }
  return choice;
}

std::string to_string(const LevelChoice& choice) {
  std::string text = facts_text(choice);
  for (std::size_t level = 0; level < kLevels; ++level) {
    const LevelForecast& forecast = choice.forecast[level];
    char line[120];
    std::snprintf(line, sizeof(line), "  %-7s", std::string(to_string(static_cast<Level>(level))).c_str());
    text += line;
    if (level != 0 && level_for(choice.type, static_cast<Level>(level)) == Level::kRaw) {
      text += " has nothing for this type\n";
      continue;
    }
    std::snprintf(line, sizeof(line), " ratio %.3f", forecast.ratio);
    text += line;
    if (level != 0) {
      text += ", pack " + rate_text(choice.rates.pack_bytes_per_s[level]);
      text += ", unpack " + rate_text(choice.rates.unpack_bytes_per_s[level]);
      if (choice.thread) text += ", the thread " + rate_text(forecast.thread_bytes_per_s);
    }
    std::snprintf(line, sizeof(line), ": effective %.3g GB/s, %.1f us%s\n",
                  forecast.effective_bytes_per_s / 1e9, forecast.seconds * 1e6,
                  static_cast<Level>(level) == choice.level ? "  <- chosen" : "");
    text += line;
  }
  return text;
}

}  // namespace weft::compression
