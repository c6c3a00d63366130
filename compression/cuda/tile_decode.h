// One tile of a slot into a warp's registers: first all its loads, then the decoding (FORMAT.md, "The coded
// tile").
//
// As tile.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/cuda/escapes.h"
#include "compression/cuda/fault.h"
#include "compression/cuda/tile.h"

namespace weft::compression::cuda {

// A lane's words of a piece, as they were loaded. Of a raw piece its payload words; of a constant one the
// element in all of them; of a coded tile raw words and, in the last place of row p, the word of plane p.
template <typename C>
struct LanePiece {
  std::uint32_t row[kRows][C::kRowWords];
  std::uint32_t header, list;  // of a coded tile; the lane's four bytes of the list, at fast
};
template <typename C, typename Warp>
using PieceWords = typename Warp::template Each<LanePiece<C>>;

// `bytes` are not fewer than kShape.fixed_bytes(), and a multiple of 4. All loads are made at once: none
// waits for what another one finds.
template <typename C, typename Warp>
WEFT_DEVICE void load_tile(Warp& warp, const std::uint8_t* from, unsigned bytes, PieceWords<C, Warp>& words) {
  constexpr TileShape kShape = C::kShape;
  warp.each([&](unsigned lane) {
    const std::uint8_t* at = warp.base(from + 4 * lane);
    words[lane].header = warp.load_word(from);
    WEFT_UNROLLED
    for (unsigned p = 0; p < kShape.symbol_bits(); ++p)
      words[lane].row[p][C::kRowWords - 1] = warp.load_word(at + plane_offset<kShape>(p));
    WEFT_UNROLLED
    for (unsigned p = kShape.symbol_bits(); p < kRows; ++p) words[lane].row[p][C::kRowWords - 1] = 0;
    words[lane].list = 0;
    if constexpr (!C::kShape.nibbles) {
      if (kShape.fixed_bytes() + 4 * lane < bytes)
        words[lane].list = warp.load_word(at + kShape.fixed_bytes());
    }
    // Words of two halves of 4 bytes each lie twice as far apart.
    const std::uint8_t* wide = warp.base(from + 8 * lane);
    each_row([&](auto row) {
      WEFT_UNROLLED
      for (unsigned w = 0; w + 1 < C::kRowWords; ++w)
        words[lane].row[row][w] =
            warp.load_word((C::kRowWords == 4 && w < 2 ? wide : at) + raw_offset<kShape>(row, w));
    });
  });
}

// What is wrong with a coded tile's header, if anything is.
template <TileShape kShape>
WEFT_DEVICE Fault tile_header_fault(std::uint32_t header) {
  if ((header & 0xffu) > kShape.max_base()) return Fault::kWindowOutside;
  if ((header & 0xff00u) != 0) return Fault::kReservedByte;
  return header >> 16 > kShape.max_escapes() ? Fault::kTooManyEscapes : Fault::kNone;
}

// Puts the fields of escapes, which lie in the scratch, into the high bytes.
template <typename C, typename Warp>
WEFT_DEVICE void put_escapes(Warp& warp, const typename Warp::template Each<std::uint32_t>& escaped,
                             unsigned escapes, typename Warp::template Each<LanePlan<C>>& coded) {
  constexpr TileShape kShape = C::kShape;
  using Word = std::uint32_t;
  const EscapePlaces<Warp> places = place_escapes(warp, escaped, escapes);
  warp.each([&](unsigned lane) {
    for (Word left = escaped[lane]; left != 0;) {
      const unsigned bit = highest_bit(left);
      left ^= 1u << bit;
      const Word field = warp.fields(place_of<kShape>(places, lane, escaped[lane], bit), 1);
      const Word mask = Word{kShape.field_mask()} << (bit & ~7u);
      const Word right = (field << kShape.field_shift & 0xffu) << (bit & ~7u);
      const unsigned its_row = row_of(bit);
      each_row([&](auto row) {
        Word& word = coded[lane].column[row];
        word = its_row == row ? (word & ~mask) | right : word;
      });
    }
  });
  warp.sync();  // the scratch is free again
}

// Decodes a coded tile of `bytes` bytes at `from`, of which `words` were loaded.
template <typename C, typename Warp>
WEFT_DEVICE Fault decode_tile(Warp& warp, const std::uint8_t* from, unsigned bytes,
                              const PieceWords<C, Warp>& words, TileElements<C, Warp>& elements) {
  constexpr TileShape kShape = C::kShape;
  constexpr unsigned kBits = kShape.symbol_bits();
  using Word = std::uint32_t;
  typename Warp::template Each<Word> values, escaped;
  warp.each([&](unsigned lane) { values[lane] = words[lane].header; });
  const Word header = warp.same(values);
  const unsigned base = header & 0xffu, list_room = bytes - static_cast<unsigned>(kShape.fixed_bytes());
  const Bytes4 placed = Bytes4::splat(static_cast<std::uint8_t>(base << kShape.field_shift));
  typename Warp::template Each<LanePlan<C>> coded;
  warp.each([&](unsigned lane) {
    LanePlanes<C> planes;
    WEFT_UNROLLED
    for (unsigned p = 0; p < kBits; ++p) planes.word[p].word = words[lane].row[p][C::kRowWords - 1];
    Word flags = 0;
    each_row([&](auto row) {
      if constexpr (row % 2 == 0) {
        const Bytes4 even = row_of_planes<kBits, row>(planes.word);
        const Bytes4 odd = row_of_planes<kBits, row + 1>(planes.word);
        coded[lane].column[row] = from_symbols<kShape>(even, placed).word;
        coded[lane].column[row + 1] = from_symbols<kShape>(odd, placed).word;
        flags |= escape_flags<kShape>(even.word, odd.word) << row / 2;
      }
      WEFT_UNROLLED
      for (unsigned w = 0; w + 1 < C::kRowWords; ++w) coded[lane].raw[row][w] = words[lane].row[row][w];
    });
    escaped[lane] = flags;
    values[lane] = set_bits(flags);
  });
  const unsigned escapes = warp.sum(values);
  if constexpr (!kShape.nibbles) {
    // In one look what takes five to tell apart.
    if ((header & ~0xffu) != escapes << 16 || base > kShape.max_base() || escapes > kShape.max_escapes() ||
        list_room - escapes >= kPieceAlignment) {
      const Fault fault = tile_header_fault<kShape>(header);
      if (fault != Fault::kNone) return fault;
      return list_room - (header >> 16) >= kPieceAlignment ? Fault::kListLength : Fault::kEscapeCount;
    }
    if (escapes != 0) {
      warp.each([&](unsigned lane) {
        if (4 * lane < escapes) warp.put_fields(4 * lane, words[lane].list, 4);
      });
      warp.sync();
    }
  } else {
    const Fault fault = tile_header_fault<kShape>(header);
    if (fault != Fault::kNone) return fault;
    if (!read_list(warp, base, header >> 16, from + kShape.fixed_bytes(), list_room))
      return Fault::kListLength;
    if (header >> 16 != escapes) return Fault::kEscapeCount;
  }
  if (escapes != 0) put_escapes<C>(warp, escaped, escapes, coded);
  warp.each([&](unsigned lane) {
    each_row([&](auto row) {
      SplitRow<kShape> split{};
      WEFT_UNROLLED
      for (unsigned w = 0; w + 1 < C::kRowWords; ++w) split.raw[w] = coded[lane].raw[row][w];
      split.high = coded[lane].column[row];
      join_row<kShape>(split, elements[lane].word[row]);
    });
  });
  return Fault::kNone;
}

// Loads and decodes.
template <typename C, typename Warp>
WEFT_DEVICE Fault read_tile(Warp& warp, const std::uint8_t* from, unsigned bytes,
                            TileElements<C, Warp>& elements) {
  if (bytes < C::kShape.fixed_bytes()) return Fault::kShorterThanPlanes;
  PieceWords<C, Warp> words;
  load_tile<C>(warp, from, bytes, words);
  return decode_tile<C>(warp, from, bytes, words, elements);
}

}  // namespace weft::compression::cuda
