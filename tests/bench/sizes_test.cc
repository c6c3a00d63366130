#include "bench/perf/sizes.h"

#include <gtest/gtest.h>

#include "bench/perf/perf_options.h"

namespace weft::bench {
namespace {

TEST(Sizes, AreReadAsUsersWriteThem) {
  EXPECT_EQ(parse_size("8"), 8u);
  EXPECT_EQ(parse_size("0"), 0u);
  EXPECT_EQ(parse_size("8B"), 8u);
  EXPECT_EQ(parse_size("64K"), 65536u);
  EXPECT_EQ(parse_size("64k"), 65536u);
  EXPECT_EQ(parse_size("64KB"), 65536u);
  EXPECT_EQ(parse_size("64KiB"), 65536u);
  EXPECT_EQ(parse_size("1.5M"), 1572864u);
  EXPECT_EQ(parse_size("2G"), 2147483648u);
  EXPECT_EQ(parse_size("1T"), 1099511627776u);
}

TEST(Sizes, RefusesEverythingElse) {
  for (const char* bad :
       {"", "K", "-1", "1X", "1KK", "1Ki", "1 K", "0x10", "1.5", "nan", "inf", "1e3", "99999999T", "8BB"}) {
    EXPECT_EQ(parse_size(bad), std::nullopt) << bad;
  }
}

TEST(Sizes, AreWrittenBack) {
  EXPECT_EQ(format_size(0), "0");
  EXPECT_EQ(format_size(100), "100");
  EXPECT_EQ(format_size(65536), "64K");
  EXPECT_EQ(format_size(1572864), "1536K");
  EXPECT_EQ(format_size(std::uint64_t{3} << 30), "3G");
}

TEST(Sizes, OfTheRows) {
  PerfOptions options;
  options.min_bytes = 8;
  options.max_bytes = 100;
  options.step_factor = 3;
  EXPECT_EQ(sizes_of(options), (std::vector<std::uint64_t>{8, 24, 72}));
  options.step_factor = 1;
  options.step_bytes = 46;
  EXPECT_EQ(sizes_of(options), (std::vector<std::uint64_t>{8, 54, 100}));
}

}  // namespace
}  // namespace weft::bench
