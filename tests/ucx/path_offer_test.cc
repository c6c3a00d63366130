// The handshake option of a path over UCX: what is written is read, and nothing else is.
#include "transport/ucx/path_offer.h"

#include <gtest/gtest.h>

namespace weft::ucx {
namespace {

PathOffer sample() {
  PathOffer offer;
  for (int i = 0; i < 69; ++i) offer.address.push_back(static_cast<std::byte>(i * 3));
  offer.device = "mlx5_0:1";
  return offer;
}

TEST(PathOffer, IsReadAsItWasWritten) {
  EXPECT_EQ(decode_offer(encode(sample())), sample());
  PathOffer largest;
  largest.address.assign(kMaxAddressBytes, std::byte{0xFF});
  largest.device.assign(kMaxDeviceNameBytes, 'x');
  EXPECT_EQ(decode_offer(encode(largest)), largest);
}

TEST(PathOffer, FitsTheHandshakeBesideTheOtherOptions) {
  PathOffer largest;
  largest.address.assign(kMaxAddressBytes, std::byte{1});
  largest.device.assign(kMaxDeviceNameBytes, 'x');
  // One byte says how many planes there are, and one for each of 32 where it leads.
  EXPECT_LE(encode(largest).size() + 1 + 32, tcp::kMaxHandshakeOptionBytes);
}

TEST(PathOffer, ADeviceNameThatIsTooLongIsCut) {
  PathOffer offer = sample();
  offer.device.assign(100, 'd');
  auto read = decode_offer(encode(offer));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->device, std::string(kMaxDeviceNameBytes, 'd'));
}

TEST(PathOffer, EveryShorterPieceIsRefusedOrHasAShorterName) {
  const std::vector<std::byte> whole = encode(sample());
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    auto read = decode_offer(std::span(whole).first(bytes));
    if (bytes < 4 + sample().address.size()) {
      EXPECT_FALSE(read) << bytes;
    } else {
      ASSERT_TRUE(read) << bytes;
      EXPECT_EQ(read->address, sample().address);
    }
  }
}

TEST(PathOffer, WhatNobodyWritesIsRefused) {
  const auto changed = [](std::size_t at, int value) {
    std::vector<std::byte> bytes = encode(sample());
    bytes.at(at) = static_cast<std::byte>(value);
    return decode_offer(bytes);
  };
  EXPECT_TRUE(changed(0, 1));
  EXPECT_FALSE(changed(0, 2)) << "another version";
  EXPECT_FALSE(changed(1, 1)) << "a reserved byte";
  EXPECT_FALSE(changed(2, 0)) << "no address";
  EXPECT_FALSE(changed(3, 1)) << "an address longer than the option";
  EXPECT_FALSE(changed(encode(sample()).size() - 1, '\n')) << "a name that is not printable";
  std::vector<std::byte> long_name = encode(sample());
  long_name.resize(long_name.size() + kMaxDeviceNameBytes, std::byte{'x'});
  EXPECT_FALSE(decode_offer(long_name));
}

TEST(PathOffer, IsFoundAmongOtherOptions) {
  std::vector<tcp::HandshakeOption> options{{1, {std::byte{4}}}};
  EXPECT_FALSE(has_offer(options));
  EXPECT_FALSE(find_offer(options));
  options.push_back({kPathOfferOption, encode(sample())});
  EXPECT_TRUE(has_offer(options));
  EXPECT_EQ(find_offer(options), sample());
  options.back().value.clear();
  EXPECT_TRUE(has_offer(options));
  EXPECT_FALSE(find_offer(options));
}

}  // namespace
}  // namespace weft::ucx
