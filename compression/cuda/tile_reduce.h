// A tile reduced in registers: what was received, with what lies in memory.
//
// All lanes of a warp call together.
#pragma once

#include "compression/cuda/lane_arithmetic.h"
#include "compression/cuda/tile.h"

namespace weft::compression::cuda {

// elements = local (op) elements; `most` becomes the results' magnitudes. Not for results that are NaN.
template <typename C, ReduceOp kOp, typename Warp>
WEFT_DEVICE void reduce_numbers(Warp& warp, const TileElements<C, Warp>& local,
                                TileElements<C, Warp>& elements,
                                typename Warp::template Each<std::uint32_t>& most) {
  warp.each([&](unsigned lane) {
    std::uint32_t largest = 0;
    each_row([&](auto row) {
      WEFT_UNROLLED
      for (unsigned w = 0; w < C::kRowWords; ++w) {
        std::uint32_t& word = elements[lane].word[row][w];
        word = reduced_numbers<typename C::Element, kOp>(local[lane].word[row][w], word);
        largest = larger_magnitudes<C>(largest, word);
      }
    });
    most[lane] = largest;
  });
}

// The same for all results, NaN too, and divided. Slow, and small: one element's code, run for each.
template <typename C, ReduceOp kOp, typename Warp>
WEFT_DEVICE void reduce_exactly(Warp& warp, TileElements<C, Warp>& local, TileElements<C, Warp>& elements,
                                int divisor, typename Warp::template Each<std::uint32_t>& most) {
  using T = typename C::Element;
  constexpr unsigned kBits = 8 * sizeof(T);
  warp.each([&](unsigned lane) {
    std::uint32_t largest = 0;
    WEFT_ROLLED
    for (unsigned row = 0; row < kRows; ++row) {
      WEFT_ROLLED
      for (unsigned i = 0; i < 4; ++i) {
        // The four elements pass through the lowest place, and come back to theirs.
        const std::uint32_t result =
            reduced_exactly<T, kOp>(local[lane].word[0][0], elements[lane].word[0][0], divisor);
        if constexpr (kBits == 32) {
          elements[lane].word[0][0] = result;
          turn_words(local[lane].word[0]);
          turn_words(elements[lane].word[0]);
        } else if constexpr (kBits == 8) {
          local[lane].word[0][0] >>= 8;
          elements[lane].word[0][0] = elements[lane].word[0][0] >> 8 | result << 24;
        } else {
          elements[lane].word[0][0] = (elements[lane].word[0][0] & 0xffff0000u) | result;
          turn_halves(local[lane].word[0]);
          turn_halves(elements[lane].word[0]);
        }
      }
      WEFT_UNROLLED
      for (unsigned w = 0; w < C::kRowWords; ++w)
        largest = larger_magnitudes<C>(largest, elements[lane].word[0][w]);
      turn_rows<C>(local[lane]);
      turn_rows<C>(elements[lane]);
    }
    most[lane] = largest;
  });
}

}  // namespace weft::compression::cuda
