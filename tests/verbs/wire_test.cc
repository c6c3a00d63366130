// The bytes that a path over verbs puts beside the frame header.
#include "transport/verbs/wire.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "transport/verbs/announcements.h"

namespace weft::verbs {
namespace {

std::vector<std::byte> bytes_of(const Place& place) {
  std::vector<std::byte> bytes(place.encoded_bytes());
  encode(place, bytes.data());
  return bytes;
}

TEST(Place, ComesBackAsItWasWithAnyNumberOfKeys) {
  for (std::uint8_t keys = 0; keys <= kMaxPlanes; ++keys) {
    Place place;
    place.address = 0x123456789abcdef0;
    place.flags = keys % 2;
    place.key_count = keys;
    for (std::uint32_t i = 0; i < keys; ++i) place.keys[i] = 0xabcd0000 + i;
    std::vector<std::byte> bytes = bytes_of(place);
    bytes.push_back(std::byte{7});  // a payload behind it
    ASSERT_EQ(decode_place(bytes), place);
  }
}

TEST(Place, IsRefusedWhereItIsCutOrImpossible) {
  Place place;
  place.key_count = 3;
  const std::vector<std::byte> good = bytes_of(place);
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_FALSE(decode_place(std::span(good).first(length))) << length;
  const struct {
    std::size_t at;
    std::uint8_t value;
  } wrong[] = {{8, 2}, {8, 0x80}, {9, kMaxPlanes + 1}, {9, 255}, {10, 1}, {11, 1}};
  for (const auto& [at, value] : wrong) {
    std::vector<std::byte> bytes = good;
    bytes.resize(2 * kMessageBytes);
    bytes[at] = static_cast<std::byte>(value);
    EXPECT_FALSE(decode_place(bytes)) << at << " = " << int{value};
  }
}

// A peer must not have the CPU write to device memory, nor read it, whatever its frame says.
TEST(Payload, BehindAHeaderIsNotForDeviceMemory) {
  std::byte somewhere{};
  const auto landing = [&](multipath::LandingVerdict verdict, MemoryKind memory) {
    multipath::Landing made;
    made.verdict = verdict;
    made.at = &somewhere;
    made.memory = memory;
    return made;
  };
  const auto to_host = landing(multipath::LandingVerdict::kPlace, MemoryKind::kHost);
  const auto to_device = landing(multipath::LandingVerdict::kPlace, MemoryKind::kDevice);
  const auto to_nowhere = landing(multipath::LandingVerdict::kDiscard, MemoryKind::kDevice);
  multipath::FrameHeader header;
  header.type = multipath::FrameType::kData;
  header.length = 100;
  EXPECT_EQ(check_payload(header, 100, to_host), nullptr);
  EXPECT_EQ(check_payload(header, 0, to_host), nullptr);  // it was written
  EXPECT_NE(check_payload(header, 99, to_host), nullptr);
  EXPECT_EQ(check_payload(header, 0, to_device), nullptr);
  EXPECT_NE(check_payload(header, 100, to_device), nullptr);
  EXPECT_NE(check_payload(header, 1, to_device), nullptr);
  EXPECT_EQ(check_payload(header, 100, to_nowhere), nullptr);  // a late copy, dropped unread
  header.flags = multipath::kFlagChecksum;
  EXPECT_EQ(check_payload(header, 100, to_host), nullptr);
  EXPECT_NE(check_payload(header, 0, to_device), nullptr);
  header.length = 0;
  EXPECT_NE(check_payload(header, 1, to_device), nullptr);
}

TEST(Immediate, HoldsTheLargestOfEachField) {
  const Immediate all[] = {{0, 0, 0},    {255, 1023, 16383}, {255, 0, 0},
                           {0, 1023, 0}, {0, 0, 16383},      {17, 600, 4711}};
  std::set<std::uint32_t> packed;
  for (const Immediate& one : all) {
    EXPECT_EQ(unpack(pack(one)), one);
    packed.insert(pack(one));
  }
  EXPECT_EQ(packed.size(), std::size(all));
}

// The UDP source port of a RoCE v2 packet, as NICs make it of the label.
std::uint32_t source_port(std::uint32_t label) {
  return ((label & 0x3fff) ^ ((label & 0xfc000) >> 14)) | 0xc000;
}

TEST(FlowLabel, GivesEveryPathAndReconnectionAnotherSourcePort) {
  for (std::uint32_t salt : {0u, 1u, 0xdeadbeefu}) {
    std::set<std::uint32_t> ports;
    for (std::uint32_t incarnation = 1; incarnation <= 100; ++incarnation)
      for (std::size_t path = 0; path < multipath::kMaxPaths; ++path) {
        const std::uint32_t label = flow_label(salt, path, incarnation);
        ASSERT_LT(label, 1u << 20);
        ports.insert(source_port(label));
      }
    EXPECT_EQ(ports.size(), 100 * multipath::kMaxPaths);
  }
}

multipath::FrameHeader header_of(std::uint16_t slot, std::uint32_t epoch) {
  multipath::FrameHeader header;
  header.type = multipath::FrameType::kData;
  header.slot = slot;
  header.epoch = epoch;
  header.message_bytes = 1 << 20;
  header.chunk_shift = 16;
  return header;
}

TEST(Announcements, HoldForThePathThatCarriedThemAndTheMessageAlone) {
  Announcements announcements;
  const multipath::PathId one{1}, other{2};
  const auto first = header_of(0, 0), next = header_of(0, 1);
  EXPECT_FALSE(announcements.has(one, first));
  EXPECT_EQ(announcements.find(one, 0), nullptr);
  announcements.note(one, first);
  EXPECT_TRUE(announcements.has(one, first));
  EXPECT_FALSE(announcements.has(other, first));
  announcements.note(other, first);
  EXPECT_TRUE(announcements.has(one, first));
  EXPECT_EQ(announcements.find(other, 0)->epoch, 0u);
  announcements.note(other, next);
  EXPECT_FALSE(announcements.has(one, first)) << "the slot belongs to another message";
  EXPECT_FALSE(announcements.has(one, next));
  EXPECT_TRUE(announcements.has(other, next));
  announcements.forget(other);
  EXPECT_FALSE(announcements.has(other, next));
  EXPECT_EQ(announcements.find(other, 0), nullptr);
}

}  // namespace
}  // namespace weft::verbs
