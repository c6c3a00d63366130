// The syntax of NCCL_SOCKET_IFNAME: what is matched, what is refused, and that a refusal says why.
#include "transport/engine/interface_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weft::engine {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

const std::vector<std::string> kMachine = {"lo", "eth0", "eth1", "eth10", "ib0", "docker0", "bond0.100"};

struct MatchCase {
  const char* text;
  std::vector<std::string> expected;
  bool picks_by_name;
};

class FilterMatches : public ::testing::TestWithParam<MatchCase> {};

TEST_P(FilterMatches, SelectsFromTheMachine) {
  const auto filter = InterfaceFilter::parse(GetParam().text);
  ASSERT_TRUE(filter.is_ok()) << filter.status().message();
  std::vector<std::string> selected;
  for (const std::string& name : kMachine) {
    if (filter->matches(name)) selected.push_back(name);
  }
  EXPECT_THAT(selected, ElementsAreArray(GetParam().expected));
  EXPECT_EQ(filter->picks_by_name(), GetParam().picks_by_name);
  EXPECT_EQ(filter->text(), GetParam().text);
}

INSTANTIATE_TEST_SUITE_P(
    Table, FilterMatches,
    ::testing::Values(MatchCase{"", {"lo", "eth0", "eth1", "eth10", "ib0", "docker0", "bond0.100"}, false},
                      MatchCase{"eth", {"eth0", "eth1", "eth10"}, true},
                      MatchCase{"eth1", {"eth1", "eth10"}, true}, MatchCase{"=eth1", {"eth1"}, true},
                      MatchCase{"=eth", {}, true}, MatchCase{"eth0,ib", {"eth0", "ib0"}, true},
                      MatchCase{"=eth0,ib", {"eth0"}, true}, MatchCase{"=eth0,ib0", {"eth0", "ib0"}, true},
                      MatchCase{"^eth", {"lo", "ib0", "docker0", "bond0.100"}, false},
                      MatchCase{"^docker,lo", {"eth0", "eth1", "eth10", "ib0", "bond0.100"}, false},
                      MatchCase{"^=eth1", {"lo", "eth0", "eth10", "ib0", "docker0", "bond0.100"}, false},
                      MatchCase{
                          "^=eth", {"lo", "eth0", "eth1", "eth10", "ib0", "docker0", "bond0.100"}, false},
                      // NCCL reads a port and compares names only.
                      MatchCase{"eth0:0", {"eth0"}, true},
                      MatchCase{"=eth0:1,ib0:65535", {"eth0", "ib0"}, true},
                      // NCCL skips empty entries.
                      MatchCase{"eth0,", {"eth0"}, true}, MatchCase{",eth0,,ib0", {"eth0", "ib0"}, true},
                      MatchCase{"bond0.100", {"bond0.100"}, true}, MatchCase{"lo", {"lo"}, true}));

struct RefusalCase {
  std::string text;
  const char* reason;
};

class FilterRefuses : public ::testing::TestWithParam<RefusalCase> {};

TEST_P(FilterRefuses, SaysWhy) {
  const auto filter = InterfaceFilter::parse(GetParam().text, "NCCL_SOCKET_IFNAME");
  ASSERT_FALSE(filter.is_ok());
  EXPECT_EQ(filter.status().code(), StatusCode::kBadConfiguration);
  EXPECT_THAT(filter.status().message(), HasSubstr("NCCL_SOCKET_IFNAME=\"" + GetParam().text + "\""));
  EXPECT_THAT(filter.status().message(), HasSubstr(GetParam().reason));
  EXPECT_THAT(filter.status().message(), HasSubstr("comma list"));
}

std::string more_names_than_allowed() {
  std::string text = "eth0";
  for (std::size_t i = 1; i <= InterfaceFilter::kMaxNames; ++i) text += ",eth" + std::to_string(i);
  return text;
}

INSTANTIATE_TEST_SUITE_P(
    Table, FilterRefuses,
    ::testing::Values(
        RefusalCase{"^", "names no interface"}, RefusalCase{"=", "names no interface"},
        RefusalCase{"^=", "names no interface"}, RefusalCase{",", "names no interface"},
        RefusalCase{"=^eth0", "stands only at the start"}, RefusalCase{"^^eth0", "stands only at the start"},
        RefusalCase{"==eth0", "stands only at the start"},
        RefusalCase{"eth0,^eth1", "stands only at the start"},
        RefusalCase{"=eth0,=eth1", "stands only at the start"}, RefusalCase{"eth0, eth1", "blanks"},
        RefusalCase{" ", "blanks"}, RefusalCase{"eth0\t", "blanks"}, RefusalCase{"eth/0", "'/'"},
        RefusalCase{"eth*", "prefixes already"}, RefusalCase{"eth0:", "port number"},
        RefusalCase{"eth0:a", "port number"}, RefusalCase{":0", "port number"},
        RefusalCase{"eth0:1:2", "port number"}, RefusalCase{"abcdefghijklmnop", "longer than the 15 bytes"},
        RefusalCase{more_names_than_allowed(), "more than 32 names"}));

TEST(InterfaceFilter, FifteenBytesAndThirtyTwoNamesAreTheLimit) {
  EXPECT_TRUE(InterfaceFilter::parse("abcdefghijklmno").is_ok());
  std::string text = "eth0";
  for (std::size_t i = 1; i < InterfaceFilter::kMaxNames; ++i) text += ",eth" + std::to_string(i);
  EXPECT_TRUE(InterfaceFilter::parse(text).is_ok());
}

}  // namespace
}  // namespace weft::engine
