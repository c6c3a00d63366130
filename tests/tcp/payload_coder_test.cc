// What a coder says of itself: reasons that hold, for every setting and length of messages.
#include "transport/tcp/payload_coder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <vector>

namespace weft::tcp {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::size_t kLargest = 256 << 10;

// Floats between 1 and 2, at random: their exponents are all alike.
std::vector<std::byte> floats(std::size_t bytes) {
  std::vector<std::byte> payload(bytes);
  std::uint32_t state = 1;
  for (std::size_t at = 0; at + sizeof state <= bytes; at += sizeof state) {
    state = state * 1664525 + 1013904223;
    const std::uint32_t element = std::bit_cast<std::uint32_t>(1.0f) | state >> 9;
    std::memcpy(&payload[at], &element, sizeof element);
  }
  return payload;
}
std::vector<std::byte> noise(std::size_t bytes) {
  std::vector<std::byte> payload(bytes);
  std::uint64_t state = 1;
  for (std::byte& byte : payload) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<std::byte>(state >> 56);
  }
  return payload;
}

class Coder {
 public:
  explicit Coder(CompressionChoice sends, bool agreed = true) : coder_({sends, agreed, kLargest}) {}
  // Returns how many of `count` messages went coded.
  int send(const std::vector<std::byte>& message, int count = 1) {
    std::vector<std::byte> room(PayloadCoder::room_for(kLargest));
    int coded = 0;
    for (int i = 0; i < count; ++i) {
      const bool went_coded = coder_.encode(message, message.size(), room) != 0;
      if (!went_coded) coder_.note_plain_sent(message.size());
      coded += went_coded;
    }
    return coded;
  }
  CompressionStatistics said() const {
    CompressionStatistics statistics;
    coder_.describe(statistics);
    return statistics;
  }

 private:
  PayloadCoder coder_;
};

TEST(PayloadCoder, SaysThatALevelsMessagesAreTooShort) {
  Coder coder(CompressionChoice::kFast);
  EXPECT_EQ(coder.said().why, "nothing was sent yet");
  EXPECT_EQ(coder.send(floats(2048), 10), 0);
  EXPECT_EQ(coder.said().why,
            "the messages are too short to be worth coding: chunks of less than 4 KiB go as they are");
  EXPECT_EQ(coder.said().level, "raw");
  EXPECT_EQ(coder.send(floats(4096)), 1) << "the limit itself is long enough";
  EXPECT_EQ(coder.said().why, "WEFT_COMPRESS asks for it");
  EXPECT_EQ(coder.said().level, "fast");
}

TEST(PayloadCoder, SaysThatMessagesLeftToItAreTooShort) {
  Coder coder(CompressionChoice::kAuto);
  EXPECT_THAT(coder.said().why, StartsWith("too little was sent yet"));
  EXPECT_EQ(coder.send(floats(8192), 10), 0);
  EXPECT_THAT(coder.said().why,
              StartsWith("the messages are too short to be worth coding: chunks of less than "
                         "16 KiB go as they are"));
  coder.send(floats(16384));
  EXPECT_THAT(coder.said().why, StartsWith("too little was sent yet")) << "of the link nothing is known yet";
}

// Long messages end in a short chunk, and short messages go between them.
TEST(PayloadCoder, AFewShortOnesAreNotTheReason) {
  Coder coder(CompressionChoice::kDense);
  coder.send(floats(65536));
  coder.send(floats(1000), 20);
  EXPECT_EQ(coder.said().why, "WEFT_COMPRESS asks for it");
  coder.send(floats(1000), 100);
  EXPECT_THAT(coder.said().why, HasSubstr("too short")) << "nothing else is sent any more";
  coder.send(floats(65536));
  EXPECT_EQ(coder.said().why, "WEFT_COMPRESS asks for it");
}

TEST(PayloadCoder, SaysThatDataDoesNotBecomeSmallerWhereItHasLooked) {
  Coder coder(CompressionChoice::kFast);
  EXPECT_EQ(coder.send(noise(65536), 3), 0);
  EXPECT_EQ(coder.said().why, "the data does not become smaller");
}

TEST(PayloadCoder, SaysWhoseSettingIsOff) {
  EXPECT_EQ(Coder(CompressionChoice::kOff, false).said().why, "WEFT_COMPRESS=off at this end");
  EXPECT_EQ(Coder(CompressionChoice::kFast, false).said().why, "the peer's WEFT_COMPRESS is off");
}

TEST(PayloadCoder, TellsAnotherVersionFromOff) {
  const CodingTerms unlike{CompressionChoice::kFast, false, kLargest, 99};
  EXPECT_EQ(why_not_agreed(unlike), "the peer has format version 99, this end 1");
  EXPECT_EQ(remedy_if_not_agreed(unlike), "Run the same Weft everywhere.");
  EXPECT_EQ(remedy_if_not_agreed({CompressionChoice::kFast, false, kLargest, {}}),
            "Set WEFT_COMPRESS there too, to auto or a level.");
}

}  // namespace
}  // namespace weft::tcp
