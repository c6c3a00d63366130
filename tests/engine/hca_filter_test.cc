// The syntax of NCCL_IB_HCA: what is matched, what is refused, and that a refusal says why.
#include "transport/engine/hca_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace weft::engine {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

const std::vector<std::pair<std::string, int>> kMachine = {{"mlx5_0", 1}, {"mlx5_1", 1},  {"mlx5_1", 2},
                                                           {"mlx5_2", 1}, {"mlx5_10", 1}, {"rocep59s0f0", 1},
                                                           {"rxe0", 1}};

std::vector<std::string> all_ports() {
  std::vector<std::string> names;
  for (const auto& [device, port] : kMachine) names.push_back(device + ":" + std::to_string(port));
  return names;
}

struct MatchCase {
  const char* text;
  std::vector<std::string> expected;
};

class HcaFilterMatches : public ::testing::TestWithParam<MatchCase> {};

TEST_P(HcaFilterMatches, SelectsFromTheMachine) {
  const auto filter = HcaFilter::parse(GetParam().text);
  ASSERT_TRUE(filter.is_ok()) << filter.status().message();
  std::vector<std::string> selected;
  for (const auto& [device, port] : kMachine) {
    if (filter->matches(device, port)) selected.push_back(device + ":" + std::to_string(port));
  }
  EXPECT_THAT(selected, ElementsAreArray(GetParam().expected));
  EXPECT_EQ(filter->text(), GetParam().text);
}

INSTANTIATE_TEST_SUITE_P(
    Table, HcaFilterMatches,
    ::testing::Values(MatchCase{"", all_ports()}, MatchCase{"rxe", {"rxe0:1"}},
                      MatchCase{"mlx5", {"mlx5_0:1", "mlx5_1:1", "mlx5_1:2", "mlx5_2:1", "mlx5_10:1"}},
                      // A prefix, as in NCCL: mlx5_10 is in.
                      MatchCase{"mlx5_1", {"mlx5_1:1", "mlx5_1:2", "mlx5_10:1"}},
                      MatchCase{"=mlx5_1", {"mlx5_1:1", "mlx5_1:2"}}, MatchCase{"=mlx5", {}},
                      MatchCase{"=mlx5_1:2", {"mlx5_1:2"}}, MatchCase{"mlx5_1:1", {"mlx5_1:1", "mlx5_10:1"}},
                      MatchCase{"=mlx5_0:1,mlx5_2", {"mlx5_0:1", "mlx5_2:1"}}, MatchCase{"=mlx5_0:2", {}},
                      MatchCase{"^mlx5", {"rocep59s0f0:1", "rxe0:1"}},
                      MatchCase{"^mlx5_1,rxe", {"mlx5_0:1", "mlx5_2:1", "rocep59s0f0:1"}},
                      MatchCase{"^=mlx5_1", {"mlx5_0:1", "mlx5_2:1", "mlx5_10:1", "rocep59s0f0:1", "rxe0:1"}},
                      MatchCase{"^=mlx5_1:2",
                                {"mlx5_0:1", "mlx5_1:1", "mlx5_2:1", "mlx5_10:1", "rocep59s0f0:1", "rxe0:1"}},
                      MatchCase{"^=mlx5", all_ports()},
                      MatchCase{",rxe0,,rocep59s0f0,", {"rocep59s0f0:1", "rxe0:1"}}));

struct RefusalCase {
  std::string text;
  const char* reason;
};

class HcaFilterRefuses : public ::testing::TestWithParam<RefusalCase> {};

TEST_P(HcaFilterRefuses, SaysWhyAndNamesTheVariable) {
  const auto filter = HcaFilter::parse(GetParam().text, "NCCL_IB_HCA");
  ASSERT_FALSE(filter.is_ok());
  EXPECT_EQ(filter.status().code(), StatusCode::kBadConfiguration);
  EXPECT_THAT(filter.status().message(), AllOf(HasSubstr("NCCL_IB_HCA=\"" + GetParam().text + "\""),
                                               HasSubstr(GetParam().reason), HasSubstr("=mlx5_0,mlx5_1")));
}

std::string many(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += (i > 0 ? ",mlx5_" : "mlx5_") + std::to_string(i);
  return text;
}

INSTANTIATE_TEST_SUITE_P(
    Table, HcaFilterRefuses,
    ::testing::Values(RefusalCase{"^", "names no device"}, RefusalCase{"=", "names no device"},
                      RefusalCase{"^=,", "names no device"}, RefusalCase{"=^mlx5", "only at the start"},
                      RefusalCase{"mlx5_0,^mlx5_1", "only at the start"},
                      RefusalCase{"^=mlx5_0,=mlx5_1", "only at the start"},
                      RefusalCase{"mlx5_0:", "port number"}, RefusalCase{"mlx5_0:x", "port number"},
                      RefusalCase{"mlx5_0:1:2", "port number"}, RefusalCase{"mlx5_0:0", "port number"},
                      RefusalCase{"mlx5_0:256", "port number"}, RefusalCase{"mlx5_0:-1", "port number"},
                      RefusalCase{":1", "no device stands"}, RefusalCase{"mlx5_0, mlx5_1", "blanks"},
                      RefusalCase{"mlx5_*", "prefixes already"}, RefusalCase{"a/b", "no '/'"},
                      RefusalCase{std::string(64, 'm'), "longer than the 63 bytes"},
                      RefusalCase{many(HcaFilter::kMaxEntries + 1), "more than 64 devices"}));

TEST(HcaFilter, TakesAsManyAsItSays) {
  const auto filter = HcaFilter::parse("=" + many(HcaFilter::kMaxEntries));
  ASSERT_TRUE(filter.is_ok()) << filter.status().message();
  EXPECT_TRUE(filter->matches("mlx5_63", 1));
  EXPECT_FALSE(filter->matches("mlx5_64", 1));
  EXPECT_TRUE(HcaFilter::parse(std::string(63, 'm')).is_ok());
}

}  // namespace
}  // namespace weft::engine
