// One tile in a warp's registers: loaded, stored, coded; tile_decode.h decodes (FORMAT.md, "The coded tile";
// the encoder's choices are those of the CPU, so that the bytes are).
//
// All lanes of a warp call together; results that are not "each" are the same in all of them. What is coded
// must be aligned to 4 bytes, as pieces of a slot are. Nothing outside of what is named is read or written,
// whatever a coded tile holds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/cuda/escapes.h"
#include "compression/cuda/lane_tile.h"
#include "compression/slot_format.h"

namespace weft::compression::cuda {

template <typename C, typename Warp>
using TileElements = typename Warp::template Each<LaneElements<C>>;

// `from` may have any alignment; what is aligned to four elements goes faster.
template <typename C, typename Warp>
WEFT_DEVICE void load_elements(Warp& warp, const std::uint8_t* from, bool aligned,
                               TileElements<C, Warp>& elements) {
  constexpr unsigned kBytes = 4 * C::kRowWords;  // of a lane, in a row
  warp.each([&](unsigned lane) {
    const std::uint8_t* at = warp.base(from + kBytes * lane);
    if (aligned) {
      each_row([&](auto row) { warp.load(at + kBytes * kLanes * row, elements[lane].word[row]); });
      return;
    }
    WEFT_ROLLED
    for (unsigned row = 0; row < kRows; ++row) {
      WEFT_UNROLLED
      for (unsigned w = 0; w < C::kRowWords; ++w) {
        const std::uint8_t* word = at + kBytes * kLanes * row + 4 * w;
        elements[lane].word[0][w] = word[0] | word[1] << 8 | word[2] << 16 | std::uint32_t{word[3]} << 24;
      }
      turn_rows<C>(elements[lane]);
    }
  });
}

template <typename C, typename Warp>
WEFT_DEVICE void store_elements(Warp& warp, TileElements<C, Warp>& elements, std::uint8_t* to, bool aligned) {
  constexpr unsigned kBytes = 4 * C::kRowWords;
  warp.each([&](unsigned lane) {
    std::uint8_t* at = warp.base(to + kBytes * lane);
    if (aligned) {
      each_row([&](auto row) { warp.store(at + kBytes * kLanes * row, elements[lane].word[row]); });
      return;
    }
    WEFT_ROLLED
    for (unsigned row = 0; row < kRows; ++row) {
      WEFT_UNROLLED
      for (unsigned b = 0; b < kBytes; ++b)
        at[kBytes * kLanes * row + b] =
            static_cast<std::uint8_t>(elements[lane].word[0][b / 4] >> (8 * (b % 4)) & 0xffu);
      turn_rows<C>(elements[lane]);
    }
  });
}

// The first element of the tile, in all places of a word.
template <typename C>
WEFT_HOST_DEVICE constexpr std::uint32_t element_everywhere(std::uint32_t word) {
  if constexpr (C::kRowWords == 1) return (word & 0xffu) * 0x01010101u;
  if constexpr (C::kRowWords == 2) return (word & 0xffffu) * 0x00010001u;
  return word;
}

template <typename C, typename Warp>
WEFT_DEVICE typename Warp::template Each<std::uint32_t> magnitudes_of(Warp& warp,
                                                                      const TileElements<C, Warp>& elements) {
  typename Warp::template Each<std::uint32_t> most;
  warp.each([&](unsigned lane) {
    std::uint32_t largest = 0;
    each_row([&](auto row) {
      WEFT_UNROLLED
      for (unsigned w = 0; w < C::kRowWords; ++w)
        largest = larger_magnitudes<C>(largest, elements[lane].word[row][w]);
    });
    most[lane] = largest;
  });
  return most;
}

// A tile that is ready to be written, when it is known where.
template <typename C>
struct LanePlan {
  std::uint32_t raw[kRows][C::kRowWords == 1 ? 1 : C::kRowWords - 1];
  std::uint32_t column[kRows];  // the words of the planes, or the high bytes if the tile is raw
};
template <typename C>
struct LanePlanes {
  Bytes4 word[C::kShape.symbol_bits()];
};
template <typename C, typename Warp>
struct TilePlan {
  PieceKind kind;
  unsigned bytes;  // in the slot
  unsigned base, escapes, list_bytes;
  typename Warp::template Each<LanePlan<C>> lane;
};

// Whether all elements are equal. Nearly always a look at two words tells that they are not.
template <typename C, typename Warp>
WEFT_DEVICE bool is_constant(Warp& warp, const TileElements<C, Warp>& elements) {
  typename Warp::template Each<bool> differs;
  warp.each([&](unsigned lane) { differs[lane] = elements[lane].word[0][0] != elements[lane].word[1][0]; });
  if (warp.any(differs)) return false;
  typename Warp::template Each<std::uint32_t> words;
  warp.each([&](unsigned lane) { words[lane] = elements[lane].word[0][0]; });
  const std::uint32_t first = element_everywhere<C>(warp.from_lane(words, 0));
  warp.each([&](unsigned lane) {
    std::uint32_t bits = 0;
    each_row([&](auto row) {
      WEFT_UNROLLED
      for (unsigned w = 0; w < C::kRowWords; ++w) bits |= elements[lane].word[row][w] ^ first;
    });
    differs[lane] = bits != 0;
  });
  return !warp.any(differs);
}

// Which of the two windows that dense may take has fewer escapes.
template <typename C, typename Warp>
WEFT_DEVICE unsigned choose_base(Warp& warp, const typename Warp::template Each<LanePlan<C>>& high,
                                 unsigned largest) {
  const unsigned base = highest_base(largest);
  if (!C::kShape.nibbles || base == 0) return base;
  const std::uint32_t gained = ((base - 1) << C::kShape.field_shift) * 0x01010101u;
  const std::uint32_t lost = (largest << C::kShape.field_shift) * 0x01010101u;
  typename Warp::template Each<std::uint32_t> balance;
  warp.each([&](unsigned lane) {
    std::uint32_t more = 0, fewer = 0;
    each_row([&](auto row) {
      more |= equal_fields<C::kShape>(high[lane].column[row], gained) >> row;
      fewer |= equal_fields<C::kShape>(high[lane].column[row], lost) >> row;
    });
    balance[lane] = set_bits(more) - set_bits(fewer);
  });
  return static_cast<std::int32_t>(warp.sum(balance)) > 0 ? base - 1 : base;
}

// The word of high bytes that a bit of a lane's escapes belongs to, without an index into registers.
WEFT_HOST_DEVICE constexpr std::uint32_t word_of(const std::uint32_t (&rows)[kRows], unsigned bit) {
  const bool odd = (bit & 4u) != 0, second = (bit & 1u) != 0, upper = (bit & 2u) != 0;
  const std::uint32_t pair[4]{odd ? rows[1] : rows[0], odd ? rows[3] : rows[2], odd ? rows[5] : rows[4],
                              odd ? rows[7] : rows[6]};
  const std::uint32_t lower_pairs = second ? pair[1] : pair[0], upper_pairs = second ? pair[3] : pair[2];
  return upper ? upper_pairs : lower_pairs;
}

// `most` is magnitudes_of() the elements. Constant tiles are pieces of another kind: who has dealt with them
// says so.
template <typename C, typename Warp>
WEFT_DEVICE void plan_tile(Warp& warp, const TileElements<C, Warp>& elements,
                           const typename Warp::template Each<std::uint32_t>& most, TilePlan<C, Warp>& plan,
                           bool may_be_constant = true) {
  constexpr TileShape kShape = C::kShape;
  using Word = std::uint32_t;
  typename Warp::template Each<Word> values;
  warp.each([&](unsigned lane) {
    each_row([&](auto row) {
      const SplitRow<kShape> split = split_row<kShape>(elements[lane].word[row]);
      WEFT_UNROLLED
      for (unsigned w = 0; w + 1 < C::kRowWords; ++w) plan.lane[lane].raw[row][w] = split.raw[w];
      plan.lane[lane].column[row] = split.high;
    });
  });
  plan.kind = PieceKind::kRaw;
  plan.bytes = kShape.tile_bytes();
  if (may_be_constant && is_constant<C>(warp, elements)) {
    plan.kind = PieceKind::kConstant;
    plan.bytes = kPieceAlignment;
    return;
  }

  warp.each([&](unsigned lane) { values[lane] = largest_field<C>(most[lane]); });
  plan.base = choose_base<C>(warp, plan.lane, warp.largest(values));
  const Word base = (plan.base << kShape.field_shift) * 0x01010101u;
  typename Warp::template Each<LanePlanes<C>> planes;
  typename Warp::template Each<Word> escapes;
  warp.each([&](unsigned lane) {
    LanePlanes<C> made{};
    Word escaped = 0;
    each_row([&](auto row) {
      if constexpr (row % 2 == 0) {
        const Word even = to_lane_symbols<kShape>(plan.lane[lane].column[row], base);
        const Word odd = to_lane_symbols<kShape>(plan.lane[lane].column[row + 1], base);
        add_to_planes<kShape.symbol_bits(), row>(Bytes4{even}, made.word);
        add_to_planes<kShape.symbol_bits(), row + 1>(Bytes4{odd}, made.word);
        escaped |= escape_flags<kShape>(even, odd) << row / 2;
      }
    });
    planes[lane] = made;
    escapes[lane] = escaped;
    values[lane] = set_bits(escaped);
  });
  plan.escapes = warp.sum(values);
  if (plan.escapes > kShape.max_escapes()) return;
  plan.list_bytes = plan.escapes;
  if (plan.escapes != 0) {
    const EscapePlaces<Warp> places = place_escapes(warp, escapes, plan.escapes);
    warp.each([&](unsigned lane) {
      Word whole_bytes = 0;
      for (Word left = escapes[lane]; left != 0;) {
        const unsigned bit = highest_bit(left);
        left ^= 1u << bit;
        const Word high = word_of(plan.lane[lane].column, bit) >> (bit & ~7u);
        const Word field = (high & kShape.field_mask()) >> kShape.field_shift;
        warp.put_fields(place_of<kShape>(places, lane, escapes[lane], bit), field, 1);
        if (kShape.nibbles) whole_bytes += nibble_of(plan.base, field) == kNibbleByte;
      }
      values[lane] = whole_bytes;
    });
    if (kShape.nibbles) plan.list_bytes = (plan.escapes + 1) / 2 + warp.sum(values);
  }
  const unsigned bytes = (kShape.fixed_bytes() + plan.list_bytes + 3) / 4 * 4;
  if (bytes >= kShape.tile_bytes()) return;
  plan.kind = PieceKind::kCoded;
  plan.bytes = bytes;
  warp.each([&](unsigned lane) {
    WEFT_UNROLLED
    for (unsigned p = 0; p < kShape.symbol_bits(); ++p) plan.lane[lane].column[p] = planes[lane].word[p].word;
  });
}

// Where the raw words of lane 0's row lie in a coded tile, from its first byte: low halves, then low bytes.
// Those of other lanes lie 4 bytes further for each lane, low halves 8.
template <TileShape kShape>
WEFT_HOST_DEVICE constexpr unsigned raw_offset(unsigned row, unsigned word) {
  const unsigned column = static_cast<unsigned>(kTileColumns) * row;
  if (kShape.element_bytes == 2) return static_cast<unsigned>(kTileHeaderBytes) + column;
  return static_cast<unsigned>(kTileHeaderBytes) +
         (word < 2 ? 2 * column + 4 * word : 2 * static_cast<unsigned>(kTileElements) + column);
}
template <TileShape kShape>
WEFT_HOST_DEVICE constexpr unsigned plane_offset(unsigned plane) {
  return static_cast<unsigned>(kTileHeaderBytes + kShape.raw_bytes() + kTileColumns * plane);
}

template <typename C, typename Warp>
WEFT_DEVICE void write_tile(Warp& warp, TilePlan<C, Warp>& plan, std::uint8_t* to) {
  constexpr TileShape kShape = C::kShape;
  if (plan.kind == PieceKind::kCoded) {
    warp.each([&](unsigned lane) {
      std::uint8_t* at = warp.base(to + 4 * lane);
      std::uint8_t* wide = warp.base(to + 8 * lane);
      if (lane == 0) warp.store_word(to, plan.base | plan.escapes << 16);
      each_row([&](auto row) {
        WEFT_UNROLLED
        for (unsigned w = 0; w + 1 < C::kRowWords; ++w)
          warp.store_word((C::kRowWords == 4 && w < 2 ? wide : at) + raw_offset<kShape>(row, w),
                          plan.lane[lane].raw[row][w]);
      });
      WEFT_UNROLLED
      for (unsigned p = 0; p < kShape.symbol_bits(); ++p)
        warp.store_word(at + plane_offset<kShape>(p), plan.lane[lane].column[p]);
    });
    if (plan.escapes != 0)
      write_list<kShape>(warp, plan.base, plan.escapes, plan.list_bytes, to + kShape.fixed_bytes());
  } else {
    constexpr std::uint32_t kElement = C::kRowWords == 4 ? 0xffffffffu : (1u << 8 * C::kRowWords % 32) - 1u;
    warp.each([&](unsigned lane) {
      std::uint8_t* at = warp.base(to + 4 * C::kRowWords * lane);
      each_row([&](auto row) {
        SplitRow<kShape> split{};
        WEFT_UNROLLED
        for (unsigned w = 0; w + 1 < C::kRowWords; ++w) split.raw[w] = plan.lane[lane].raw[row][w];
        split.high = plan.lane[lane].column[row];
        std::uint32_t words[C::kRowWords];
        join_row<kShape>(split, words);
        if (plan.kind == PieceKind::kConstant) {
          if (row == 0 && lane == 0) warp.store_word(to, words[0] & kElement);
          return;
        }
        WEFT_UNROLLED
        for (unsigned w = 0; w < C::kRowWords; ++w)
          warp.store_word(at + 4 * (C::kRowWords * kLanes * row + w), words[w]);
      });
    });
  }
}

}  // namespace weft::compression::cuda
