// 64 bytes at a time. Needs AVX-512 F, BW, VL, VBMI and VBMI2 (Ice Lake, Zen 4); compiled for them, called
// only there.
#include <immintrin.h>

#include <type_traits>

#include "compression/cpu/instruction_sets.h"
#include "compression/cpu/reduce_loops.h"
#include "compression/cpu/tile_loops.h"

namespace weft::compression::cpu {
namespace {

struct Avx512Bytes {
  static constexpr std::size_t kBytes = 64;
  __m512i bits;

  static Avx512Bytes load(const std::uint8_t* from) { return {_mm512_loadu_si512(from)}; }
  void store(std::uint8_t* to) const { _mm512_storeu_si512(to, bits); }
  static Avx512Bytes splat(std::uint8_t byte) { return {_mm512_set1_epi8(static_cast<char>(byte))}; }
  friend Avx512Bytes operator&(Avx512Bytes a, Avx512Bytes b) { return {_mm512_and_si512(a.bits, b.bits)}; }
  friend Avx512Bytes operator|(Avx512Bytes a, Avx512Bytes b) { return {_mm512_or_si512(a.bits, b.bits)}; }
  friend Avx512Bytes operator+(Avx512Bytes a, Avx512Bytes b) { return {_mm512_add_epi8(a.bits, b.bits)}; }
  friend Avx512Bytes operator-(Avx512Bytes a, Avx512Bytes b) { return {_mm512_sub_epi8(a.bits, b.bits)}; }
  friend Avx512Bytes smaller(Avx512Bytes a, Avx512Bytes b) { return {_mm512_min_epu8(a.bits, b.bits)}; }
  friend Avx512Bytes larger(Avx512Bytes a, Avx512Bytes b) { return {_mm512_max_epu8(a.bits, b.bits)}; }
  friend std::uint64_t equal_mask(Avx512Bytes a, Avx512Bytes b) {
    return _mm512_cmpeq_epi8_mask(a.bits, b.bits);
  }
  friend Avx512Bytes where_equal(Avx512Bytes a, Avx512Bytes b, Avx512Bytes equal, Avx512Bytes otherwise) {
    return {_mm512_mask_mov_epi8(otherwise.bits, equal_mask(a, b), equal.bits)};
  }
  template <unsigned kBits>
  Avx512Bytes shifted_left() const {
    return Avx512Bytes{_mm512_slli_epi16(bits, kBits)} & splat(static_cast<std::uint8_t>(0xff << kBits));
  }
  template <unsigned kBits>
  Avx512Bytes shifted_right() const {
    return Avx512Bytes{_mm512_srli_epi16(bits, kBits)} & splat(static_cast<std::uint8_t>(0xff >> kBits));
  }

  unsigned largest_byte() const {
    const __m256i half = _mm256_max_epu8(_mm512_castsi512_si256(bits), _mm512_extracti64x4_epi64(bits, 1));
    __m128i most = _mm_max_epu8(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    most = _mm_max_epu8(most, _mm_srli_si128(most, 8));
    // The smallest of eight 16-bit numbers is an instruction of its own: of the larger bytes, inverted.
    most = _mm_max_epu8(most, _mm_srli_epi16(most, 8));
    most = _mm_xor_si128(_mm_and_si128(most, _mm_set1_epi16(0xff)), _mm_set1_epi16(0xff));
    return 0xffu - static_cast<unsigned>(_mm_cvtsi128_si32(_mm_minpos_epu16(most)) & 0xff);
  }

  // Bytes kFirst, kFirst + 2, ... of two registers.
  template <int kFirst>
  static __m512i every_other(__m512i a, __m512i b) {
    const __m512i first = _mm512_set1_epi64(0x0e0c0a0806040200 + kFirst * 0x0101010101010101);
    const __m512i step =
        _mm512_set_epi64(0x7070707070707070, 0x6060606060606060, 0x5050505050505050, 0x4040404040404040,
                         0x3030303030303030, 0x2020202020202020, 0x1010101010101010, 0);
    return _mm512_permutex2var_epi8(a, _mm512_add_epi8(first, step), b);
  }
  template <bool kRotated>
  static void split_halves(const std::uint8_t* from, Avx512Bytes& low, Avx512Bytes& high) {
    __m512i a = _mm512_loadu_si512(from), b = _mm512_loadu_si512(from + 64);
    if constexpr (kRotated) {
      a = _mm512_shldi_epi16(a, a, 1);
      b = _mm512_shldi_epi16(b, b, 1);
    }
    low = {every_other<0>(a, b)};
    high = {every_other<1>(a, b)};
  }
  // Bytes of a and b in turn: the first 32 of each, or the last.
  template <int kHalf>
  static __m512i interleaved(__m512i a, __m512i b) {
    const __m512i pairs = _mm512_set1_epi64(0x4303420241014000 + kHalf * 0x2020202020202020);
    const __m512i step =
        _mm512_set_epi64(0x1c1c1c1c1c1c1c1c, 0x1818181818181818, 0x1414141414141414, 0x1010101010101010,
                         0x0c0c0c0c0c0c0c0c, 0x0808080808080808, 0x0404040404040404, 0);
    return _mm512_permutex2var_epi8(a, _mm512_add_epi8(pairs, step), b);
  }
  template <bool kRotated>
  static void join_halves(Avx512Bytes low, Avx512Bytes high, std::uint8_t* to) {
    __m512i a = interleaved<0>(low.bits, high.bits), b = interleaved<1>(low.bits, high.bits);
    if constexpr (kRotated) {
      a = _mm512_shrdi_epi16(a, a, 1);
      b = _mm512_shrdi_epi16(b, b, 1);
    }
    _mm512_storeu_si512(to, a);
    _mm512_storeu_si512(to + 64, b);
  }

  template <bool kRotated>
  static void split_words(const std::uint8_t* from, std::uint8_t* halves, Avx512Bytes& low,
                          Avx512Bytes& high) {
    __m512i top[2];
    for (int i = 0; i < 2; ++i) {
      __m512i a = _mm512_loadu_si512(from + 128 * i), b = _mm512_loadu_si512(from + 128 * i + 64);
      if constexpr (kRotated) {
        a = _mm512_rol_epi32(a, 1);
        b = _mm512_rol_epi32(b, 1);
      }
      const __m256i a_low = _mm512_cvtepi32_epi16(a), b_low = _mm512_cvtepi32_epi16(b);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(halves + 64 * i), a_low);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(halves + 64 * i + 32), b_low);
      top[i] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_srli_epi32(a, 16))),
                                  _mm512_cvtepi32_epi16(_mm512_srli_epi32(b, 16)), 1);
    }
    low = {every_other<0>(top[0], top[1])};
    high = {every_other<1>(top[0], top[1])};
  }
  template <bool kRotated>
  static void join_words(const std::uint8_t* halves, Avx512Bytes low, Avx512Bytes high, std::uint8_t* to) {
    const __m512i top[2] = {interleaved<0>(low.bits, high.bits), interleaved<1>(low.bits, high.bits)};
    for (int i = 0; i < 4; ++i) {
      const __m256i bottom = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves + 32 * i));
      const __m256i above =
          i % 2 == 0 ? _mm512_castsi512_si256(top[i / 2]) : _mm512_extracti64x4_epi64(top[i / 2], 1);
      __m512i word =
          _mm512_or_si512(_mm512_slli_epi32(_mm512_cvtepu16_epi32(above), 16), _mm512_cvtepu16_epi32(bottom));
      if constexpr (kRotated) word = _mm512_ror_epi32(word, 1);
      _mm512_storeu_si512(to + 64 * i, word);
    }
  }

  // Into a register and from there whole to memory: written to memory by itself the instruction takes a
  // hundred cycles on Zen 4. The lists have room for it.
  static std::size_t append_masked(std::uint64_t mask, Avx512Bytes fields, std::uint8_t* list) {
    _mm512_storeu_si512(list, _mm512_maskz_compress_epi8(mask, fields.bits));
    return static_cast<std::size_t>(__builtin_popcountll(mask));
  }
  template <std::uint8_t kMask, unsigned kShift>
  static void put_masked(std::uint64_t mask, Avx512Bytes bytes, const std::uint8_t* list, std::uint8_t* to) {
    const Avx512Bytes fields{_mm512_maskz_expand_epi8(mask, _mm512_loadu_si512(list))};
    const Avx512Bytes others = bytes & splat(static_cast<std::uint8_t>(~kMask));
    const Avx512Bytes put = others | fields.shifted_left<kShift>();
    _mm512_storeu_si512(to, _mm512_mask_mov_epi8(bytes.bits, mask, put.bits));
  }

  void store_nibbles(std::uint8_t* to) const {
    const __m512i pairs = _mm512_or_si512(bits, _mm512_srli_epi16(bits, 4));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi16_epi8(pairs));
  }
  static Avx512Bytes load_nibbles(const std::uint8_t* from) {
    const __m512i pairs = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    return Avx512Bytes{_mm512_or_si512(pairs, _mm512_slli_epi16(pairs, 4))} & splat(0x0f);
  }
};

// 16 floats.
struct Avx512Floats {
  static constexpr std::size_t kFloats = 16;
  __m512 lanes;

  static Avx512Floats load(const char* from) { return {_mm512_loadu_ps(from)}; }
  void store(char* to) const { _mm512_storeu_ps(to, lanes); }
  // The instructions give the first of two NaN, as element_arithmetic.h asks; a compiler may swap the
  // operands of the intrinsics.
  friend Avx512Floats add(Avx512Floats a, Avx512Floats b) {
    Avx512Floats sum;
    asm("vaddps %2, %1, %0" : "=v"(sum.lanes) : "v"(a.lanes), "v"(b.lanes));
    return sum;
  }
  friend Avx512Floats multiply(Avx512Floats a, Avx512Floats b) {
    Avx512Floats product;
    asm("vmulps %2, %1, %0" : "=v"(product.lanes) : "v"(a.lanes), "v"(b.lanes));
    return product;
  }
  friend Avx512Floats divide(Avx512Floats a, Avx512Floats b) { return {_mm512_div_ps(a.lanes, b.lanes)}; }
  static Avx512Floats splat(float value) { return {_mm512_set1_ps(value)}; }
  // The instructions give their second operand where one is NaN or both are zeros.
  friend Avx512Floats smaller_or_left(Avx512Floats a, Avx512Floats b) {
    return {_mm512_min_ps(b.lanes, a.lanes)};
  }
  friend Avx512Floats larger_or_left(Avx512Floats a, Avx512Floats b) {
    return {_mm512_max_ps(b.lanes, a.lanes)};
  }

  template <typename T>
  static void load_pair(const char* from, Avx512Floats& first, Avx512Floats& second) {
    const __m512i halves = _mm512_loadu_si512(from);
    if constexpr (std::is_same_v<T, Bfloat16>) {
      first.lanes = _mm512_castsi512_ps(_mm512_unpacklo_epi16(_mm512_setzero_si512(), halves));
      second.lanes = _mm512_castsi512_ps(_mm512_unpackhi_epi16(_mm512_setzero_si512(), halves));
    } else {
      from_halves(halves, first, second);
    }
  }
  static void from_halves(__m512i halves, Avx512Floats& first, Avx512Floats& second) {
    first.lanes = _mm512_cvtph_ps(_mm512_castsi512_si256(halves));
    second.lanes = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1));
  }
  static __m512i rounded(__m512 value) {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i nearest = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    return _mm512_srli_epi32(_mm512_mask_or_epi32(nearest, is_nan, bits, _mm512_set1_epi32(0x400000)), 16);
  }
  // As to_float16(): of a NaN the sign stays, not the payload, which the instruction would keep.
  static __m256i halved(__m512 value) {
    const __m256i halves = _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const __m256i nan = _mm256_or_si256(
        _mm256_and_si256(halves, _mm256_set1_epi16(static_cast<short>(0x8000))), _mm256_set1_epi16(0x7e00));
    return _mm256_mask_mov_epi16(halves, is_nan, nan);
  }
  template <typename T>
  static void store_pair(Avx512Floats first, Avx512Floats second, char* to) {
    if constexpr (std::is_same_v<T, Bfloat16>) {
      _mm512_storeu_si512(to, _mm512_packus_epi32(rounded(first.lanes), rounded(second.lanes)));
    } else {
      _mm512_storeu_si512(
          to, _mm512_inserti64x4(_mm512_castsi256_si512(halved(first.lanes)), halved(second.lanes), 1));
    }
  }
};

// FP8 through float16, whose instructions convert: e5m2 is its upper half, e4m3 lies in it 2^8 too small,
// denormals too. Sums and products that float16 rounds come out as if only rounded to FP8: float8_test
// tries all.
template <typename T>
struct Avx512Float8 {
  __m512i bits;

  static Avx512Float8 load(const char* from) { return {_mm512_loadu_si512(from)}; }
  void store(char* to) const { _mm512_storeu_si512(to, bits); }
  friend Avx512Float8 add(Avx512Float8 a, Avx512Float8 b) {
    return computed(a, b, [](Avx512Floats x, Avx512Floats y) { return add(x, y); });
  }
  friend Avx512Float8 multiply(Avx512Float8 a, Avx512Float8 b) {
    return computed(a, b, [](Avx512Floats x, Avx512Floats y) {
      if constexpr (kScaled) x = multiply(x, {_mm512_set1_ps(256)});
      return multiply(x, y);
    });
  }
  friend Avx512Float8 smaller_or_left(Avx512Float8 a, Avx512Float8 b) {
    return {_mm512_mask_mov_epi8(a.bits, less(b, a), b.bits)};
  }
  friend Avx512Float8 larger_or_left(Avx512Float8 a, Avx512Float8 b) {
    return {_mm512_mask_mov_epi8(a.bits, less(a, b), b.bits)};
  }

 private:
  static constexpr bool kScaled = !T::kHasInfinity;
  static constexpr int kLost = 10 - T::kMantissa;  // bits of a float16's mantissa
  static constexpr short kUpper = static_cast<short>(0xff00);

  __m512i magnitudes() const { return _mm512_and_si512(bits, _mm512_set1_epi8(0x7f)); }
  __mmask64 nan() const { return _mm512_cmpgt_epu8_mask(magnitudes(), _mm512_set1_epi8(T::kHighest)); }
  static __mmask64 less(Avx512Float8 a, Avx512Float8 b) {
    const __mmask64 places = _mm512_cmplt_epi8_mask(a.places(), b.places());
    return _kandn_mask64(_kor_mask64(a.nan(), b.nan()), places);
  }
  __m512i places() const {
    return _mm512_mask_sub_epi8(magnitudes(), _mm512_movepi8_mask(bits), _mm512_setzero_si512(),
                                magnitudes());
  }

  // Of elements at even and at odd places.
  struct Halves {
    __m512i even, odd;
  };
  Halves halves() const {
    const __m512i even = _mm512_slli_epi16(bits, 8);
    if constexpr (!kScaled) return {even, _mm512_and_si512(bits, _mm512_set1_epi16(kUpper))};
    const __m512i fields = _mm512_set1_epi16(static_cast<short>(0xbf80));
    return {_mm512_and_si512(_mm512_srai_epi16(even, 1), fields),
            _mm512_and_si512(_mm512_srai_epi16(bits, 1), fields)};
  }
  // The results as float16s, rounded to the bits that FP8 keeps; those behind them are to be cut off.
  template <typename Operation>
  static __m512i rounded(__m512i a, __m512i b, Operation operation) {
    constexpr int kRounding = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    Avx512Floats a_first, a_second, b_first, b_second;
    Avx512Floats::from_halves(a, a_first, a_second);
    Avx512Floats::from_halves(b, b_first, b_second);
    const __m256i first = _mm512_cvtps_ph(operation(a_first, b_first).lanes, kRounding);
    const __m256i second = _mm512_cvtps_ph(operation(a_second, b_second).lanes, kRounding);
    const __m512i result = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi16(result, kLost), _mm512_set1_epi16(1));
    return _mm512_add_epi16(_mm512_add_epi16(result, odd), _mm512_set1_epi16((1 << (kLost - 1)) - 1));
  }
  // The lower byte of each 16 bits of `even`, the upper one of `odd`.
  static __m512i joined(__m512i even, __m512i odd) {
    return _mm512_ternarylogic_epi32(_mm512_set1_epi16(kUpper), odd, even, 0xca);
  }
  // magnitudes | (signs & 0x80)
  static __m512i with_signs(__m512i magnitudes, __m512i signs) {
    return _mm512_ternarylogic_epi32(magnitudes, signs, _mm512_set1_epi8(static_cast<char>(0x80)), 0xf8);
  }
  template <typename Operation>
  static Avx512Float8 computed(Avx512Float8 a, Avx512Float8 b, Operation operation) {
    const Halves left = a.halves(), right = b.halves();
    const __m512i even = rounded(left.even, right.even, operation);
    const __m512i odd = rounded(left.odd, right.odd, operation);
    const Avx512Float8 upper{joined(_mm512_srli_epi16(even, 8), odd)};
    const __m512i largest = _mm512_set1_epi8(T::kLargest), nan = _mm512_set1_epi8(T::kNan);
    if constexpr (kScaled) {
      // Without the sign, and one bit more than the type has.
      const __m512i magnitudes = joined(_mm512_srli_epi16(even, kLost), _mm512_slli_epi16(odd, 8 - kLost));
      const __m512i number = with_signs(_mm512_min_epu8(magnitudes, largest), upper.bits);
      // Without infinity there is no NaN but what came in; as a float16 it has been a number.
      const __m512i either = _mm512_max_epu8(a.magnitudes(), b.magnitudes());
      return {_mm512_mask_mov_epi8(number, _mm512_cmpeq_epu8_mask(either, nan), nan)};
    } else {
      const __m512i number = with_signs(_mm512_min_epu8(upper.magnitudes(), largest), upper.bits);
      return {_mm512_mask_mov_epi8(number, upper.nan(), nan)};
    }
  }
};

constexpr int kScaleBits = 12;

__m512i advanced(__m512i state, const std::uint32_t* entry, const std::uint8_t*& from,
                 std::uint8_t* symbols) {
  const __m512i low = _mm512_set1_epi32((1 << kScaleBits) - 1);
  const __m512i found = _mm512_i32gather_epi32(_mm512_and_si512(state, low), entry, 4);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(symbols), _mm512_cvtepi32_epi8(found));
  const __m512i frequency =
      _mm512_add_epi32(_mm512_and_si512(_mm512_srli_epi32(found, 8), low), _mm512_set1_epi32(1));
  state = _mm512_add_epi32(_mm512_mullo_epi32(frequency, _mm512_srli_epi32(state, kScaleBits)),
                           _mm512_srli_epi32(found, 20));
  const __mmask16 takes = _mm512_cmplt_epu32_mask(state, _mm512_set1_epi32(1 << 16));
  const __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  from += 2 * __builtin_popcount(takes);
  return _mm512_mask_or_epi32(state, takes, _mm512_slli_epi32(state, 16),
                              _mm512_maskz_expand_epi32(takes, words));
}

std::size_t decode_states(const std::uint32_t* entry, std::uint32_t* states, const std::uint8_t*& from,
                          const std::uint8_t* end, std::uint8_t* symbols, std::size_t count) {
  __m512i first = _mm512_loadu_si512(states), second = _mm512_loadu_si512(states + 16);
  std::size_t done = 0;
  for (; done < count && end - from >= 64; done += 32) {
    first = advanced(first, entry, from, symbols + done);
    second = advanced(second, entry, from, symbols + done + 16);
  }
  _mm512_storeu_si512(states, first);
  _mm512_storeu_si512(states + 16, second);
  return done;
}

// Quotients of 32-bit numbers. Exact: a quotient that is no integer lies 1 / 4,096 from one at least, and a
// double has 20 bits behind the point of the largest.
__m512i divided(__m512i numbers, __m512i by) {
  const __m512d low = _mm512_div_pd(_mm512_cvtepu32_pd(_mm512_castsi512_si256(numbers)),
                                    _mm512_cvtepu32_pd(_mm512_castsi512_si256(by)));
  const __m512d high = _mm512_div_pd(_mm512_cvtepu32_pd(_mm512_extracti64x4_epi64(numbers, 1)),
                                     _mm512_cvtepu32_pd(_mm512_extracti64x4_epi64(by, 1)));
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvttpd_epu32(low)), _mm512_cvttpd_epu32(high), 1);
}

__m512i encoded(__m512i state, const std::uint32_t* symbol, const std::uint8_t* symbols,
                std::uint16_t*& next) {
  const __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(symbols)));
  const __m512i found = _mm512_i32gather_epi32(index, symbol, 4);
  const __m512i frequency = _mm512_and_si512(found, _mm512_set1_epi32(0xffff));
  // For a frequency of 4,096 this is the largest number: such a state gives off nothing.
  const __m512i highest =
      _mm512_sub_epi32(_mm512_slli_epi32(frequency, 32 - kScaleBits), _mm512_set1_epi32(1));
  const __mmask16 gives = _mm512_cmpgt_epu32_mask(state, highest);
  const int words = __builtin_popcount(gives);
  next -= words;
  _mm256_mask_storeu_epi16(next, static_cast<__mmask16>((1u << words) - 1u),
                           _mm256_maskz_compress_epi16(gives, _mm512_cvtepi32_epi16(state)));
  state = _mm512_mask_srli_epi32(state, gives, state, 16);
  const __m512i complement = _mm512_sub_epi32(_mm512_set1_epi32(1 << kScaleBits), frequency);
  return _mm512_add_epi32(_mm512_add_epi32(state, _mm512_srli_epi32(found, 16)),
                          _mm512_mullo_epi32(divided(state, frequency), complement));
}

std::uint16_t* encode_states(const std::uint32_t* symbol, std::uint32_t* states, const std::uint8_t* symbols,
                             std::size_t count, std::uint16_t* words_end) {
  __m512i first = _mm512_loadu_si512(states), second = _mm512_loadu_si512(states + 16);
  for (std::size_t step = count; step > 0; step -= 32) {
    second = encoded(second, symbol, symbols + step - 16, words_end);
    first = encoded(first, symbol, symbols + step - 32, words_end);
  }
  _mm512_storeu_si512(states, first);
  _mm512_storeu_si512(states + 16, second);
  return words_end;
}

}  // namespace

const TileKernels kAvx512Kernels{"AVX-512",
                                 TileLoops<Avx512Bytes>::encode_any,
                                 TileLoops<Avx512Bytes>::decode_any,
                                 ReduceLoops<Avx512Floats, Avx512Float8>::of_floats,
                                 ReduceLoops<Avx512Floats, Avx512Float8>::divide_floats,
                                 {decode_states, encode_states}};

}  // namespace weft::compression::cpu
