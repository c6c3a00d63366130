#include "transport/multipath/frame.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "transport/multipath/crc32c.h"

namespace weft::multipath {
namespace {

using Bytes = std::array<std::byte, kHeaderBytes>;

constexpr std::size_t kMagicAt = 0, kVersionAt = 2, kTypeAt = 3, kFlagsAt = 4, kLengthAt = 12,
                      kCreditNumberAt = 56, kChecksumAt = 60;

constexpr FrameType kAllTypes[] = {FrameType::kData,     FrameType::kClearToSend,    FrameType::kFeedback,
                                   FrameType::kPathDown, FrameType::kProbe,          FrameType::kProbeReply,
                                   FrameType::kGoodbye,  FrameType::kPathDownConfirm};

Bytes encoded(const FrameHeader& header) {
  Bytes bytes;
  encode(header, bytes);
  return bytes;
}

FrameError refusal(const Bytes& bytes) {
  FrameHeader header;
  return decode(bytes, header);
}

// A peer that means harm has a correct checksum too.
Bytes resealed(Bytes bytes) {
  const std::uint32_t crc = crc32c(0, bytes.data(), kChecksumAt);
  std::memcpy(bytes.data() + kChecksumAt, &crc, sizeof crc);
  return bytes;
}

// Every field has a value that no other field and no other byte of it shares.
FrameHeader telling_header(FrameType type) {
  FrameHeader header;
  header.type = type;
  header.flags = kFlagResent | kFlagChecksum;
  header.chunk_shift = 0x13;
  header.slot = 0x2120;
  header.epoch = 0x33323130;
  header.length = type == FrameType::kData ? 0x43424140 : 0;
  header.offset = 0x5756555453525150;
  header.message_bytes = 0x6766656463626160;
  header.path_sequence = 0x73727170;
  header.account_incarnation = 0x83828180;
  header.tag = 0x93929190;
  header.payload_checksum = 0xA3A2A1A0;
  header.path_acknowledged = 0xB3B2B1B0;
  header.credit_seen = 0xC3C2C1C0;
  return header;
}

// A message of one chunk that brings a clear-to-send along: the offset and the account make room for it.
FrameHeader with_credit(FrameHeader header) {
  header.flags |= kFlagCredit;
  header.offset = 0;
  header.account_incarnation = 0;
  header.credit_capacity = 0x5F5E5D5C5B5A5958;
  header.credit_tag = 0x8F8E8D8C;
  header.credit_number = 0xD3D2D1D0;
  return header;
}

FrameHeader largest_header(FrameType type) {
  FrameHeader header;
  header.type = type;
  header.flags = kAllFlags & ~kFlagCredit & ~kFlagCoded;
  header.chunk_shift = std::numeric_limits<std::uint8_t>::max();
  header.slot = std::numeric_limits<std::uint16_t>::max();
  header.epoch = header.path_sequence = header.account_incarnation = header.tag = header.payload_checksum =
      header.path_acknowledged = header.credit_seen = std::numeric_limits<std::uint32_t>::max();
  header.length = type == FrameType::kData ? std::numeric_limits<std::uint32_t>::max() : 0;
  header.offset = header.message_bytes = std::numeric_limits<std::uint64_t>::max();
  return header;
}

FrameHeader plain_header(FrameType type) {
  FrameHeader header;
  header.type = type;
  return header;
}

void expect_same(const FrameHeader& got, const FrameHeader& sent) {
  EXPECT_EQ(got.type, sent.type);
  EXPECT_EQ(got.flags, sent.flags);
  EXPECT_EQ(got.chunk_shift, sent.chunk_shift);
  EXPECT_EQ(got.slot, sent.slot);
  EXPECT_EQ(got.epoch, sent.epoch);
  EXPECT_EQ(got.length, sent.length);
  EXPECT_EQ(got.offset, sent.offset);
  EXPECT_EQ(got.message_bytes, sent.message_bytes);
  EXPECT_EQ(got.path_sequence, sent.path_sequence);
  EXPECT_EQ(got.account_incarnation, sent.account_incarnation);
  EXPECT_EQ(got.tag, sent.tag);
  EXPECT_EQ(got.payload_checksum, sent.payload_checksum);
  EXPECT_EQ(got.path_acknowledged, sent.path_acknowledged);
  EXPECT_EQ(got.credit_seen, sent.credit_seen);
  EXPECT_EQ(got.credit_number, sent.credit_number);
  EXPECT_EQ(got.credit_tag, sent.credit_tag);
  EXPECT_EQ(got.credit_capacity, sent.credit_capacity);
}

TEST(Frame, EveryFieldOfEveryTypeComesBack) {
  for (FrameType type : kAllTypes) {
    for (const FrameHeader& sent : {plain_header(type), telling_header(type), largest_header(type)}) {
      SCOPED_TRACE(static_cast<int>(type));
      FrameHeader got = with_credit(largest_header(FrameType::kData));
      got.flags = 0;
      ASSERT_EQ(decode(encoded(sent), got), FrameError::kNone);
      expect_same(got, sent);
    }
  }
}

TEST(Frame, DataMayBringAClearToSendAlong) {
  for (const FrameHeader& data : {plain_header(FrameType::kData), telling_header(FrameType::kData)}) {
    const FrameHeader sent = with_credit(data);
    FrameHeader got;
    ASSERT_EQ(decode(encoded(sent), got), FrameError::kNone);
    expect_same(got, sent);
  }
  const Bytes bytes = encoded(with_credit(telling_header(FrameType::kData)));
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(std::to_integer<std::size_t>(bytes[16 + i]), 0x58 + i);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(std::to_integer<std::size_t>(bytes[36 + i]), 0x8C + i);
    EXPECT_EQ(std::to_integer<std::size_t>(bytes[kCreditNumberAt + i]), 0xD0 + i);
  }
}

TEST(Frame, NothingButDataBringsAClearToSendAlong) {
  for (FrameType type : kAllTypes) {
    Bytes bytes = encoded(plain_header(type));
    bytes[kFlagsAt] = std::byte{kFlagCredit};
    EXPECT_EQ(refusal(resealed(bytes)), type == FrameType::kData ? FrameError::kNone : FrameError::kCredit)
        << "type " << static_cast<int>(type);
  }
}

// The third chunk of 64 KiB of a message of 150,000 bytes.
FrameHeader coded_header() {
  FrameHeader header;
  header.type = FrameType::kData;
  header.flags = kFlagCoded | kFlagResent;
  header.chunk_shift = 16;
  header.message_bytes = 150000;
  header.offset = 2 << 16;
  header.length = 150000 - (2 << 16);
  header.coded_length = 12345;
  return header;
}

TEST(Frame, CodedChunksSayWhatTheyTakeOnTheWireAndAreAsLongAsTheirPlaceSays) {
  FrameHeader whole = coded_header();
  whole.offset = 1 << 16;
  whole.length = 1 << 16;
  FrameHeader only = coded_header();
  only.message_bytes = only.length = 50000;
  only.offset = 0;
  for (const FrameHeader& sent : {coded_header(), whole, only, with_credit(only)}) {
    EXPECT_EQ(sent.wire_length(), 12345u);
    FrameHeader got;
    ASSERT_EQ(decode(encoded(sent), got, true), FrameError::kNone);
    expect_same(got, sent);
    EXPECT_EQ(got.coded_length, 12345u);
    EXPECT_EQ(decode(encoded(sent), got), FrameError::kFlags);
  }
  FrameHeader got = coded_header();
  ASSERT_EQ(decode(encoded(plain_header(FrameType::kData)), got, true), FrameError::kNone);
  EXPECT_EQ(got.coded_length, 0u);
}

TEST(Frame, CodedPayloadsThatCannotBeAreRefused) {
  const auto refusal_of = [](auto change) {
    FrameHeader header = coded_header(), got;
    change(header);
    return decode(encoded(header), got, true);
  };
  EXPECT_EQ(refusal_of([](FrameHeader&) {}), FrameError::kNone);
  EXPECT_EQ(refusal_of([](FrameHeader& h) { h.coded_length = 0; }), FrameError::kCoded);
  EXPECT_EQ(refusal_of([](FrameHeader& h) { h.coded_length = h.length; }), FrameError::kCoded);
  EXPECT_EQ(refusal_of([](FrameHeader& h) { h.coded_length = ~0u; }), FrameError::kCoded);
  EXPECT_EQ(refusal_of([](FrameHeader& h) { h.offset = h.message_bytes; }), FrameError::kCoded);
  EXPECT_EQ(refusal_of([](FrameHeader& h) { h.offset = ~std::uint64_t{0}; }), FrameError::kCoded);
  EXPECT_EQ(refusal_of([](FrameHeader& h) { h.chunk_shift = 31; }), FrameError::kCoded);
  EXPECT_EQ(refusal_of([](FrameHeader& h) { h.chunk_shift = 255; }), FrameError::kCoded);
  EXPECT_EQ(refusal_of([](FrameHeader& h) { h.flags |= kFlagTruncated; }), FrameError::kCoded);
  for (FrameType type : kAllTypes) {
    if (type == FrameType::kData) continue;
    EXPECT_EQ(refusal_of([&](FrameHeader& h) { h.type = type; }), FrameError::kLength);
    EXPECT_EQ(refusal_of([&](FrameHeader& h) { h.type = type, h.coded_length = 0; }), FrameError::kCoded);
  }
}

// The wire is a contract with other builds: a field may not move, even if encode() and decode() agree.
TEST(Frame, FieldsStandWhereTheLayoutSays) {
  const std::vector<int> expected = {'W',  'F',  1,    1,     // magic, version, type
                                     0x05, 0x13, 0x20, 0x21,  // flags, chunk shift, slot
                                     0x30, 0x31, 0x32, 0x33,  // epoch
                                     0x40, 0x41, 0x42, 0x43,  // payload length
                                     0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57,  // offset
                                     0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67,  // message bytes
                                     0x70, 0x71, 0x72, 0x73,                          // path sequence
                                     0x80, 0x81, 0x82, 0x83,                          // account incarnation
                                     0x90, 0x91, 0x92, 0x93,                          // tag
                                     0xA0, 0xA1, 0xA2, 0xA3,                          // payload checksum
                                     0xB0, 0xB1, 0xB2, 0xB3,                          // path acknowledged
                                     0xC0, 0xC1, 0xC2, 0xC3,                          // credit seen
                                     0,    0,    0,    0};                            // credit number
  const Bytes bytes = encoded(telling_header(FrameType::kData));
  ASSERT_EQ(expected.size(), kChecksumAt);
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(std::to_integer<int>(bytes[i]), expected[i]) << "byte " << i;
  std::uint32_t checksum;
  std::memcpy(&checksum, bytes.data() + kChecksumAt, sizeof checksum);
  EXPECT_EQ(checksum, crc32c_portable(0, bytes.data(), kChecksumAt));
}

TEST(Frame, AnyFlippedBitIsRefused) {
  for (FrameType type : kAllTypes) {
    const Bytes good = encoded(telling_header(type));
    for (std::size_t bit = 0; bit < kHeaderBytes * 8; ++bit) {
      Bytes bad = good;
      bad[bit / 8] ^= std::byte{1} << (bit % 8);
      const FrameError expected = bit / 8 < kVersionAt    ? FrameError::kMagic
                                  : bit / 8 == kVersionAt ? FrameError::kVersion
                                                          : FrameError::kChecksum;
      EXPECT_EQ(refusal(bad), expected) << "type " << static_cast<int>(type) << ", bit " << bit;
    }
  }
}

// CRC32C tells any two flipped bits of a header, whichever they are.
TEST(Frame, AnyTwoFlippedBitsAreRefused) {
  const Bytes good = encoded(telling_header(FrameType::kData));
  for (std::size_t first = 0; first < kHeaderBytes * 8; ++first) {
    for (std::size_t second = first + 1; second < kHeaderBytes * 8; ++second) {
      Bytes bad = good;
      bad[first / 8] ^= std::byte{1} << (first % 8);
      bad[second / 8] ^= std::byte{1} << (second % 8);
      ASSERT_NE(refusal(bad), FrameError::kNone) << "bits " << first << " and " << second;
    }
  }
}

struct Forgery {
  const char* name;
  std::size_t at;
  std::uint8_t value;
  FrameError expected;
};

// With a checksum that is right: what is refused here is refused for what it says.
TEST(Frame, WellSealedNonsenseIsRefusedForWhatItIs) {
  const Forgery forgeries[] = {
      {"first magic byte", kMagicAt, 'w', FrameError::kMagic},
      {"second magic byte", kMagicAt + 1, 'f', FrameError::kMagic},
      {"version 0", kVersionAt, 0, FrameError::kVersion},
      {"the next version", kVersionAt, kFrameVersion + 1, FrameError::kVersion},
      {"version 255", kVersionAt, 255, FrameError::kVersion},
      {"type 0", kTypeAt, 0, FrameError::kType},
      {"the first unknown type", kTypeAt, 9, FrameError::kType},
      {"type 255", kTypeAt, 255, FrameError::kType},
      {"coded, which was not agreed on", kFlagsAt, kFlagCoded, FrameError::kFlags},
      {"the first unknown flag", kFlagsAt, 32, FrameError::kFlags},
      {"the last unknown flag", kFlagsAt, 128, FrameError::kFlags},
      {"a credit's number without one, first byte", kCreditNumberAt, 1, FrameError::kReserved},
      {"a credit's number without one, last byte", kCreditNumberAt + 3, 128, FrameError::kReserved},
  };
  for (const Forgery& forgery : forgeries) {
    Bytes bytes = encoded(telling_header(FrameType::kData));
    bytes[forgery.at] = std::byte{forgery.value};
    EXPECT_EQ(refusal(resealed(bytes)), forgery.expected) << forgery.name;
  }
}

TEST(Frame, OnlyDataFramesHaveAPayload) {
  for (FrameType type : kAllTypes) {
    for (std::size_t byte = kLengthAt; byte < kLengthAt + 4; ++byte) {
      Bytes bytes = encoded(plain_header(type));
      bytes[byte] = std::byte{1};
      EXPECT_EQ(refusal(resealed(bytes)), type == FrameType::kData ? FrameError::kNone : FrameError::kLength)
          << "type " << static_cast<int>(type);
    }
  }
}

// A stranger that speaks another protocol, or another version, is told so and not that its checksum is wrong.
TEST(Frame, MagicIsLookedAtFirstThenTheVersionThenTheChecksum) {
  Bytes bytes;
  bytes.fill(std::byte{0});
  EXPECT_EQ(refusal(bytes), FrameError::kMagic);
  bytes[kMagicAt] = std::byte{'W'};
  bytes[kMagicAt + 1] = std::byte{'F'};
  EXPECT_EQ(refusal(bytes), FrameError::kVersion);
  bytes[kVersionAt] = std::byte{kFrameVersion};
  EXPECT_EQ(refusal(bytes), FrameError::kChecksum);
  EXPECT_EQ(refusal(resealed(bytes)), FrameError::kType);
}

TEST(Frame, EveryRefusalHasItsOwnWords) {
  std::vector<std::string> said;
  for (int error = 0; error <= static_cast<int>(FrameError::kCoded); ++error) {
    const std::string words = to_string(static_cast<FrameError>(error));
    EXPECT_NE(words, "unknown") << error;
    for (const std::string& other : said) EXPECT_NE(words, other);
    said.push_back(words);
  }
}

}  // namespace
}  // namespace weft::multipath
