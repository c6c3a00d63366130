#include "transport/multipath/crc32c.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace weft::multipath {
namespace {

using Crc = std::uint32_t (*)(std::uint32_t, const void*, std::size_t);

struct Version {
  const char* name;
  Crc crc;
};
constexpr Version kVersions[] = {{"crc32c", crc32c}, {"crc32c_portable", crc32c_portable}};

bool has_crc_instruction() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("sse4.2");
#else
  return false;
#endif
}

std::vector<std::uint8_t> random_bytes(std::size_t count) {
  std::mt19937 random(3720);
  std::vector<std::uint8_t> bytes(count);
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::uint8_t>(random()); });
  return bytes;
}

// RFC 3720, B.4 prints the checksums in the order of transmission, least significant byte first.
TEST(Crc32c, VectorsOfRfc3720) {
  std::array<std::uint8_t, 32> zeroes{};
  std::array<std::uint8_t, 32> ones;
  ones.fill(0xFF);
  std::array<std::uint8_t, 32> up;
  std::iota(up.begin(), up.end(), std::uint8_t{0});
  std::array<std::uint8_t, 32> down;
  std::iota(down.rbegin(), down.rend(), std::uint8_t{0});
  const std::array<std::uint8_t, 48> read_command = {
      0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18,
      0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
  for (const Version& version : kVersions) {
    SCOPED_TRACE(version.name);
    EXPECT_EQ(version.crc(0, zeroes.data(), zeroes.size()), 0x8A9136AAu);
    EXPECT_EQ(version.crc(0, ones.data(), ones.size()), 0x62A8AB43u);
    EXPECT_EQ(version.crc(0, up.data(), up.size()), 0x46DD794Eu);
    EXPECT_EQ(version.crc(0, down.data(), down.size()), 0x113FDB5Cu);
    EXPECT_EQ(version.crc(0, read_command.data(), read_command.size()), 0xD9963A56u);
  }
}

// The check value by which catalogues of CRCs name this one.
TEST(Crc32c, CheckValue) {
  const std::string digits = "123456789";
  for (const Version& version : kVersions)
    EXPECT_EQ(version.crc(0, digits.data(), digits.size()), 0xE3069283u) << version.name;
}

TEST(Crc32c, NothingChangesNothing) {
  for (const Version& version : kVersions) {
    EXPECT_EQ(version.crc(0, nullptr, 0), 0u) << version.name;
    EXPECT_EQ(version.crc(0x12345678u, nullptr, 0), 0x12345678u) << version.name;
  }
}

TEST(Crc32c, AnySplitOfTheDataGivesTheSame) {
  const std::vector<std::uint8_t> data = random_bytes(67);
  for (const Version& version : kVersions) {
    const std::uint32_t whole = version.crc(0, data.data(), data.size());
    for (std::size_t first = 0; first <= data.size(); ++first) {
      for (std::size_t second = first; second <= data.size(); ++second) {
        std::uint32_t crc = version.crc(0, data.data(), first);
        crc = version.crc(crc, data.data() + first, second - first);
        crc = version.crc(crc, data.data() + second, data.size() - second);
        ASSERT_EQ(crc, whole) << version.name << " cut at " << first << " and " << second;
      }
    }
  }
}

TEST(Crc32c, TheInstructionAndTheTableAgree) {
  if (!has_crc_instruction()) GTEST_SKIP() << "this processor has no CRC32C instruction that Weft uses";
  const std::vector<std::uint8_t> data = random_bytes(300);
  for (std::size_t begin = 0; begin < 16; ++begin) {
    for (std::size_t length = 0; begin + length <= data.size(); ++length) {
      const std::uint32_t seed = static_cast<std::uint32_t>(begin * 0x01234567u);
      ASSERT_EQ(crc32c(seed, data.data() + begin, length), crc32c_portable(seed, data.data() + begin, length))
          << length << " bytes from " << begin;
    }
  }
}

}  // namespace
}  // namespace weft::multipath
