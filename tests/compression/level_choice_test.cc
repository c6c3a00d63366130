// The chooser: what it samples is what packing gives, and no level is taken that makes a transfer slower.
#include "compression/slot/level_choice.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/compression/element_samples.h"
#include "tests/compression/packed_slot.h"

namespace weft::compression {
namespace {

constexpr double kGigabyte = 1e9;

// A machine whose codecs are as fast as these numbers, which are nobody's measurement.
CodecRates some_rates() {
  return {{20 * kGigabyte, 8 * kGigabyte, 6 * kGigabyte, 0.8 * kGigabyte},
          {20 * kGigabyte, 8 * kGigabyte, 6 * kGigabyte, 0.8 * kGigabyte}};
}

SampledRatios weights_like() {
  return {ElementType::kBfloat16, {1, 1.327, 1.43, 1.51}};
}

Level chosen(double gigabytes_per_s, std::size_t message_bytes, const SampledRatios& ratios) {
  LinkFacts link;
  link.bytes_per_s = gigabytes_per_s * kGigabyte;
  link.message_bytes = message_bytes;
  return choose_level(link, ratios, some_rates()).level;
}

TEST(LevelChoice, SlowerLinksGetSmallerSlots) {
  EXPECT_EQ(chosen(0.1, 64 << 20, weights_like()), Level::kArchive);
  EXPECT_EQ(chosen(2, 64 << 20, weights_like()), Level::kDense);
  EXPECT_EQ(chosen(5, 64 << 20, weights_like()), Level::kFast);
  EXPECT_EQ(chosen(12, 64 << 20, weights_like()), Level::kRaw);
}

TEST(LevelChoice, WhatDoesNotGetSmallerStaysRaw) {
  EXPECT_EQ(chosen(0.01, 64 << 20, {ElementType::kBfloat16, {1, 1.01, 1.02, 1.02}}), Level::kRaw);
  EXPECT_EQ(chosen(0.01, 64 << 20, {ElementType::kBytes, {1, 1, 1, 1}}), Level::kRaw);
  EXPECT_EQ(chosen(0.01, 64 << 20, {ElementType::kBytes, {1, 1, 1, 3}}), Level::kArchive);
}

// A message of one chunk pays for coding and decoding in full.
TEST(LevelChoice, OneChunkIsNotOverlapped) {
  EXPECT_EQ(chosen(5, 64 << 10, weights_like()), Level::kRaw);
  EXPECT_EQ(chosen(0.1, 64 << 10, weights_like()), Level::kDense);
}

TEST(LevelChoice, NeverForecastsALossForWhatItTakes) {
  for (double link = 0.01; link < 100; link *= 1.7) {
    for (std::size_t bytes = 1024; bytes <= (64u << 20); bytes *= 4) {
      LinkFacts facts;
      facts.bytes_per_s = link * kGigabyte;
      facts.message_bytes = bytes;
      for (const int cores : {1, 4}) {
        facts.cores = cores;
        const LevelChoice choice = choose_level(facts, weights_like(), some_rates());
        EXPECT_LE(choice.forecast[static_cast<std::size_t>(choice.level)].seconds,
                  choice.forecast[0].seconds);
      }
    }
  }
}

// A link or a machine of which nothing is known yet has rates of 0.
TEST(LevelChoice, WhatIsNotKnownToPayIsNotTaken) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1000}, std::size_t{64} << 20}) {
    for (const double link_rate : {0.0, 0.1 * kGigabyte}) {
      LinkFacts link;
      link.bytes_per_s = link_rate;
      link.message_bytes = bytes;
      EXPECT_EQ(choose_level(link, weights_like(), {}).level, Level::kRaw) << bytes << " " << link_rate;
      if (link_rate == 0) {
        EXPECT_EQ(choose_level(link, weights_like(), some_rates()).level, Level::kRaw) << bytes;
      }
    }
  }
}

TEST(LevelChoice, IsPrintedWithItsReasons) {
  LinkFacts link;
  link.bytes_per_s = 0.125 * kGigabyte;
  link.message_bytes = 64 << 20;
  link.cores = 2;
  CodecRates rates = some_rates();
  rates.unpack_bytes_per_s[static_cast<std::size_t>(Level::kArchive)] = 1.9 * kGigabyte;
  const std::string text = to_string(choose_level(link, weights_like(), rates));
  EXPECT_NE(text.find("67108864 bytes of bf16 over 0.125 GB/s, chunks of 262144, 2 cores"), std::string::npos)
      << text;
  EXPECT_NE(text.find("archive ratio 1.510, pack 0.8 GB/s, unpack 1.9 GB/s: effective 0.189 GB/s"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("<- chosen"), std::string::npos) << text;
}

// A thread that does all of it is slower than its codecs: both stand there, and what makes the difference.
TEST(LevelChoice, PrintsWhatWasMeasuredBesideWhatAThreadMakesOfIt) {
  LinkFacts link;
  link.bytes_per_s = 2 * kGigabyte;
  link.message_bytes = 1 << 30;
  CodecRates rates{{0, 8 * kGigabyte, 5 * kGigabyte, 0}, {0, 6 * kGigabyte, 0, 0}};
  const LevelChoice choice = choose_level(link, {ElementType::kBfloat16, {1, 1.25, 1.6, 1.5}}, rates,
                                          ThreadFacts{0.1e-9, 0.75, 0.5});
  const std::string text = to_string(choice);
  EXPECT_NE(
      text.find("one thread at each end: moving a byte takes 0.1 ns, 0.75 bytes to decode for each one sent, "
                "50 % of its time counted on"),
      std::string::npos)
      << text;
  // 0.5 / (0.1 / 1.25 + 1 / 8 + 0.75 / 6) and 0.5 / (0.1 / 1.6 + 1 / 5 + 0.75 / 5), in GB/s.
  EXPECT_NE(
      text.find("fast    ratio 1.250, pack 8 GB/s, unpack 6 GB/s, the thread 1.52 GB/s: effective 1.52 GB/s"),
      std::string::npos)
      << text;
  EXPECT_NE(
      text.find(
          "dense   ratio 1.600, pack 5 GB/s, unpack unknown, the thread 1.21 GB/s: effective 1.21 GB/s"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("archive ratio 1.500, pack unknown, unpack unknown, the thread unknown"),
            std::string::npos)
      << text;
  EXPECT_EQ(choice.level, Level::kRaw);
}

TEST(LevelChoice, PrintsNoRatesWhereThereIsNothingToCode) {
  LinkFacts link;
  link.bytes_per_s = kGigabyte;
  link.message_bytes = 1 << 20;
  const std::string text = to_string(choose_level(link, {ElementType::kBytes, {1, 1, 1, 2}}, some_rates()));
  EXPECT_NE(text.find("raw     ratio 1.000: effective 1 GB/s"), std::string::npos) << text;
  EXPECT_NE(text.find("fast    has nothing for this type"), std::string::npos) << text;
}

TEST(Sample, ForetellsTheRatio) {
  for (const ElementType type : {ElementType::kBfloat16, ElementType::kFloat16, ElementType::kFloat32,
                                 ElementType::kFloat8E4M3, ElementType::kFloat8E5M2}) {
    const auto payload = gaussian(type, 1 << 17, 1, 21);
    const SampledRatios sampled = sample_ratios(payload, type, 16);
    for (const Level level : {Level::kFast, Level::kDense, Level::kArchive}) {
      const double ratio = packed_ratio(payload, type, level);
      EXPECT_NEAR(sampled.ratio[static_cast<std::size_t>(level)], ratio, 0.02 * ratio)
          << to_string(type) << " " << to_string(level);
    }
  }
}

// Text, as far as statistics see it: words that come back, some much more often than others.
std::vector<std::byte> words(std::size_t bytes, std::uint64_t seed) {
  SplitMix random(seed);
  std::vector<std::string> vocabulary(2000);
  for (std::string& word : vocabulary)
    for (std::uint64_t letters = 2 + random.next() % 8; letters > 0; --letters)
      word += static_cast<char>('a' + random.next() % 26 * (random.next() % 26) / 26);
  std::vector<std::byte> text;
  while (text.size() < bytes) {
    const std::size_t rank = random.next() % vocabulary.size() * (random.next() % 2000) / 2000;
    for (const char letter : vocabulary[rank] + " ") text.push_back(static_cast<std::byte>(letter));
  }
  text.resize(bytes);
  return text;
}

TEST(Sample, FindsTheType) {
  for (const ElementType type :
       {ElementType::kBfloat16, ElementType::kFloat16, ElementType::kFloat32, ElementType::kFloat8E5M2})
    EXPECT_EQ(find_type(gaussian(type, 1 << 16, 0.05f, 22)).type, type) << to_string(type);
  EXPECT_EQ(find_type(random_bytes(1 << 17, 23)).type, ElementType::kBytes);
  EXPECT_EQ(find_type(random_bytes(100, 23)).type, ElementType::kBytes);
  EXPECT_EQ(find_type({}).type, ElementType::kBytes);
  EXPECT_EQ(find_type(words(1 << 17, 24)).type, ElementType::kBytes);
}

TEST(Rates, AreMeasuredForEveryLevel) {
  const CodecRates measured = measure_rates(ElementType::kBfloat16, 1);
  for (const double rate : measured.pack_bytes_per_s) EXPECT_GT(rate, 0);
  for (const double rate : measured.unpack_bytes_per_s) EXPECT_GT(rate, 0);
}

}  // namespace
}  // namespace weft::compression
