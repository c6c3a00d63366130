// What the ends of a path tell each other in the handshake.
#include "transport/verbs/path_offer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace weft::verbs {
namespace {

PathOffer typical() {
  PathOffer offer;
  offer.queue.queue_pair = 0xabcdef;
  offer.queue.first_packet = 0x123456;
  offer.queue.lid = 0x8001;
  offer.queue.mtu = 5;
  for (std::size_t i = 0; i < offer.queue.gid.size(); ++i)
    offer.queue.gid[i] = static_cast<std::uint8_t>(0xf0 + i);
  offer.queue.device = "mlx5_0:1";
  return offer;
}

TEST(PathOffer, ComesBackAsItWas) {
  PathOffer offer = typical();
  EXPECT_EQ(decode_offer(encode(offer)), offer);
  offer.queue.link_layer = LinkLayer::kInfiniBand;
  offer.queue.device.clear();
  EXPECT_EQ(decode_offer(encode(offer)), offer);
  offer.queue.device.assign(kMaxDeviceNameBytes, 'x');
  EXPECT_EQ(decode_offer(encode(offer)), offer);
}

TEST(PathOffer, IsFoundAmongTheOptions) {
  std::vector<tcp::HandshakeOption> options = {{1, {std::byte{1}}}};
  EXPECT_FALSE(has_offer(options));
  EXPECT_FALSE(find_offer(options));
  options.push_back({kPathOfferOption, {}});
  EXPECT_TRUE(has_offer(options));
  EXPECT_FALSE(find_offer(options)) << "it is there and cannot be read";
  options.back().value = encode(typical());
  EXPECT_EQ(find_offer(options), typical());
}

TEST(PathOffer, LeadsWhereTheHandshakeWentOrIsNotFollowed) {
  QueueAddress queue;
  const auto address = [](const char* text) { return *tcp::IpAddress::parse(text); };
  for (const char* text : {"10.1.2.3", "fd00::7", "fe80::1"}) {
    queue.gid = *parse_gid(text);
    EXPECT_TRUE(leads_to(queue, address(text))) << text;
    EXPECT_FALSE(leads_to(queue, address("10.1.2.4"))) << text;
    EXPECT_FALSE(leads_to(queue, address("fd00::8"))) << text;
  }
  queue.link_layer = LinkLayer::kInfiniBand;
  EXPECT_TRUE(leads_to(queue, address("10.1.2.4"))) << "its addresses are no IP's";
}

PathOffer of_mrc() {
  PathOffer offer = typical();
  offer.inbox = MrcInbox{0x123456789abcdef0, 0xfedcba98, 128};
  return offer;
}

TEST(PathOffer, OfAnMrcQueuePairSaysWhereToWriteMessages) {
  const tcp::HandshakeOption option = offer_option(of_mrc());
  EXPECT_EQ(option.type, kMrcPathOfferOption);
  EXPECT_EQ(find_offer({option}), of_mrc());
  EXPECT_TRUE(has_offer({option}, kMrcPathOfferOption));
  EXPECT_FALSE(has_offer({option})) << "RC it is not";
}

TEST(PathOffer, OfAnMrcQueuePairIsRefusedWhereItIsCutOrImpossible) {
  const std::vector<std::byte> good = encode(of_mrc());
  for (std::size_t length = 0; length < good.size() - typical().queue.device.size(); ++length)
    EXPECT_FALSE(decode_offer(std::span(good).first(length), true)) << length;
  PathOffer too_few = of_mrc();
  too_few.inbox->immediates = 15;
  EXPECT_FALSE(decode_offer(encode(too_few), true));
  std::vector<std::byte> bytes = good;
  bytes[14] = std::byte{1};
  EXPECT_FALSE(decode_offer(bytes, true));
}

TEST(PathOffer, IsRefusedWhereItIsCutOrImpossible) {
  const std::vector<std::byte> good = encode(typical());
  for (std::size_t length = 0; length < good.size() - typical().queue.device.size(); ++length)
    EXPECT_FALSE(decode_offer(std::span(good).first(length))) << length;
  const struct {
    std::size_t at;
    std::uint8_t value;
  } wrong[] = {{0, 0}, {0, 2},  {1, 0},  {1, 6},  {2, 0},    {2, 3},  {3, 1},
               {7, 1}, {11, 1}, {14, 1}, {15, 1}, {32, ' '}, {32, 0}, {33, 0x7f}};
  for (const auto& [at, value] : wrong) {
    std::vector<std::byte> bytes = good;
    bytes[at] = static_cast<std::byte>(value);
    EXPECT_FALSE(decode_offer(bytes)) << at << " = " << int{value};
  }
  std::vector<std::byte> long_name = good;
  long_name.resize(good.size() + kMaxDeviceNameBytes, std::byte{'x'});
  EXPECT_FALSE(decode_offer(long_name));
}

}  // namespace
}  // namespace weft::verbs
