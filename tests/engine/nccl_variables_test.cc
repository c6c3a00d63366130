// What NCCL's variables mean to Weft: taken over, overruled, refused by name, or named as being without
// effect.
#include "transport/engine/nccl_variables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace weft {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Config config_of(const Environment& environment) {
  const auto config = config_from(environment);
  EXPECT_TRUE(config.is_ok()) << config.status().message();
  return config ? *config : Config();
}

TEST(NcclVariables, StandInWhereOursAreUnset) {
  const Config config = config_of({{"NCCL_IB_DISABLE", "1"},
                                   {"NCCL_IB_HCA", "=mlx5_0:1,mlx5_1"},
                                   {"NCCL_IB_GID_INDEX", "3"},
                                   {"NCCL_IB_TC", "0x6a"},  // NCCL reads it so
                                   {"NCCL_IB_SL", "5"},
                                   {"NCCL_IB_TIMEOUT", "22"},
                                   {"NCCL_IB_RETRY_CNT", "4"},
                                   {"NCCL_IB_PCI_RELAXED_ORDERING", "0"},
                                   {"WEFT_IB_SL", ""}});
  EXPECT_TRUE(config.rdma.disabled);
  EXPECT_EQ(config.rdma.devices, "=mlx5_0:1,mlx5_1");
  EXPECT_EQ(config.rdma.gid_index, 3);
  EXPECT_EQ(config.rdma.traffic_class, 106);
  EXPECT_EQ(config.rdma.service_level, 5);
  EXPECT_EQ(config.rdma.timeout, 22);
  EXPECT_EQ(config.rdma.retry_count, 4);
  EXPECT_FALSE(config.rdma.relaxed_ordering);
  EXPECT_THAT(config.nccl_remarks, IsEmpty());
}

TEST(NcclVariables, AreNeitherTakenNorJudgedWhereOursAreSet) {
  const Environment nonsense = {{"NCCL_IB_DISABLE", "x"},    {"NCCL_IB_HCA", "^"},
                                {"NCCL_IB_GID_INDEX", "x"},  {"NCCL_IB_TC", "x"},
                                {"NCCL_IB_SL", "x"},         {"NCCL_IB_TIMEOUT", "x"},
                                {"NCCL_IB_RETRY_CNT", "13"}, {"NCCL_IB_PCI_RELAXED_ORDERING", "x"}};
  Environment environment = {{"WEFT_IB_DISABLE", "0"},   {"WEFT_IB_HCA", "rxe"},
                             {"WEFT_IB_GID_INDEX", "1"}, {"WEFT_IB_TC", "1"},
                             {"WEFT_IB_SL", "1"},        {"WEFT_IB_TIMEOUT", "1"},
                             {"WEFT_IB_RETRY_CNT", "1"}, {"WEFT_IB_PCI_RELAXED_ORDERING", "1"}};
  environment.insert(nonsense.begin(), nonsense.end());
  const Config config = config_of(environment);
  EXPECT_FALSE(config.rdma.disabled);
  EXPECT_EQ(config.rdma.devices, "rxe");
  EXPECT_EQ(config.rdma.gid_index, 1);
  EXPECT_EQ(config.rdma.traffic_class, 1);
  EXPECT_EQ(config.rdma.service_level, 1);
  EXPECT_EQ(config.rdma.timeout, 1);
  EXPECT_EQ(config.rdma.retry_count, 1);
  EXPECT_TRUE(config.rdma.relaxed_ordering);
  EXPECT_THAT(config.nccl_remarks, IsEmpty());
  for (const auto& [name, value] : nonsense) {
    if (name == "NCCL_IB_RETRY_CNT") continue;
    EXPECT_FALSE(config_from({{name, value}}).is_ok()) << name;
  }
}

TEST(NcclVariables, MinusOneIsNcclsWordForUnset) {
  const Config config = config_of({{"NCCL_IB_GID_INDEX", "-1"}, {"NCCL_IB_TC", "-1"}, {"NCCL_IB_SL", "-1"}});
  EXPECT_EQ(config.rdma.gid_index, -1);
  EXPECT_EQ(config.rdma.traffic_class, RdmaConfig().traffic_class);
  EXPECT_EQ(config.rdma.service_level, RdmaConfig().service_level);
}

// 7 is NCCL's default and would be for ever on SoftRoCE; scripts hand 13 on.
TEST(NcclVariables, RetriesWithoutEndAreBoundedAndThatIsSaid) {
  for (const char* value : {"7", "13", "255"}) {
    const Config config = config_of({{"NCCL_IB_RETRY_CNT", value}});
    EXPECT_EQ(config.rdma.retry_count, 6);
    EXPECT_THAT(config.nccl_remarks,
                ElementsAre(HasSubstr(std::string("NCCL_IB_RETRY_CNT=") + value + " counts as 6")));
  }
  EXPECT_EQ(config_of({{"NCCL_IB_RETRY_CNT", "6"}}).rdma.retry_count, 6);
}

TEST(NcclVariables, RelaxedOrderingWhereItWorksIsOn) {
  EXPECT_TRUE(config_of({{"NCCL_IB_PCI_RELAXED_ORDERING", "2"}}).rdma.relaxed_ordering);
  EXPECT_TRUE(config_of({{"NCCL_IB_PCI_RELAXED_ORDERING", "1"}}).rdma.relaxed_ordering);
}

TEST(NcclVariables, TheOthersOfRdmaAreNamedOnce) {
  const Config config = config_of({{"NCCL_IB_QPS_PER_CONNECTION", "4"},
                                   {"NCCL_IB_SOMETHING_NEW", "1"},
                                   {"NCCL_IB_MERGE_NICS", ""},
                                   {"NCCL_IB_HCA", "mlx5"},
                                   {"NCCL_DEBUG", "INFO"},
                                   {"NCCL_IBEXT_DISABLE", "1"}});
  EXPECT_THAT(config.nccl_remarks, ElementsAre(AllOf(HasSubstr("NCCL_IB_QPS_PER_CONNECTION has no effect"),
                                                     HasSubstr("WEFT_PATHS_PER_PLANE")),
                                               "NCCL_IB_SOMETHING_NEW has no effect on Weft."));
}

struct Refusal {
  const char* name;
  const char* value;
  const char* accepted;
  const char* own;
};

class RefusesNccls : public ::testing::TestWithParam<Refusal> {};

TEST_P(RefusesNccls, NamingItAndWhatOverrulesIt) {
  const auto config = config_from({{GetParam().name, GetParam().value}});
  ASSERT_FALSE(config.is_ok());
  EXPECT_EQ(config.status().code(), StatusCode::kBadConfiguration);
  EXPECT_THAT(config.status().message(),
              AllOf(HasSubstr(GetParam().name + std::string("=\"") + GetParam().value + "\""),
                    HasSubstr(GetParam().accepted), HasSubstr(GetParam().own)));
}

INSTANTIATE_TEST_SUITE_P(
    Table, RefusesNccls,
    ::testing::Values(Refusal{"NCCL_IB_HCA", "mlx5_0:x", "port number", ""},
                      Refusal{"NCCL_IB_DISABLE", "2", "0 to 1", "WEFT_IB_DISABLE"},
                      Refusal{"NCCL_IB_DISABLE", "-1", "0 to 1", "WEFT_IB_DISABLE"},
                      Refusal{"NCCL_IB_GID_INDEX", "-2", "-1, 0 to 255", "WEFT_IB_GID_INDEX"},
                      Refusal{"NCCL_IB_GID_INDEX", "3x", "-1, 0 to 255", "WEFT_IB_GID_INDEX"},
                      Refusal{"NCCL_IB_TC", "256", "0 to 255", "WEFT_IB_TC"},
                      Refusal{"NCCL_IB_TC", " 1", "0 to 255", "WEFT_IB_TC"},
                      Refusal{"NCCL_IB_SL", "99999999999999999999", "0 to 15", "WEFT_IB_SL"},
                      Refusal{"NCCL_IB_TIMEOUT", "0", "1 to 31", "WEFT_IB_TIMEOUT"},
                      Refusal{"NCCL_IB_TIMEOUT", "32", "1 to 31", "WEFT_IB_TIMEOUT"},
                      Refusal{"NCCL_IB_RETRY_CNT", "-1", "0 to 255", "WEFT_IB_RETRY_CNT"},
                      Refusal{"NCCL_IB_RETRY_CNT", "seven", "0 to 255", "WEFT_IB_RETRY_CNT"},
                      Refusal{"NCCL_IB_PCI_RELAXED_ORDERING", "3", "0 to 2",
                              "WEFT_IB_PCI_RELAXED_ORDERING"}));

}  // namespace
}  // namespace weft
