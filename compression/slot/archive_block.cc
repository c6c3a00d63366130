#include "compression/slot/archive_block.h"

#include <cstring>

#include "compression/tile_transform.h"

namespace weft::compression {
namespace {

using Uint128 = unsigned __int128;

constexpr unsigned kSymbols = 256;
constexpr unsigned kScaleBits = 12;
constexpr std::uint32_t kScale = 1u << kScaleBits;
constexpr std::size_t kStates = 32;
constexpr std::uint32_t kLowestState = 1u << 16;
constexpr std::size_t kBitmapBytes = kSymbols / 8;

std::uint32_t rotated_left(std::uint32_t word) {
  return word << 1 | word >> 31;
}

void split(ElementType type, const std::uint8_t* elements, std::size_t count, std::uint8_t* raw,
           std::uint8_t* high) {
  if (element_bytes(type) == 1) {
    std::memcpy(high, elements, count);
  } else if (element_bytes(type) == 2) {
    for (std::size_t i = 0; i < count; ++i) {
      std::uint16_t bits;
      std::memcpy(&bits, elements + 2 * i, 2);
      const SplitHalf parts = split_half<true>(bits);
      raw[i] = parts.raw;
      high[i] = parts.high;
    }
  } else {
    std::uint8_t* top = raw + 2 * count;
    for (std::size_t i = 0; i < count; ++i) {
      std::uint32_t bits;
      std::memcpy(&bits, elements + 4 * i, 4);
      bits = rotated_left(bits);
      const auto low = static_cast<std::uint16_t>(bits & 0xffff);
      std::memcpy(raw + 2 * i, &low, 2);
      const SplitHalf parts = split_half<false>(static_cast<std::uint16_t>(bits >> 16));
      top[i] = parts.raw;
      high[i] = parts.high;
    }
  }
}

void join(ElementType type, const std::uint8_t* __restrict raw, const std::uint8_t* __restrict high,
          std::size_t count, std::uint8_t* __restrict elements) {
  if (element_bytes(type) == 1) {
    std::memcpy(elements, high, count);
  } else if (element_bytes(type) == 2) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint16_t bits = join_half<true>({raw[i], high[i]});
      std::memcpy(elements + 2 * i, &bits, 2);
    }
  } else {
    const std::uint8_t* top = raw + 2 * count;
    for (std::size_t i = 0; i < count; ++i) {
      std::uint16_t low;
      std::memcpy(&low, raw + 2 * i, 2);
      const std::uint32_t bits = static_cast<std::uint32_t>(join_half<false>({top[i], high[i]})) << 16 | low;
      const std::uint32_t turned = bits >> 1 | bits << 31;
      std::memcpy(elements + 4 * i, &turned, 4);
    }
  }
}

void count_symbols(const std::uint8_t* high, std::size_t count, std::uint32_t (&counts)[kSymbols]) {
  // Four tables: neighbours are often equal, and a counter that was just written is slow to read.
  std::uint32_t tables[4][kSymbols] = {};
  for (std::size_t i = 0; i < count; i += 4)
    for (std::size_t t = 0; t < 4; ++t) ++tables[t][high[i + t]];
  for (unsigned s = 0; s < kSymbols; ++s)
    counts[s] = tables[0][s] + tables[1][s] + tables[2][s] + tables[3][s];
}

// Shares of kScale: at least 1 for what occurs, rounded otherwise; what is over or missing goes to the
// largest.
void scale_counts(std::uint32_t (&counts)[kSymbols], std::size_t total) {
  std::uint32_t sum = 0;
  for (std::uint32_t& count : counts) {
    if (count == 0) continue;
    const auto share = static_cast<std::uint32_t>((std::uint64_t{count} * kScale + total / 2) / total);
    count = share == 0 ? 1 : share;
    sum += count;
  }
  while (sum != kScale) {
    std::uint32_t* largest = counts;
    for (std::uint32_t& count : counts)
      if (count > *largest) largest = &count;
    const std::uint32_t step = sum < kScale ? kScale - sum : sum - kScale;
    if (sum < kScale) {
      *largest += step;
      sum += step;
    } else {
      const std::uint32_t taken = step < *largest / 2 ? step : *largest / 2;
      *largest -= taken;
      sum -= taken;
    }
  }
}

struct EncoderSymbol {
  std::uint64_t reciprocal;  // 2^64 / frequency, rounded up
  std::uint32_t highest;     // of a state that needs not give off a word first
  std::uint32_t bias;
  std::uint32_t complement;  // kScale - frequency
};

void make_encoder(const std::uint32_t (&frequency)[kSymbols], EncoderSymbol (&symbols)[kSymbols]) {
  std::uint32_t start = 0;
  for (unsigned s = 0; s < kSymbols; ++s) {
    const std::uint32_t f = frequency[s];
    if (f == 0) continue;
    // 1 has no reciprocal in 64 bits: the largest gives one too little, which the bias mends.
    symbols[s] = {f == 1 ? ~std::uint64_t{0} : ~std::uint64_t{0} / f + 1,
                  static_cast<std::uint32_t>((std::uint64_t{f} << (32 - kScaleBits)) - 1),
                  f == 1 ? start + kScale - 1 : start, kScale - f};
    start += f;
  }
}

// Backwards, as the decoder gets its symbols out again in the other order. Returns where the words begin.
const std::uint16_t* encode_symbols(const std::uint8_t* high, std::size_t count,
                                    const std::uint32_t (&frequency)[kSymbols], std::uint32_t (&x)[kStates],
                                    std::uint16_t* words_end) {
  EncoderSymbol symbols[kSymbols];
  make_encoder(frequency, symbols);
  std::uint16_t* next = words_end - 1;
  for (std::size_t step = count; step > 0; step -= kStates) {
    const std::uint8_t* row = high + step - kStates;
    for (std::size_t lane = kStates; lane-- > 0;) {
      const EncoderSymbol& symbol = symbols[row[lane]];
      std::uint32_t state = x[lane];
      // Arithmetic where one would write a branch: no processor could foresee it.
      const unsigned gives = state > symbol.highest;
      *next = static_cast<std::uint16_t>(state);
      next -= gives;
      state >>= 16 * gives;
      const auto quotient = static_cast<std::uint32_t>(static_cast<Uint128>(state) * symbol.reciprocal >> 64);
      x[lane] = state + symbol.bias + quotient * symbol.complement;
    }
  }
  return next + 1;
}

// Bitmap and frequencies. Returns their bytes, padded.
std::size_t write_frequencies(const std::uint32_t (&frequency)[kSymbols], std::uint8_t* to) {
  std::memset(to, 0, kBitmapBytes + kSymbols * 3 / 2);
  std::size_t present = 0;
  for (unsigned s = 0; s < kSymbols; ++s) {
    if (frequency[s] == 0) continue;
    to[s / 8] = static_cast<std::uint8_t>(to[s / 8] | 1u << (s % 8));
    std::uint8_t* at = to + kBitmapBytes + present * 3 / 2;
    const std::uint32_t value = (frequency[s] - 1) << (present % 2 == 0 ? 0 : 4);
    at[0] = static_cast<std::uint8_t>(at[0] | (value & 0xff));
    at[1] = static_cast<std::uint8_t>(at[1] | value >> 8);
    ++present;
  }
  return (kBitmapBytes + (present * 3 + 1) / 2 + 3) / 4 * 4;
}

// Fills the decoder's table. Returns the bytes read, 0 where they are not frequencies.
std::size_t read_frequencies(const std::uint8_t* from, std::size_t bytes, std::uint32_t (&entry)[kScale]) {
  if (bytes < kBitmapBytes) return 0;
  std::size_t present = 0;
  for (std::size_t i = 0; i < kBitmapBytes; ++i)
    present += static_cast<std::size_t>(__builtin_popcount(from[i]));
  const std::size_t used = (kBitmapBytes + (present * 3 + 1) / 2 + 3) / 4 * 4;
  if (used > bytes) return 0;
  std::uint32_t start = 0;
  std::size_t at = 0;
  for (unsigned s = 0; s < kSymbols; ++s) {
    if ((from[s / 8] >> (s % 8) & 1) == 0) continue;
    const std::uint8_t* pair = from + kBitmapBytes + at * 3 / 2;
    const std::uint32_t both = pair[0] | static_cast<std::uint32_t>(pair[1]) << 8;
    const std::uint32_t frequency = (both >> (at % 2 == 0 ? 0 : 4) & (kScale - 1)) + 1;
    if (start + frequency > kScale) return 0;
    for (std::uint32_t i = 0; i < frequency; ++i) entry[start + i] = s | (frequency - 1) << 8 | i << 20;
    start += frequency;
    ++at;
  }
  return start == kScale ? used : 0;
}

const char* decode_symbols(const std::uint8_t* from, std::size_t bytes, const std::uint32_t (&entry)[kScale],
                           std::uint32_t (&x)[kStates], std::uint8_t* high, std::size_t count,
                           const cpu::StateLoops& loops) {
  const std::uint8_t* const end = from + bytes;
  std::size_t step = loops.decode == nullptr ? 0 : loops.decode(entry, x, from, end, high, count);
  const auto advance = [&](std::size_t lane) {
    const std::uint32_t found = entry[x[lane] & (kScale - 1)];
    high[step + lane] = static_cast<std::uint8_t>(found & 0xff);
    return ((found >> 8 & (kScale - 1)) + 1) * (x[lane] >> kScaleBits) + (found >> 20);
  };
  for (; step < count && static_cast<std::size_t>(end - from) >= 2 * kStates; step += kStates) {
    for (std::size_t lane = 0; lane < kStates; ++lane) {
      const std::uint32_t state = advance(lane);
      std::uint16_t word;
      std::memcpy(&word, from, 2);
      const unsigned takes = state < kLowestState;
      x[lane] = state << (16 * takes) | (word & (0u - takes));
      from += 2 * takes;
    }
  }
  for (; step < count; step += kStates) {
    for (std::size_t lane = 0; lane < kStates; ++lane) {
      std::uint32_t state = advance(lane);
      if (state < kLowestState) {
        if (end - from < 2) return "its words end too early";
        std::uint16_t word;
        std::memcpy(&word, from, 2);
        state = state << 16 | word;
        from += 2;
      }
      x[lane] = state;
    }
  }
  if (end - from >= 4) return "words are left over";
  for (const std::uint32_t state : x)
    if (state != kLowestState) return "its states do not end where they began";
  return nullptr;
}

}  // namespace

std::size_t encode_archive(ElementType type, const std::uint8_t* elements, std::size_t count,
                           std::uint8_t* coded, ArchiveScratch& scratch, const cpu::TileKernels& kernels) {
  const std::size_t plain_bytes = count * element_bytes(type), raw_bytes = plain_bytes - count;
  constexpr std::size_t kMostHeader = kBitmapBytes + kSymbols * 3 / 2 + 4 * kStates;
  if (count < 2 * kMostHeader) return 0;
  // Raw bytes stand behind a header whose size is known only once the symbols are counted: the high bytes
  // first.
  std::uint8_t* const unplaced = coded + kMostHeader;
  split(type, elements, count, unplaced, scratch.high);
  std::uint32_t frequency[kSymbols];
  count_symbols(scratch.high, count, frequency);
  scale_counts(frequency, count);
  std::uint32_t states[kStates];
  for (std::uint32_t& state : states) state = kLowestState;
  std::uint16_t* const words_end = scratch.words + sizeof(scratch.words) / 2;
  const std::uint16_t* words;
  if (kernels.states.encode != nullptr) {
    std::uint32_t packed[kSymbols];
    for (std::uint32_t s = 0, start = 0; s < kSymbols; start += frequency[s++])
      packed[s] = frequency[s] | start << 16;
    words = kernels.states.encode(packed, states, scratch.high, count, words_end);
  } else {
    words = encode_symbols(scratch.high, count, frequency, states, words_end);
  }

  std::uint8_t header[kBitmapBytes + kSymbols * 3 / 2];
  const std::size_t header_bytes = write_frequencies(frequency, header);
  const std::size_t word_bytes = static_cast<std::size_t>(words_end - words) * 2;
  const std::size_t fixed = header_bytes + sizeof(states) + raw_bytes;
  const std::size_t bytes = (fixed + word_bytes + 3) / 4 * 4;
  if (bytes >= plain_bytes) return 0;
  std::memmove(coded + header_bytes + sizeof(states), unplaced, raw_bytes);
  std::memcpy(coded, header, header_bytes);
  std::memcpy(coded + header_bytes, states, sizeof(states));
  std::memcpy(coded + fixed, words, word_bytes);
  std::memset(coded + fixed + word_bytes, 0, bytes - fixed - word_bytes);
  return bytes;
}

const char* decode_archive(ElementType type, const std::uint8_t* coded, std::size_t bytes,
                           std::uint8_t* elements, std::size_t count, ArchiveScratch& scratch,
                           const cpu::TileKernels& kernels) {
  const std::size_t raw_bytes = count * (element_bytes(type) - 1);
  const std::size_t header_bytes = read_frequencies(coded, bytes, scratch.entry);
  if (header_bytes == 0) return "its frequencies are not those of an archive block";
  std::uint32_t states[kStates];
  const std::size_t fixed = header_bytes + sizeof(states) + raw_bytes;
  if (bytes < fixed) return "it is shorter than its bytes that are stored as they are";
  std::memcpy(states, coded + header_bytes, sizeof(states));
  const char* wrong = decode_symbols(coded + fixed, bytes - fixed, scratch.entry, states, scratch.high, count,
                                     kernels.states);
  if (wrong != nullptr) return wrong;
  join(type, coded + header_bytes + sizeof(states), scratch.high, count, elements);
  return nullptr;
}

}  // namespace weft::compression
