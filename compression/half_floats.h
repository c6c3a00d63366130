// float16 (IEEE 754 binary16) and bfloat16 as bits, converted through float32 with rounding to nearest even.
//
// Written without branches that depend on the value, so that a compiler can turn loops over them into vector
// code on machines without such types. NaN stays NaN (its payload is not kept), infinities and denormals are
// exact.
#pragma once

#include <cstdint>

#include "compression/host_device.h"

namespace weft::compression {

struct Float16 {
  std::uint16_t bits;
};
struct Bfloat16 {
  std::uint16_t bits;
};

WEFT_HOST_DEVICE bool is_nan(Float16 value) {
  return (value.bits & 0x7fffu) > 0x7c00u;
}
WEFT_HOST_DEVICE bool is_nan(Bfloat16 value) {
  return (value.bits & 0x7fffu) > 0x7f80u;
}

WEFT_HOST_DEVICE float to_float(Bfloat16 value) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(value.bits) << 16);
}

WEFT_HOST_DEVICE Bfloat16 to_bfloat16(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const std::uint32_t quiet_nan = (bits >> 16) | 0x40;
  const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
  return {static_cast<std::uint16_t>(is_nan ? quiet_nan : rounded)};
}

WEFT_HOST_DEVICE float to_float(Float16 value) {
  const std::uint32_t magnitude = value.bits & 0x7fffu;
  // Read as the bits of a float32, exponent and mantissa are 2^112 too small; one product mends both normal
  // numbers and denormals.
  const float scaled = __builtin_bit_cast(float, magnitude << 13) * __builtin_bit_cast(float, 0x77800000u);
  const std::uint32_t special = magnitude >= 0x7c00u ? 0x7f800000u : 0u;
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, scaled) | special | sign);
}

WEFT_HOST_DEVICE Float16 to_float16(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  // Normal: the exponent moves down by 112, and the 13 bits that are lost round to even. A carry out of the
  // mantissa walks into the exponent, up to infinity, as it should.
  const std::uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1)) >> 13;
  // Denormal: added to 0.5, whose last place is the smallest float16, the sum itself rounds to even.
  const std::uint32_t denormal =
      __builtin_bit_cast(std::uint32_t, __builtin_bit_cast(float, magnitude) + 0.5f) -
      __builtin_bit_cast(std::uint32_t, 0.5f);
  const std::uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  std::uint32_t result = magnitude < (113u << 23) ? denormal : normal;
  result = magnitude >= (143u << 23) ? special : result;
  return {static_cast<std::uint16_t>(sign | result)};
}

}  // namespace weft::compression
