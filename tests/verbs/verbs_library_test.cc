// Opening libibverbs at run time: the real one gives working functions, and what is missing is said in words.
#include "transport/verbs/verbs_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace weft::verbs {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(VerbsLibrary, TheRealOneIsOpenedOnceAndWorks) {
  const auto library = verbs_library();
  if (!library.is_ok()) GTEST_SKIP() << library.status().message();
  EXPECT_STREQ((*library)->wc_status_str(IBV_WC_RETRY_EXC_ERR), "transport retry counter exceeded");
  EXPECT_STREQ((*library)->port_state_str(IBV_PORT_ACTIVE), "active");
  int devices = -1;
  ibv_device** list = (*library)->get_device_list(&devices);
  if (list != nullptr) (*library)->free_device_list(list);
  EXPECT_EQ(*verbs_library(), *library);
}

TEST(VerbsLibrary, ALibraryThatIsNotThereIsNamedAndSoIsThePackage) {
  const auto library = open_verbs_library("libweft-not-there.so.7");
  ASSERT_FALSE(library.is_ok());
  EXPECT_THAT(library.status().message(),
              AllOf(StartsWith("RDMA is not available"), HasSubstr("libweft-not-there.so.7"),
                    HasSubstr("libibverbs1"), HasSubstr("WEFT_TRANSPORT=tcp")));
}

TEST(VerbsLibrary, MissingFunctionsAreNamedWithTheirVersions) {
  const auto library = open_verbs_library("libm.so.6");
  ASSERT_FALSE(library.is_ok());
  EXPECT_THAT(
      library.status().message(),
      AllOf(HasSubstr("libm.so.6 lacks"), HasSubstr("ibv_get_device_list@IBVERBS_1.1"),
            HasSubstr("ibv_create_comp_channel@IBVERBS_1.0"), HasSubstr("ibv_destroy_qp@IBVERBS_1.1")));
  EXPECT_THAT(library.status().message(), ::testing::Not(HasSubstr("ibv_reg_dmabuf_mr")));
}

}  // namespace
}  // namespace weft::verbs
