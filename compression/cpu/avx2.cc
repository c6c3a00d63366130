// 32 bytes at a time. Compiled for AVX2 and F16C, called only where both are.
#include <immintrin.h>

#include <type_traits>

#include "compression/cpu/instruction_sets.h"
#include "compression/cpu/reduce_loops.h"
#include "compression/cpu/tile_loops.h"

namespace weft::compression::cpu {
namespace {

// For each eight bits: which bytes are set, one after the other, and for each byte the how many-th set one it
// is (none: 0x80, which gives 0).
struct BytePlaces {
  std::uint8_t set[256][8] = {}, rank[256][8] = {};
  constexpr BytePlaces() {
    for (unsigned bits = 0; bits < 256; ++bits) {
      std::uint8_t count = 0;
      for (std::uint8_t i = 0; i < 8; ++i) {
        const bool is_set = (bits >> i & 1) != 0;
        rank[bits][i] = is_set ? count : 0x80;
        if (is_set) set[bits][count++] = i;
      }
    }
  }
  static __m128i loaded(const std::uint8_t* eight) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(eight));
  }
  __m128i together(std::uint64_t bits) const { return loaded(set[bits]); }
  __m128i apart(std::uint64_t bits) const { return loaded(rank[bits]); }
};
constexpr BytePlaces kPlaces;

struct Avx2Bytes {
  static constexpr std::size_t kBytes = 32;
  __m256i bits;

  static __m256i loaded(const std::uint8_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static void stored(std::uint8_t* to, __m256i bits) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bits);
  }
  static Avx2Bytes load(const std::uint8_t* from) { return {loaded(from)}; }
  void store(std::uint8_t* to) const { stored(to, bits); }
  static Avx2Bytes splat(std::uint8_t byte) { return {_mm256_set1_epi8(static_cast<char>(byte))}; }
  friend Avx2Bytes operator&(Avx2Bytes a, Avx2Bytes b) { return {_mm256_and_si256(a.bits, b.bits)}; }
  friend Avx2Bytes operator|(Avx2Bytes a, Avx2Bytes b) { return {_mm256_or_si256(a.bits, b.bits)}; }
  friend Avx2Bytes operator+(Avx2Bytes a, Avx2Bytes b) { return {_mm256_add_epi8(a.bits, b.bits)}; }
  friend Avx2Bytes operator-(Avx2Bytes a, Avx2Bytes b) { return {_mm256_sub_epi8(a.bits, b.bits)}; }
  friend Avx2Bytes smaller(Avx2Bytes a, Avx2Bytes b) { return {_mm256_min_epu8(a.bits, b.bits)}; }
  friend Avx2Bytes larger(Avx2Bytes a, Avx2Bytes b) { return {_mm256_max_epu8(a.bits, b.bits)}; }
  friend std::uint64_t equal_mask(Avx2Bytes a, Avx2Bytes b) {
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(a.bits, b.bits)));
  }
  friend Avx2Bytes where_equal(Avx2Bytes a, Avx2Bytes b, Avx2Bytes equal, Avx2Bytes otherwise) {
    return {_mm256_blendv_epi8(otherwise.bits, equal.bits, _mm256_cmpeq_epi8(a.bits, b.bits))};
  }
  template <unsigned kBits>
  Avx2Bytes shifted_left() const {
    return Avx2Bytes{_mm256_slli_epi16(bits, kBits)} & splat(static_cast<std::uint8_t>(0xff << kBits));
  }
  template <unsigned kBits>
  Avx2Bytes shifted_right() const {
    return Avx2Bytes{_mm256_srli_epi16(bits, kBits)} & splat(static_cast<std::uint8_t>(0xff >> kBits));
  }

  unsigned largest_byte() const {
    __m128i most = _mm_max_epu8(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
    // The smallest of eight 16-bit numbers is an instruction of its own: of the larger bytes, inverted.
    most = _mm_max_epu8(most, _mm_srli_epi16(most, 8));
    most = _mm_xor_si128(_mm_and_si128(most, _mm_set1_epi16(0xff)), _mm_set1_epi16(0xff));
    return 0xffu - static_cast<unsigned>(_mm_cvtsi128_si32(_mm_minpos_epu16(most)) & 0xff);
  }

  template <bool kRotated>
  static __m256i turned(__m256i halves) {
    if constexpr (!kRotated) return halves;
    return _mm256_or_si256(_mm256_add_epi16(halves, halves), _mm256_srli_epi16(halves, 15));
  }
  template <bool kRotated>
  static __m256i turned_back(__m256i halves) {
    if constexpr (!kRotated) return halves;
    return _mm256_or_si256(_mm256_srli_epi16(halves, 1), _mm256_slli_epi16(halves, 15));
  }
  static void split_pair(__m256i a, __m256i b, Avx2Bytes& low, Avx2Bytes& high) {
    const __m256i mask = _mm256_set1_epi16(0xff);
    low = {_mm256_permute4x64_epi64(_mm256_packus_epi16(_mm256_and_si256(a, mask), _mm256_and_si256(b, mask)),
                                    _MM_SHUFFLE(3, 1, 2, 0))};
    high = {_mm256_permute4x64_epi64(_mm256_packus_epi16(_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8)),
                                     _MM_SHUFFLE(3, 1, 2, 0))};
  }
  static void join_pair(Avx2Bytes low, Avx2Bytes high, __m256i& a, __m256i& b) {
    const __m256i l = _mm256_permute4x64_epi64(low.bits, _MM_SHUFFLE(3, 1, 2, 0));
    const __m256i h = _mm256_permute4x64_epi64(high.bits, _MM_SHUFFLE(3, 1, 2, 0));
    a = _mm256_unpacklo_epi8(l, h);
    b = _mm256_unpackhi_epi8(l, h);
  }
  template <bool kRotated>
  static void split_halves(const std::uint8_t* from, Avx2Bytes& low, Avx2Bytes& high) {
    split_pair(turned<kRotated>(loaded(from)), turned<kRotated>(loaded(from + 32)), low, high);
  }
  template <bool kRotated>
  static void join_halves(Avx2Bytes low, Avx2Bytes high, std::uint8_t* to) {
    __m256i a, b;
    join_pair(low, high, a, b);
    stored(to, turned_back<kRotated>(a));
    stored(to + 32, turned_back<kRotated>(b));
  }

  template <bool kRotated>
  static void split_words(const std::uint8_t* from, std::uint8_t* halves, Avx2Bytes& low, Avx2Bytes& high) {
    __m256i top[2];
    for (int i = 0; i < 2; ++i) {
      __m256i a = loaded(from + 64 * i), b = loaded(from + 64 * i + 32);
      if constexpr (kRotated) {
        a = _mm256_or_si256(_mm256_add_epi32(a, a), _mm256_srli_epi32(a, 31));
        b = _mm256_or_si256(_mm256_add_epi32(b, b), _mm256_srli_epi32(b, 31));
      }
      const __m256i bottom = _mm256_packus_epi32(_mm256_blend_epi16(a, _mm256_setzero_si256(), 0xaa),
                                                 _mm256_blend_epi16(b, _mm256_setzero_si256(), 0xaa));
      stored(halves + 32 * i, _mm256_permute4x64_epi64(bottom, _MM_SHUFFLE(3, 1, 2, 0)));
      top[i] = _mm256_permute4x64_epi64(
          _mm256_packus_epi32(_mm256_srli_epi32(a, 16), _mm256_srli_epi32(b, 16)), _MM_SHUFFLE(3, 1, 2, 0));
    }
    split_pair(top[0], top[1], low, high);
  }
  template <bool kRotated>
  static void join_words(const std::uint8_t* halves, Avx2Bytes low, Avx2Bytes high, std::uint8_t* to) {
    __m256i top[2];
    join_pair(low, high, top[0], top[1]);
    for (int i = 0; i < 2; ++i) {
      const __m256i bottom = _mm256_permute4x64_epi64(loaded(halves + 32 * i), _MM_SHUFFLE(3, 1, 2, 0));
      const __m256i above = _mm256_permute4x64_epi64(top[i], _MM_SHUFFLE(3, 1, 2, 0));
      __m256i a = _mm256_unpacklo_epi16(bottom, above), b = _mm256_unpackhi_epi16(bottom, above);
      if constexpr (kRotated) {
        a = _mm256_or_si256(_mm256_srli_epi32(a, 1), _mm256_slli_epi32(a, 31));
        b = _mm256_or_si256(_mm256_srli_epi32(b, 1), _mm256_slli_epi32(b, 31));
      }
      stored(to + 64 * i, a);
      stored(to + 64 * i + 32, b);
    }
  }

  // Eight at a time, from a table: a loop over the bits ends after another number of them in each vector,
  // which no processor foresees.
  static std::size_t append_masked(std::uint64_t mask, Avx2Bytes fields, std::uint8_t* list) {
    const __m128i half[2] = {_mm256_castsi256_si128(fields.bits), _mm256_extracti128_si256(fields.bits, 1)};
    std::uint8_t* next = list;
    for (int i = 0; i < 4; ++i, mask >>= 8) {
      const __m128i eight = i % 2 == 0 ? half[i / 2] : _mm_unpackhi_epi64(half[i / 2], half[i / 2]);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(next),
                       _mm_shuffle_epi8(eight, kPlaces.together(mask & 0xff)));
      next += _mm_popcnt_u32(mask & 0xff);
    }
    return static_cast<std::size_t>(next - list);
  }
  template <std::uint8_t kMask, unsigned kShift>
  static void put_masked(std::uint64_t mask, Avx2Bytes bytes, const std::uint8_t* list, std::uint8_t* to) {
    __m128i places[4], eight[4];
    for (int i = 0; i < 4; ++i, mask >>= 8) {
      places[i] = kPlaces.apart(mask & 0xff);
      eight[i] = _mm_shuffle_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(list)), places[i]);
      list += _mm_popcnt_u32(mask & 0xff);
    }
    const auto joined = [](const __m128i(&four)[4]) {
      return _mm256_set_m128i(_mm_unpacklo_epi64(four[2], four[3]), _mm_unpacklo_epi64(four[0], four[1]));
    };
    const Avx2Bytes others = bytes & splat(static_cast<std::uint8_t>(~kMask));
    const Avx2Bytes put = others | Avx2Bytes{joined(eight)}.shifted_left<kShift>();
    stored(to, _mm256_blendv_epi8(put.bits, bytes.bits, joined(places)));
  }

  void store_nibbles(std::uint8_t* to) const {
    const __m256i pairs = _mm256_or_si256(bits, _mm256_srli_epi16(bits, 4));
    const __m256i even = _mm256_and_si256(pairs, _mm256_set1_epi16(0xff));
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi16(even, even), _MM_SHUFFLE(3, 1, 2, 0));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(packed));
  }
  static Avx2Bytes load_nibbles(const std::uint8_t* from) {
    const __m256i pairs = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return Avx2Bytes{_mm256_or_si256(pairs, _mm256_slli_epi16(pairs, 4))} & splat(0x0f);
  }
};

// 8 floats.
struct Avx2Floats {
  static constexpr std::size_t kFloats = 8;
  __m256 lanes;

  static Avx2Floats load(const char* from) { return {_mm256_loadu_ps(reinterpret_cast<const float*>(from))}; }
  void store(char* to) const { _mm256_storeu_ps(reinterpret_cast<float*>(to), lanes); }
  // The instructions give the first of two NaN, as element_arithmetic.h asks; a compiler may swap the
  // operands of the intrinsics.
  friend Avx2Floats add(Avx2Floats a, Avx2Floats b) {
    Avx2Floats sum;
    asm("vaddps %2, %1, %0" : "=x"(sum.lanes) : "x"(a.lanes), "x"(b.lanes));
    return sum;
  }
  friend Avx2Floats multiply(Avx2Floats a, Avx2Floats b) {
    Avx2Floats product;
    asm("vmulps %2, %1, %0" : "=x"(product.lanes) : "x"(a.lanes), "x"(b.lanes));
    return product;
  }
  friend Avx2Floats divide(Avx2Floats a, Avx2Floats b) { return {_mm256_div_ps(a.lanes, b.lanes)}; }
  static Avx2Floats splat(float value) { return {_mm256_set1_ps(value)}; }
  // The instructions give their second operand where one is NaN or both are zeros.
  friend Avx2Floats smaller_or_left(Avx2Floats a, Avx2Floats b) { return {_mm256_min_ps(b.lanes, a.lanes)}; }
  friend Avx2Floats larger_or_left(Avx2Floats a, Avx2Floats b) { return {_mm256_max_ps(b.lanes, a.lanes)}; }

  template <typename T>
  static void load_pair(const char* from, Avx2Floats& first, Avx2Floats& second) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    if constexpr (std::is_same_v<T, Bfloat16>) {
      first.lanes = _mm256_castsi256_ps(_mm256_unpacklo_epi16(_mm256_setzero_si256(), halves));
      second.lanes = _mm256_castsi256_ps(_mm256_unpackhi_epi16(_mm256_setzero_si256(), halves));
    } else {
      from_halves(halves, first, second);
    }
  }
  static void from_halves(__m256i halves, Avx2Floats& first, Avx2Floats& second) {
    first.lanes = _mm256_cvtph_ps(_mm256_castsi256_si128(halves));
    second.lanes = _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1));
  }
  static __m256i rounded(__m256 value) {
    const __m256i bits = _mm256_castps_si256(value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i nearest = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(nearest, quiet, is_nan), 16);
  }
  // As to_float16(): of a NaN the sign stays, not the payload, which the instruction would keep.
  static __m128i halved(__m256 value) {
    const __m256 is_nan = _mm256_cmp_ps(value, value, _CMP_UNORD_Q);
    const __m256 sign = _mm256_and_ps(value, _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MIN)));
    const __m256 nan = _mm256_or_ps(sign, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000)));
    return _mm256_cvtps_ph(_mm256_blendv_ps(value, nan, is_nan),
                           _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  template <typename T>
  static void store_pair(Avx2Floats first, Avx2Floats second, char* to) {
    __m256i halves;
    if constexpr (std::is_same_v<T, Bfloat16>) {
      halves = _mm256_packus_epi32(rounded(first.lanes), rounded(second.lanes));
    } else {
      halves = _mm256_inserti128_si256(_mm256_castsi128_si256(halved(first.lanes)), halved(second.lanes), 1);
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), halves);
  }
};

// FP8 through float16, as in avx512.cc.
template <typename T>
struct Avx2Float8 {
  __m256i bits;

  static Avx2Float8 load(const char* from) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))};
  }
  void store(char* to) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bits); }
  friend Avx2Float8 add(Avx2Float8 a, Avx2Float8 b) {
    return computed(a, b, [](Avx2Floats x, Avx2Floats y) { return add(x, y); });
  }
  friend Avx2Float8 multiply(Avx2Float8 a, Avx2Float8 b) {
    return computed(a, b, [](Avx2Floats x, Avx2Floats y) {
      if constexpr (kScaled) x = multiply(x, {_mm256_set1_ps(256)});
      return multiply(x, y);
    });
  }
  friend Avx2Float8 smaller_or_left(Avx2Float8 a, Avx2Float8 b) {
    return {_mm256_blendv_epi8(a.bits, b.bits, less(b, a))};
  }
  friend Avx2Float8 larger_or_left(Avx2Float8 a, Avx2Float8 b) {
    return {_mm256_blendv_epi8(a.bits, b.bits, less(a, b))};
  }

 private:
  static constexpr bool kScaled = !T::kHasInfinity;
  static constexpr int kLost = 10 - T::kMantissa;  // bits of a float16's mantissa
  static constexpr short kUpper = static_cast<short>(0xff00);

  __m256i magnitudes() const { return _mm256_and_si256(bits, _mm256_set1_epi8(0x7f)); }
  __m256i nan() const { return _mm256_cmpgt_epi8(magnitudes(), _mm256_set1_epi8(T::kHighest)); }
  __m256i places() const { return _mm256_sign_epi8(magnitudes(), bits); }
  static __m256i less(Avx2Float8 a, Avx2Float8 b) {
    return _mm256_andnot_si256(_mm256_or_si256(a.nan(), b.nan()), _mm256_cmpgt_epi8(b.places(), a.places()));
  }

  // Of elements at even and at odd places.
  struct Halves {
    __m256i even, odd;
  };
  Halves halves() const {
    const __m256i even = _mm256_slli_epi16(bits, 8);
    if constexpr (!kScaled) return {even, _mm256_and_si256(bits, _mm256_set1_epi16(kUpper))};
    const __m256i fields = _mm256_set1_epi16(static_cast<short>(0xbf80));
    return {_mm256_and_si256(_mm256_srai_epi16(even, 1), fields),
            _mm256_and_si256(_mm256_srai_epi16(bits, 1), fields)};
  }
  template <typename Operation>
  static __m256i rounded(__m256i a, __m256i b, Operation operation) {
    constexpr int kRounding = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    Avx2Floats a_first, a_second, b_first, b_second;
    Avx2Floats::from_halves(a, a_first, a_second);
    Avx2Floats::from_halves(b, b_first, b_second);
    const __m128i first = _mm256_cvtps_ph(operation(a_first, b_first).lanes, kRounding);
    const __m128i second = _mm256_cvtps_ph(operation(a_second, b_second).lanes, kRounding);
    const __m256i result = _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(result, kLost), _mm256_set1_epi16(1));
    return _mm256_add_epi16(_mm256_add_epi16(result, odd), _mm256_set1_epi16((1 << (kLost - 1)) - 1));
  }
  static __m256i joined(__m256i even, __m256i odd) {
    return _mm256_blendv_epi8(even, odd, _mm256_set1_epi16(kUpper));
  }
  static __m256i with_signs(__m256i magnitudes, __m256i signs) {
    return _mm256_or_si256(magnitudes, _mm256_and_si256(signs, _mm256_set1_epi8(static_cast<char>(0x80))));
  }
  template <typename Operation>
  static Avx2Float8 computed(Avx2Float8 a, Avx2Float8 b, Operation operation) {
    const Halves left = a.halves(), right = b.halves();
    const __m256i even = rounded(left.even, right.even, operation);
    const __m256i odd = rounded(left.odd, right.odd, operation);
    const Avx2Float8 upper{joined(_mm256_srli_epi16(even, 8), odd)};
    const __m256i largest = _mm256_set1_epi8(T::kLargest), nan = _mm256_set1_epi8(T::kNan);
    if constexpr (kScaled) {
      const __m256i magnitudes = joined(_mm256_srli_epi16(even, kLost), _mm256_slli_epi16(odd, 8 - kLost));
      const __m256i number = with_signs(_mm256_min_epu8(magnitudes, largest), upper.bits);
      const __m256i either = _mm256_max_epu8(a.magnitudes(), b.magnitudes());
      return {_mm256_blendv_epi8(number, nan, _mm256_cmpeq_epi8(either, nan))};
    } else {
      const __m256i number = with_signs(_mm256_min_epu8(upper.magnitudes(), largest), upper.bits);
      return {_mm256_blendv_epi8(number, nan, upper.nan())};
    }
  }
};

}  // namespace

const TileKernels kAvx2Kernels{"AVX2",
                               TileLoops<Avx2Bytes>::encode_any,
                               TileLoops<Avx2Bytes>::decode_any,
                               ReduceLoops<Avx2Floats, Avx2Float8>::of_floats,
                               ReduceLoops<Avx2Floats, Avx2Float8>::divide_floats,
                               {}};

}  // namespace weft::compression::cpu
