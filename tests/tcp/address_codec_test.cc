// weft::Address: what goes in comes out, and nothing else comes out of anything.
#include "transport/tcp/address_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace weft::tcp {
namespace {

using ::testing::HasSubstr;

Endpoint endpoint(const std::string& address, std::uint16_t port, int prefix_length) {
  return {IpAddress::parse(address).value(), port, prefix_length};
}

std::vector<Endpoint> ipv4(std::size_t count) {
  std::vector<Endpoint> result;
  for (std::size_t i = 0; i < count; ++i) {
    result.push_back(endpoint("10.0." + std::to_string(i) + ".1", static_cast<std::uint16_t>(4000 + i), 24));
  }
  return result;
}

std::vector<Endpoint> ipv6(std::size_t count) {
  std::vector<Endpoint> result;
  for (std::size_t i = 0; i < count; ++i) {
    result.push_back(endpoint("fd00:" + std::to_string(i) + "::1", static_cast<std::uint16_t>(5000 + i), 64));
  }
  return result;
}

std::vector<Endpoint> round_trip(const std::vector<Endpoint>& endpoints) {
  const auto address = encode_address(0x0123456789abcdef, endpoints);
  EXPECT_TRUE(address.is_ok()) << address.status().message();
  const auto decoded = decode_address(*address);
  EXPECT_TRUE(decoded.is_ok()) << decoded.status().message();
  EXPECT_EQ(decoded->listener_id, 0x0123456789abcdefu);
  return decoded->endpoints;
}

TEST(AddressCodec, RoundTrips) {
  EXPECT_EQ(round_trip(ipv4(1)), ipv4(1));
  EXPECT_EQ(round_trip(ipv4(kMaxIpv4InAddress)), ipv4(kMaxIpv4InAddress));
  EXPECT_EQ(round_trip(ipv6(kMaxIpv6InAddress)), ipv6(kMaxIpv6InAddress));
  const std::vector mixed = {endpoint("fd00::1", 1, 128), endpoint("10.0.0.1", 65535, 32),
                             endpoint("::1", 80, 0)};
  EXPECT_EQ(round_trip(mixed), mixed);
}

TEST(AddressCodec, LeavesOutWhatDoesNotFit) {
  EXPECT_EQ(round_trip(ipv4(32)), ipv4(kMaxIpv4InAddress));
  std::vector<Endpoint> input = ipv6(6), expected = ipv6(kMaxIpv6InAddress);
  input.push_back(ipv4(1)[0]);
  expected.push_back(ipv4(1)[0]);
  EXPECT_EQ(round_trip(input), expected) << "an IPv4 endpoint still fits behind four of IPv6";
}

TEST(AddressCodec, CountsWhatItLeavesOut) {
  for (const auto& [endpoints, left_out] :
       {std::pair(ipv4(kMaxIpv4InAddress), 0u), {ipv4(32), 32 - 11u}, {ipv6(4), 0u}, {ipv6(6), 2u}}) {
    const auto address = encode_address(1, endpoints);
    ASSERT_TRUE(address.is_ok());
    const auto decoded = decode_address(*address);
    ASSERT_TRUE(decoded.is_ok());
    EXPECT_EQ(decoded->left_out, left_out);
    EXPECT_EQ(encode_address(1, decoded->endpoints, left_out)->bytes, address->bytes);
  }
  EXPECT_FALSE(encode_address(1, ipv4(33)).is_ok()) << "a handshake cannot list them";
  EXPECT_FALSE(encode_address(1, ipv4(1), 32).is_ok());
}

TEST(AddressCodec, DropsScopes) {
  std::vector<Endpoint> scoped = {endpoint("fe80::1", 9, 64)};
  const std::vector<Endpoint> plain = scoped;
  scoped[0].address.scope_id = 4;
  EXPECT_EQ(round_trip(scoped), plain);
}

TEST(AddressCodec, EncodesNothingThatNobodyCanReach) {
  EXPECT_FALSE(encode_address(1, {}).is_ok());
  for (const Endpoint& bad :
       {endpoint("0.0.0.0", 1, 0), endpoint("::", 1, 0), endpoint("224.0.0.1", 1, 8),
        endpoint("ff02::1", 1, 64), endpoint("::ffff:1.2.3.4", 1, 128), endpoint("10.0.0.1", 0, 8),
        endpoint("10.0.0.1", 1, 33), endpoint("fd00::1", 1, 129), endpoint("fd00::1", 1, -1)}) {
    EXPECT_FALSE(encode_address(1, std::vector{bad}).is_ok()) << bad.address.to_string();
  }
}

TEST(AddressCodec, TheLayoutIsWhatTheHeaderSays) {
  const Address address = *encode_address(0x1122334455667788, std::vector{endpoint("10.1.2.3", 0x1234, 24)});
  const unsigned char expected[] = {'W',  'F',  'T',  'A',  1, 1,  0,    0,    0x88, 0x77, 0x66, 0x55,
                                    0x44, 0x33, 0x22, 0x11, 4, 24, 0x34, 0x12, 10,   1,    2,    3};
  EXPECT_EQ(std::memcmp(address.bytes.data(), expected, sizeof expected), 0);
}

TEST(AddressCodec, RefusesAnEmptyAndAForeignOneWithWords) {
  const auto empty = decode_address(Address{});
  ASSERT_FALSE(empty.is_ok());
  EXPECT_EQ(empty.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(empty.status().message(), HasSubstr("it is empty"));
  Address foreign;
  foreign.bytes.fill(std::byte{0x41});
  EXPECT_THAT(decode_address(foreign).status().message(), HasSubstr("begins with other bytes"));
}

TEST(AddressCodec, EveryBitFlipAndEveryCutIsFound) {
  const Address good = *encode_address(7, ipv4(3));
  for (std::size_t bit = 0; bit < Address::kBytes * 8; ++bit) {
    Address bad = good;
    bad.bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    EXPECT_FALSE(decode_address(bad).is_ok()) << "bit " << bit;
  }
  for (std::size_t kept = 0; kept < Address::kBytes; ++kept) {
    if (good.bytes[kept] == std::byte{0} && kept + 4 < Address::kBytes) continue;
    Address cut = good;
    std::fill(cut.bytes.begin() + static_cast<std::ptrdiff_t>(kept), cut.bytes.end(), std::byte{0});
    EXPECT_FALSE(decode_address(cut).is_ok()) << "cut at " << kept;
  }
}

// The checksum keeps accidents out, not people: behind a right one every field must still be judged.
std::uint32_t reference_crc32c(const std::byte* data, std::size_t bytes) {
  std::uint32_t crc = 0xffffffff;
  for (std::size_t i = 0; i < bytes * 8; ++i) {
    const std::uint32_t bit = std::to_integer<std::uint32_t>(data[i / 8]) >> (i % 8) & 1;
    crc = ((crc ^ bit) & 1) != 0 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
  }
  return ~crc;
}

Address resealed(Address address) {
  const std::uint32_t crc = reference_crc32c(address.bytes.data(), Address::kBytes - 4);
  for (int i = 0; i < 4; ++i) {
    address.bytes[Address::kBytes - 4 + static_cast<std::size_t>(i)] = static_cast<std::byte>(crc >> (8 * i));
  }
  return address;
}

TEST(AddressCodec, CrcIsCastagnoli) {
  const char* digits = "123456789";
  EXPECT_EQ(reference_crc32c(reinterpret_cast<const std::byte*>(digits), 9), 0xe3069283u);
  const Address address = *encode_address(9, ipv4(2));
  EXPECT_EQ(resealed(address).bytes, address.bytes);
}

TEST(AddressCodec, MalformedFieldsBehindARightChecksumAreRefused) {
  const Address good = *encode_address(7, ipv4(2));
  const struct {
    std::size_t at;
    unsigned value;
    const char* message;
  } kCases[] = {{4, 2, "version 2"},     {5, 0, "header"},        {5, 12, "header"},
                {5, 3, "endpoint 2"},    {5, 1, "bytes behind"},  {6, 31, "header"},
                {7, 1, "header"},        {16, 5, "endpoint 0"},   {16, 6, "endpoint"},
                {17, 33, "endpoint 0"},  {17, 255, "endpoint 0"}, {20, 224, "endpoint 0"},
                {107, 1, "bytes behind"}};
  for (const auto& c : kCases) {
    Address bad = good;
    bad.bytes[c.at] = static_cast<std::byte>(c.value);
    const auto decoded = decode_address(resealed(bad));
    ASSERT_FALSE(decoded.is_ok()) << c.at << "=" << c.value;
    EXPECT_THAT(decoded.status().message(), HasSubstr(c.message)) << c.at << "=" << c.value;
  }
  Address portless = good;
  portless.bytes[18] = portless.bytes[19] = std::byte{0};
  EXPECT_FALSE(decode_address(resealed(portless)).is_ok());
}

TEST(AddressCodec, WhateverDecodesEncodesToTheSameBytes) {
  std::mt19937 random(1);
  int decoded_count = 0;
  for (int round = 0; round < 20000; ++round) {
    Address address = *encode_address(random(), ipv4(1 + random() % kMaxIpv4InAddress));
    for (unsigned changes = random() % 3; changes > 0; --changes) {
      address.bytes[random() % Address::kBytes] = static_cast<std::byte>(random());
    }
    address = resealed(address);
    const auto decoded = decode_address(address);
    if (!decoded.is_ok()) continue;
    ++decoded_count;
    const auto again = encode_address(decoded->listener_id, decoded->endpoints, decoded->left_out);
    ASSERT_TRUE(again.is_ok());
    ASSERT_EQ(again->bytes, address.bytes);
  }
  EXPECT_GT(decoded_count, 1000);
}

}  // namespace
}  // namespace weft::tcp
