// Addresses as values: text, sockaddr, classes and prefixes.
#include "transport/tcp/ip_address.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>

namespace weft::tcp {
namespace {

IpAddress ip(const char* text) {
  const auto parsed = IpAddress::parse(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(IpAddress{});
}

TEST(IpAddress, ParsesAndPrintsBothFamilies) {
  EXPECT_EQ(ip("10.1.2.3").to_string(), "10.1.2.3");
  EXPECT_EQ(ip("10.1.2.3").to_string_with_port(80), "10.1.2.3:80");
  EXPECT_EQ(ip("fd00:0:0::2").to_string(), "fd00::2");
  EXPECT_EQ(ip("fd00::2").to_string_with_port(80), "[fd00::2]:80");
  IpAddress scoped = ip("fe80::1");
  scoped.scope_id = 7;
  EXPECT_EQ(scoped.to_string_with_port(1), "[fe80::1%7]:1");
}

TEST(IpAddress, RefusesWhatIsNoAddress) {
  for (const char* text : {"", "10.1.2", "10.1.2.256", "10.1.2.3/8", "[::1]", "::1%lo", "host", "1::2::3"}) {
    EXPECT_FALSE(IpAddress::parse(text).has_value()) << text;
  }
  EXPECT_FALSE(IpAddress::parse(std::string_view("10.0.0.1\0x", 10)).has_value());
}

TEST(IpAddress, GoesThroughSockaddrAndBack) {
  IpAddress link_local = ip("fe80::1");
  link_local.scope_id = 3;
  for (const IpAddress& address : {ip("10.1.2.3"), ip("fd00::2"), link_local}) {
    sockaddr_storage storage;
    const socklen_t length = address.to_sockaddr(4711, &storage);
    EXPECT_EQ(length, address.family == Family::kIpv4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    EXPECT_EQ(reinterpret_cast<sockaddr_in*>(&storage)->sin_port, htons(4711));
    EXPECT_EQ(IpAddress::from_sockaddr(reinterpret_cast<sockaddr*>(&storage)), address);
  }
}

TEST(IpAddress, ReadsAMappedAddressAsIpv4AndNothingFromOtherFamilies) {
  sockaddr_storage storage;
  ip("::ffff:10.0.0.9").to_sockaddr(1, &storage);
  EXPECT_EQ(IpAddress::from_sockaddr(reinterpret_cast<sockaddr*>(&storage)), ip("10.0.0.9"));
  storage.ss_family = AF_UNIX;
  EXPECT_FALSE(IpAddress::from_sockaddr(reinterpret_cast<sockaddr*>(&storage)).has_value());
  EXPECT_FALSE(IpAddress::from_sockaddr(nullptr).has_value());
}

TEST(IpAddress, KnowsItsClass) {
  EXPECT_TRUE(ip("127.3.2.1").is_loopback());
  EXPECT_TRUE(ip("::1").is_loopback());
  EXPECT_FALSE(ip("::2").is_loopback());
  EXPECT_FALSE(ip("128.0.0.1").is_loopback());
  EXPECT_TRUE(ip("169.254.9.9").is_link_local());
  EXPECT_TRUE(ip("febf::1").is_link_local());
  EXPECT_FALSE(ip("fec0::1").is_link_local());
  EXPECT_TRUE(ip("fd12::1").is_unique_local());
  EXPECT_FALSE(ip("2001:db8::1").is_unique_local());
  EXPECT_TRUE(ip("224.0.0.1").is_multicast());
  EXPECT_TRUE(ip("255.255.255.255").is_multicast());
  EXPECT_TRUE(ip("ff02::1").is_multicast());
  EXPECT_FALSE(ip("223.255.255.255").is_multicast());
  EXPECT_TRUE(ip("0.0.0.0").is_unspecified());
  EXPECT_TRUE(ip("::").is_unspecified());
  EXPECT_FALSE(ip("0.0.0.1").is_unspecified());
}

TEST(IpAddress, ComparesPrefixesBitByBit) {
  EXPECT_TRUE(ip("10.0.0.1").shares_prefix(ip("10.0.0.254"), 24));
  EXPECT_FALSE(ip("10.0.0.1").shares_prefix(ip("10.0.1.1"), 24));
  EXPECT_TRUE(ip("10.0.0.1").shares_prefix(ip("10.0.1.1"), 23));
  EXPECT_TRUE(ip("10.0.0.1").shares_prefix(ip("200.0.0.1"), 0));
  EXPECT_FALSE(ip("10.0.0.1").shares_prefix(ip("10.0.0.0"), 32));
  EXPECT_TRUE(ip("fd00::1").shares_prefix(ip("fd00::1"), 128));
  EXPECT_FALSE(ip("fd00::1").shares_prefix(ip("fd00::2"), 127));
  EXPECT_TRUE(ip("fd00::2").shares_prefix(ip("fd00::3"), 127));
  EXPECT_FALSE(ip("0.0.0.0").shares_prefix(ip("::"), 0)) << "never across families";
  EXPECT_FALSE(ip("10.0.0.1").shares_prefix(ip("10.0.0.1"), 33));
}

}  // namespace
}  // namespace weft::tcp
