// Pairs of interfaces: a table of machines that people have, and the promised properties on thousands of
// random ones.
#include "transport/tcp/pairing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace weft::tcp {

void PrintTo(const AddressPair& pair, std::ostream* out) {
  *out << pair.local << (pair.same_subnet ? "=" : "~") << pair.remote;
}

namespace {

using ::testing::ElementsAreArray;

// "10.0.0.1/24"
NetworkAddress net(const std::string& text) {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  EXPECT_TRUE(address.has_value()) << text;
  return {address.value_or(IpAddress{}), std::stoi(text.substr(slash + 1))};
}

std::vector<NetworkAddress> nets(const std::vector<std::string>& texts) {
  std::vector<NetworkAddress> result;
  for (const std::string& text : texts) result.push_back(net(text));
  return result;
}

std::vector<AddressPair> mirrored(std::vector<AddressPair> pairs) {
  for (AddressPair& pair : pairs) std::swap(pair.local, pair.remote);
  return pairs;
}

struct PairCase {
  const char* what;
  std::vector<std::string> local, remote;
  std::vector<AddressPair> expected;
};

class Pairs : public ::testing::TestWithParam<PairCase> {};

TEST_P(Pairs, AndTheOtherSideAgrees) {
  const PairCase& c = GetParam();
  const auto local = nets(c.local), remote = nets(c.remote);
  EXPECT_THAT(pair_addresses(local, remote), ElementsAreArray(c.expected)) << c.what;
  EXPECT_THAT(pair_addresses(remote, local), ElementsAreArray(mirrored(c.expected)))
      << c.what << ", from the peer";
}

INSTANTIATE_TEST_SUITE_P(
    Table, Pairs,
    ::testing::Values(
        PairCase{"a subnet each plane",
                 {"10.0.0.1/24", "10.0.1.1/24"},
                 {"10.0.0.2/24", "10.0.1.2/24"},
                 {{0, 0, true}, {1, 1, true}}},
        PairCase{"listed in another order",
                 {"10.0.0.1/24", "10.0.1.1/24"},
                 {"10.0.1.2/24", "10.0.0.2/24"},
                 {{0, 1, true}, {1, 0, true}}},
        PairCase{"all in one subnet: i-th with i-th",
                 {"10.0.0.1/24", "10.0.0.2/24"},
                 {"10.0.0.3/24", "10.0.0.4/24"},
                 {{0, 0, true}, {1, 1, true}}},
        PairCase{"two subnets interleaved",
                 {"10.0.0.1/24", "10.0.1.1/24", "10.0.0.2/24", "10.0.1.2/24"},
                 {"10.0.1.3/24", "10.0.1.4/24", "10.0.0.3/24", "10.0.0.4/24"},
                 {{1, 0, true}, {0, 2, true}, {3, 1, true}, {2, 3, true}}},
        PairCase{"the peer lacks a port",
                 {"10.0.0.1/24", "10.0.1.1/24", "10.0.2.1/24"},
                 {"10.0.1.2/24"},
                 {{1, 0, true}}},
        PairCase{"one port against four in its subnet",
                 {"10.0.0.1/24"},
                 {"10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24", "10.0.0.5/24"},
                 {{0, 0, true}}},
        PairCase{"routed: in order",
                 {"10.0.0.1/24", "10.0.1.1/24"},
                 {"10.9.0.1/24", "10.9.1.1/24"},
                 {{0, 0, false}, {1, 1, false}}},
        PairCase{"straight pairs first, the rest routed",
                 {"10.0.0.1/24", "10.0.1.1/24"},
                 {"10.5.0.1/24", "10.0.0.2/24"},
                 {{0, 1, true}, {1, 0, false}}},
        PairCase{"never across families", {"10.0.0.1/24"}, {"fd00::1/64"}, {}},
        PairCase{"each family on its own",
                 {"10.0.0.1/24", "fd00::1/64"},
                 {"fd00::2/64", "10.0.0.2/24"},
                 {{0, 1, true}, {1, 0, true}}},
        PairCase{"loopback with loopback", {"127.0.0.1/8"}, {"127.0.0.1/8"}, {{0, 0, true}}},
        PairCase{"loopback with nothing else", {"127.0.0.1/8"}, {"10.0.0.1/24"}, {}},
        PairCase{"not even with a default prefix", {"127.0.0.1/8"}, {"10.0.0.1/0"}, {}},
        PairCase{"several loopback addresses",
                 {"127.0.0.1/8", "127.0.0.2/32"},
                 {"127.0.0.3/32", "127.0.0.1/8"},
                 {{0, 0, true}, {1, 1, true}}},
        PairCase{"IPv6 loopback",
                 {"::1/128", "127.0.0.1/8"},
                 {"127.0.0.1/8", "::1/128"},
                 {{1, 0, true}, {0, 1, true}}},
        PairCase{"link-local only with link-local",
                 {"fe80::1/64", "fd00::1/64"},
                 {"fd01::2/64", "fe80::2/64"},
                 {{0, 1, true}, {1, 0, false}}},
        PairCase{"link-local is never routed", {"fe80::1/64"}, {"fd01::2/64"}, {}},
        PairCase{"prefixes must hold in both directions", {"10.0.0.1/8"}, {"10.1.0.1/24"}, {{0, 0, false}}},
        PairCase{"unequal prefixes that do hold", {"10.0.0.1/16"}, {"10.0.0.2/24"}, {{0, 0, true}}},
        PairCase{"cloud addresses of prefix 32 are routed",
                 {"10.0.0.1/32", "10.0.0.2/32"},
                 {"10.0.0.3/32"},
                 {{0, 0, false}}},
        PairCase{"two processes of one machine",
                 {"10.0.0.1/24", "10.0.1.1/24"},
                 {"10.0.0.1/24", "10.0.1.1/24"},
                 {{0, 0, true}, {1, 1, true}}},
        PairCase{"nothing here", {}, {"10.0.0.1/24"}, {}},
        PairCase{"nothing there", {"10.0.0.1/24"}, {}, {}}));

std::vector<NetworkAddress> random_machine(std::mt19937* random) {
  static const char* const kPool[] = {"127.0.0.1/8",     "127.0.0.5/32",   "::1/128",       "10.0.0.1/24",
                                      "10.0.0.2/24",     "10.0.0.3/16",    "10.0.1.1/24",   "10.0.1.2/8",
                                      "10.1.0.1/32",     "192.168.0.1/0",  "fe80::1/64",    "fe80::2/64",
                                      "fd00::1/64",      "fd00::2/64",     "fd00:1::1/64",  "2001:db8::1/48",
                                      "2001:db8::2/128", "169.254.1.1/16", "169.254.1.2/16"};
  std::vector<std::string> texts(std::begin(kPool), std::end(kPool));
  std::shuffle(texts.begin(), texts.end(), *random);
  texts.resize((*random)() % 9);
  return nets(texts);
}

bool can_pair(const NetworkAddress& a, const NetworkAddress& b) {
  if (a.address.family != b.address.family) return false;
  if (a.address.is_loopback() || b.address.is_loopback())
    return a.address.is_loopback() && b.address.is_loopback();
  return a.address.is_link_local() == b.address.is_link_local();
}

TEST(PairingProperties, HoldOnRandomMachines) {
  for (unsigned seed = 0; seed < 5000; ++seed) {
    std::mt19937 random(seed);
    const auto local = random_machine(&random), remote = random_machine(&random);
    const auto pairs = pair_addresses(local, remote);
    SCOPED_TRACE("seed " + std::to_string(seed));
    ASSERT_EQ(pair_addresses(remote, local), mirrored(pairs));
    std::set<int> locals, remotes;
    for (const AddressPair& pair : pairs) {
      ASSERT_TRUE(can_pair(local.at(pair.local), remote.at(pair.remote)));
      ASSERT_TRUE(locals.insert(pair.local).second) << "an address is used twice";
      ASSERT_TRUE(remotes.insert(pair.remote).second) << "an address is used twice";
    }
    // Nothing that could still be paired stays idle on both sides, so one pair exists if any can.
    for (int i = 0; i < static_cast<int>(local.size()); ++i) {
      for (int j = 0; j < static_cast<int>(remote.size()); ++j) {
        ASSERT_FALSE(!locals.contains(i) && !remotes.contains(j) && can_pair(local[i], remote[j]))
            << i << " " << j;
      }
    }
  }
}

struct NoPairCase {
  const char* what;
  std::vector<std::string> local, remote;
  std::vector<std::string> said;
  std::vector<std::string> unsaid;
};

TEST(NoPair, SaysWhatEitherSideHasAndWhichVariableHelps) {
  const NoPairCase cases[] = {
      {"one family each",
       {"10.0.0.1/24"},
       {"fd00::1/64"},
       {"10.0.0.1/24", "fd00::1/64", "we offer IPv4, the peer IPv6.", "WEFT_FAMILY", "WEFT_IF"},
       {"loopback", "link-local"}},
      {"one family each, on loopback",
       {"127.0.0.1/8"},
       {"::1/128"},
       {"we offer IPv4 loopback, the peer IPv6 loopback.", "WEFT_FAMILY", "WEFT_IF"},
       {}},
      {"the families that both could use differ",
       {"10.0.0.1/24", "fe80::1/64"},
       {"fd00::1/64", "169.254.0.1/16"},
       {"we offer IPv4 and IPv6 link-local, the peer IPv4 link-local and IPv6.", "WEFT_FAMILY"},
       {}},
      {"one side took its loopback device",
       {"127.0.0.1/8"},
       {"10.0.0.1/24", "10.0.1.1/24"},
       {"we offer IPv4 loopback, the peer IPv4.", "10.0.0.1/24, 10.0.1.1/24", "WEFT_IF", "own machine"},
       {"WEFT_FAMILY"}},
      {"link-local against routed",
       {"fe80::1/64"},
       {"fd01::2/64"},
       {"we offer IPv6 link-local, the peer IPv6.", "WEFT_IF"},
       {"WEFT_FAMILY"}},
      {"nothing there", {"10.0.0.1/24"}, {}, {"(none)", "the peer no address.", "WEFT_IF"}, {"WEFT_FAMILY"}},
  };
  for (const NoPairCase& c : cases) {
    SCOPED_TRACE(c.what);
    const auto local = nets(c.local), remote = nets(c.remote);
    ASSERT_TRUE(pair_addresses(local, remote).empty());
    const std::string text = explain_no_pair(local, remote);
    for (const std::string& words : c.said) EXPECT_THAT(text, ::testing::HasSubstr(words));
    for (const std::string& words : c.unsaid) EXPECT_THAT(text, ::testing::Not(::testing::HasSubstr(words)));
  }
}

InterfaceAddress on(const std::string& name, const std::string& text) {
  InterfaceAddress entry;
  const NetworkAddress address = net(text);
  entry.name = name;
  entry.is_up = true;
  entry.is_loopback = name == "lo";
  entry.has_address = true;
  entry.address = address.address;
  entry.prefix_length = address.prefix_length;
  return entry;
}

IpAddress ip(const char* text) {
  return IpAddress::parse(text).value();
}

TEST(BindToDevice, OnlyWhenAnotherInterfaceSharesTheSubnet) {
  const auto eth0 = on("eth0", "10.0.0.1/24"), eth1 = on("eth1", "10.0.0.2/24"),
             eth2 = on("eth2", "10.0.2.1/24");
  EXPECT_TRUE(should_bind_to_device(eth1, ip("10.0.0.9"), std::vector{eth0, eth1, eth2}));
  EXPECT_TRUE(should_bind_to_device(eth0, ip("10.0.0.9"), std::vector{eth0, eth1, eth2}));
  EXPECT_FALSE(should_bind_to_device(eth2, ip("10.0.2.9"), std::vector{eth0, eth1, eth2}));
  EXPECT_FALSE(should_bind_to_device(eth0, ip("10.0.0.9"), std::vector{eth0, eth2}));
  EXPECT_FALSE(should_bind_to_device(eth0, ip("10.0.0.9"), std::vector{eth0, on("eth0", "10.0.0.7/24")}))
      << "two addresses of one interface";
}

TEST(BindToDevice, NeverTowardsThisMachineOrBeyondTheSubnet) {
  const auto lo = on("lo", "127.0.0.1/8"), eth0 = on("eth0", "10.0.0.1/24"), eth1 = on("eth1", "10.0.0.2/24");
  const std::vector host = {lo, eth0, eth1};
  EXPECT_FALSE(should_bind_to_device(eth0, ip("10.0.0.2"), host));
  EXPECT_FALSE(should_bind_to_device(eth0, ip("10.0.0.1"), host));
  EXPECT_FALSE(should_bind_to_device(eth0, ip("10.0.9.1"), host));
  EXPECT_FALSE(should_bind_to_device(lo, ip("127.0.0.1"), host));
  EXPECT_FALSE(should_bind_to_device(lo, ip("127.0.0.7"), std::vector{lo, on("lo2", "127.0.0.2/8")}));
}

TEST(BindToDevice, LinkLocalIpv6NeedsNone) {
  const auto ib0 = on("ib0", "fe80::1/64"), ib1 = on("ib1", "fe80::2/64");
  EXPECT_FALSE(should_bind_to_device(ib0, ip("fe80::9"), std::vector{ib0, ib1}));
}

}  // namespace
}  // namespace weft::tcp
