#include "tests/compression/element_samples.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>
#include <string_view>

#include "compression/half_floats.h"
#include "compression/slot_format.h"
#include "compression/tile_shape.h"

namespace weft::compression {
namespace {

constexpr ElementType kFloats[] = {ElementType::kBfloat16, ElementType::kFloat16, ElementType::kFloat32,
                                   ElementType::kFloat8E4M3, ElementType::kFloat8E5M2};

void append(std::vector<std::byte>& to, ElementType type, std::uint32_t bits) {
  for (std::size_t i = 0; i < element_bytes(type); ++i)
    to.push_back(static_cast<std::byte>(bits >> (8 * i) & 0xff));
}

// A tile whose exponents lie close together but for `escapes`, which are far below and spread over it.
std::vector<std::byte> with_escapes(ElementType type, unsigned escapes, bool zero, std::uint64_t seed) {
  SplitMix random(seed);
  const auto [lowest, bits] = exponent_of(type);
  const std::uint32_t top = (1u << bits) - 2;
  std::vector<std::byte> tile;
  for (unsigned i = 0; i < kTileElements; ++i) {
    const bool escape = i * 37 % kTileElements < escapes;
    const std::uint32_t exponent = !escape ? top : zero || bits == 4 ? 0 : 1 + i % 3;
    const auto noise = static_cast<std::uint32_t>(random.next());
    append(tile, type, (noise & ~(((1u << bits) - 1) << lowest)) | exponent << lowest);
  }
  return tile;
}

}  // namespace

std::uint32_t bits_of(ElementType type, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t half = to_float16(value).bits;
  switch (type) {
    case ElementType::kFloat32:
      return bits;
    case ElementType::kBfloat16:
      return bits >> 16;
    case ElementType::kFloat16:
      return half;
    case ElementType::kFloat8E5M2:
      return half >> 8;
    case ElementType::kFloat8E4M3: {
      const std::uint32_t scaled = to_float16(std::ldexp(value, -8)).bits;
      return (half >> 8 & 0x80) | (scaled >> 7 & 0x7f);
    }
    case ElementType::kBytes:
      break;
  }
  return bits & 0xff;
}

Exponent exponent_of(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return {23, 8};
    case ElementType::kBfloat16:
      return {7, 8};
    case ElementType::kFloat16:
      return {10, 5};
    case ElementType::kFloat8E4M3:
      return {3, 4};
    default:
      return {2, 5};
  }
}

std::vector<std::byte> gaussian(ElementType type, std::size_t elements, float scale, std::uint64_t seed) {
  SplitMix random(seed);
  std::vector<std::byte> bytes;
  bytes.reserve(elements * element_bytes(type));
  for (std::size_t i = 0; i < elements; ++i) {
    // Twelve uniform numbers of 16 bits: a variance of one.
    std::int64_t sum = 0;
    for (int word = 0; word < 3; ++word)
      for (std::uint64_t x = random.next(), part = 0; part < 4; ++part) sum += (x >> (16 * part) & 0xffff);
    append(bytes, type, bits_of(type, static_cast<float>(sum - 6 * 0xffff) / 65536.0f * scale));
  }
  return bytes;
}

std::vector<std::byte> random_bytes(std::size_t bytes, std::uint64_t seed) {
  SplitMix random(seed);
  std::vector<std::byte> result(bytes);
  for (auto& byte : result) byte = static_cast<std::byte>(random.next() >> 56);
  return result;
}

std::vector<std::byte> every_half_pattern() {
  std::vector<std::byte> bytes;
  for (std::uint32_t i = 0; i < 0x10000; ++i) append(bytes, ElementType::kBfloat16, i * 40503u & 0xffff);
  return bytes;
}

std::vector<std::byte> words(std::size_t bytes, std::uint64_t seed) {
  constexpr std::string_view kWords[] = {"one ", "slot ", "holds ", "pieces ", "of ", "a ", "payload,\n"};
  SplitMix random(seed);
  std::vector<std::byte> result;
  while (result.size() < bytes)
    for (const char letter : kWords[random.next() % std::size(kWords)])
      result.push_back(static_cast<std::byte>(letter));
  result.resize(bytes);
  return result;
}

std::vector<Sample> samples() {
  std::vector<Sample> all;
  const auto add = [&](const char* name, ElementType type, std::vector<std::byte> bytes) {
    all.push_back({std::string(to_string(type)) + "_" + name, type, std::move(bytes)});
  };
  add("empty", ElementType::kBytes, {});
  add("random", ElementType::kBytes, random_bytes(300001, 1));
  add("constant", ElementType::kBytes, std::vector<std::byte>(300000, std::byte{'x'}));
  add("words", ElementType::kBytes, words(2 * kZstdBlockBytes + 12345, 2));
  for (const ElementType type : kFloats) {
    const std::size_t size = element_bytes(type);
    add("empty", type, {});
    add("one", type, gaussian(type, 1, 1, 1));
    add("normal", type, gaussian(type, 5 * kTileElements, 0.02f, 2));
    add("large", type, gaussian(type, 66 * kTileElements, 0.5f, 9));
    add("odd", type, gaussian(type, 2 * kTileElements + 7, 3, 3));
    all.back().bytes.push_back(std::byte{1});
    add("short", type, gaussian(type, kTileElements - 1, 3, 4));
    add("random", type, random_bytes(3 * kTileElements * size, 5));
    add("zeros", type, std::vector<std::byte>(2 * kTileElements * size));
    auto constant = gaussian(type, 1, 1, 6);
    while (constant.size() < 2 * kTileElements * size)
      constant.insert(constant.end(), constant.begin(), constant.end());
    add("constant", type, constant);
    auto sparse = gaussian(type, 3 * kTileElements, 1, 7);
    for (std::size_t i = 0; i < sparse.size(); i += 3 * size)
      for (std::size_t b = 0; b < size; ++b) sparse[i + b] = std::byte{0};
    add("sparse", type, sparse);
    for (const unsigned escapes :
         {kMaxEscapesFast, kMaxEscapesFast + 1, kMaxEscapesDense, kMaxEscapesDense + 1})
      for (const bool zero : {false, true})
        add((std::to_string(escapes) + (zero ? "_zeros" : "_escapes")).c_str(), type,
            with_escapes(type, escapes, zero, escapes));
  }
  add("every", ElementType::kBfloat16, every_half_pattern());
  add("every", ElementType::kFloat16, every_half_pattern());
  add("every", ElementType::kFloat32, every_half_pattern());
  return all;
}

}  // namespace weft::compression
