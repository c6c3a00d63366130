// Escapes of a tile: which place in the list each has, and the list itself (FORMAT.md, "Escapes").
//
// The list is in the order of the elements, row by row, while a lane owns four columns of all rows: places
// are sums over the lanes below for each row, eight small numbers in two words.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/cuda/lane_tile.h"

namespace weft::compression::cuda {

// A lane's escapes as one word: bit 8 * byte + 4 * (row % 2) + row / 2, where escape_flags() of rows 2p and
// 2p + 1 give the bits shifted by p. Bits 0 to 2 of a bit's number (a *row code*) so name the row.
inline constexpr std::uint32_t kRowOfEscapes = 0x01010101;  // shifted left by a row code

template <typename Warp>
struct EscapePlaces {
  // Of each row, bytes: even rows, odd rows. How many come before this lane's in the list.
  typename Warp::template Each<std::uint32_t> even, odd;
  // More than 255 in all: rows are counted by themselves, and these are the rows' counts.
  bool rows_apart;
  std::uint32_t even_counts, odd_counts;
};

// A lane's escapes of each row, half bytes in the order of the rows.
WEFT_HOST_DEVICE constexpr std::uint32_t counts_of_rows(std::uint32_t escapes) {
  std::uint32_t counts[kRows / 2]{};  // of two rows: bits 0-3 and 4-7
  WEFT_UNROLLED
  for (unsigned pair = 0; pair < kRows / 2; ++pair)
    counts[pair] = add_bytes(escapes >> pair & 0x11111111u, 0);
  return counts[0] + (counts[1] << 8) + (counts[2] << 16) + (counts[3] << 24);
}

// Most tiles of level fast have no escape or one; few have so many that half bytes do not count them.
template <typename Warp>
WEFT_DEVICE EscapePlaces<Warp> place_escapes(Warp& warp,
                                             const typename Warp::template Each<std::uint32_t>& escapes,
                                             unsigned total) {
  constexpr std::uint32_t kEven = 0x0f0f0f0f;
  EscapePlaces<Warp> places;
  places.rows_apart = total > 255;
  places.even_counts = places.odd_counts = 0;
  warp.each([&](unsigned lane) { places.even[lane] = places.odd[lane] = 0; });
  if (total == 1) return places;
  typename Warp::template Each<std::uint32_t> counts;
  warp.each([&](unsigned lane) { counts[lane] = counts_of_rows(escapes[lane]); });
  if (total < 16) {
    std::uint32_t all = 0;
    const auto below = warp.sums_below(counts, all);
    all *= 0x11111110u;  // sums of the rows before
    warp.each([&](unsigned lane) {
      places.even[lane] = (below[lane] + all) & kEven;
      places.odd[lane] = ((below[lane] + all) >> 4) & kEven;
    });
    return places;
  }
  typename Warp::template Each<std::uint32_t> even, odd;
  warp.each([&](unsigned lane) {
    even[lane] = counts[lane] & kEven;
    odd[lane] = counts[lane] >> 4 & kEven;
  });
  places.even = warp.sums_below(even, places.even_counts);
  places.odd = warp.sums_below(odd, places.odd_counts);
  if (!places.rows_apart) {
    // Sums of the rows before, in every byte at once: no byte overflows.
    const std::uint32_t before = (places.even_counts + places.odd_counts) * 0x01010100u;
    warp.each([&](unsigned lane) {
      places.even[lane] += before;
      places.odd[lane] += before + places.even_counts;
    });
  }
  return places;
}

template <TileShape kShape, typename Warp>
WEFT_DEVICE unsigned place_of(const EscapePlaces<Warp>& places, unsigned lane, std::uint32_t escapes,
                              unsigned bit) {
  const unsigned row = bit & 7u;
  const std::uint32_t left_of_it = escapes & kRowOfEscapes << row & ((1u << bit) - 1u);
  unsigned place = (permuted(places.even[lane], places.odd[lane], row) & 0xffu) + set_bits(left_of_it);
  if (kShape.max_escapes() > 255 && places.rows_apart) {
    const unsigned pair_bits = 8u * (row & 3u);
    const std::uint32_t odd_rows = 0x00ffffffu >> (24u - pair_bits);
    const std::uint32_t even_rows = (row & 4u ? 0xffffffffu : 0x00ffffffu) >> (24u - pair_bits);
    place = add_bytes(places.even_counts & even_rows, add_bytes(places.odd_counts & odd_rows, place));
  }
  return place;
}

WEFT_HOST_DEVICE constexpr unsigned row_of(unsigned bit) {
  return 2u * (bit & 3u) + (bit >> 2 & 1u);
}

// The half byte of a field at dense.
inline constexpr unsigned kNibbleZero = 14, kNibbleByte = 15;
WEFT_HOST_DEVICE constexpr unsigned nibble_of(unsigned base, unsigned field) {
  const unsigned below = base - 1u - field;  // wraps where the field lies above the window
  return below < kNibbleZero ? below : field == 0 ? kNibbleZero : kNibbleByte;
}

// Writes the list of the fields in the warp's scratch, padding included.
template <TileShape kShape, typename Warp>
WEFT_DEVICE void write_list(Warp& warp, unsigned base, unsigned escapes, unsigned list_bytes,
                            std::uint8_t* list) {
  warp.sync();
  if constexpr (!kShape.nibbles) {
    static_assert(kMaxEscapesFast <= 4 * kLanes);
    warp.each([&](unsigned lane) {
      if (4 * lane >= escapes) return;
      const unsigned there = escapes - 4 * lane;
      const std::uint32_t fields = warp.fields(4 * lane, 4);
      warp.store_word(list + 4 * lane, there >= 4 ? fields : fields & ((1u << 8 * there) - 1u));
    });
  } else {
    const unsigned nibble_bytes = (escapes + 1) / 2;
    std::uint8_t* next = list + nibble_bytes;
    WEFT_ROLLED
    for (unsigned first = 0; first < escapes; first += 2 * kLanes) {
      typename Warp::template Each<std::uint32_t> fields;
      typename Warp::template Each<bool> whole[2];
      warp.each([&](unsigned lane) {
        const unsigned at = first + 2 * lane;
        fields[lane] = warp.fields(at, 2);
        const unsigned low = nibble_of(base, fields[lane] & 0xffu), high = nibble_of(base, fields[lane] >> 8);
        whole[0][lane] = at < escapes && low == kNibbleByte;
        whole[1][lane] = at + 1 < escapes && high == kNibbleByte;
        if (at < escapes) list[at / 2] = static_cast<std::uint8_t>(low | (at + 1 < escapes ? high << 4 : 0u));
      });
      const std::uint32_t low = warp.ballot(whole[0]), high = warp.ballot(whole[1]);
      warp.each([&](unsigned lane) {
        const std::uint32_t below = (1u << lane) - 1u;
        std::uint8_t* to = next + set_bits(low & below) + set_bits(high & below);
        if (whole[0][lane]) *to++ = static_cast<std::uint8_t>(fields[lane]);
        if (whole[1][lane]) *to = static_cast<std::uint8_t>(fields[lane] >> 8);
      });
      next += set_bits(low) + set_bits(high);
    }
    warp.each([&](unsigned lane) {
      if (list_bytes + lane < (list_bytes + 3) / 4 * 4) list[list_bytes + lane] = 0;
    });
  }
  warp.sync();  // the scratch is free again
}

// Reads `escapes` fields of level dense from a list of exactly `bytes` (padding included) into the scratch;
// false where it has another length.
template <typename Warp>
WEFT_DEVICE bool read_list(Warp& warp, unsigned base, unsigned escapes, const std::uint8_t* list,
                           unsigned bytes) {
  const unsigned nibble_bytes = (escapes + 1) / 2;
  if (nibble_bytes > bytes) return false;
  unsigned used = nibble_bytes;
  WEFT_ROLLED
  for (unsigned first = 0; first < escapes; first += 2 * kLanes) {
    typename Warp::template Each<std::uint32_t> nibbles;
    typename Warp::template Each<bool> whole[2];
    warp.each([&](unsigned lane) {
      const unsigned at = first + 2 * lane;
      nibbles[lane] = at < escapes ? list[at / 2] : 0u;
      whole[0][lane] = at < escapes && (nibbles[lane] & 15u) == kNibbleByte;
      whole[1][lane] = at + 1 < escapes && nibbles[lane] >> 4 == kNibbleByte;
    });
    const std::uint32_t low = warp.ballot(whole[0]), high = warp.ballot(whole[1]);
    warp.each([&](unsigned lane) {
      const std::uint32_t below = (1u << lane) - 1u;
      unsigned at = used + set_bits(low & below) + set_bits(high & below);
      std::uint32_t fields = 0;
      WEFT_UNROLLED
      for (unsigned i = 0; i < 2; ++i) {
        const unsigned nibble = nibbles[lane] >> (4 * i) & 15u;
        unsigned field = nibble == kNibbleZero ? 0u : base - 1u - nibble;
        if (whole[i][lane]) {
          field = at < bytes ? list[at] : 0u;
          ++at;
        }
        fields |= (field & 0xffu) << (8 * i);
      }
      warp.put_fields(first + 2 * lane, fields, 2);
    });
    used += set_bits(low) + set_bits(high);
  }
  warp.sync();
  return used <= bytes && bytes - used < kTileHeaderBytes;
}

}  // namespace weft::compression::cuda
