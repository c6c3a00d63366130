// Opening lib_mrc.so at run time: the stand-in gives a table, and what is missing or too new is said in
// words.
#include "transport/verbs/mrc_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>

namespace weft::verbs::mrc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class MrcLibrary : public ::testing::Test {
 protected:
  void TearDown() override { unsetenv("WEFT_TEST_MRC_VERSION"); }
  Result<Library> open_as(const char* version) {
    setenv("WEFT_TEST_MRC_VERSION", version, 1);
    return open_library(WEFT_MRC_STAND_IN);
  }
};

TEST_F(MrcLibrary, OneThatIsNewerWithinTheMajorVersionIsUsedAsWhatWeKnow) {
  const auto library = open_as("1.7.3");
  ASSERT_TRUE(library.is_ok()) << library.status().message();
  EXPECT_EQ(library->api_version, kVersion);
}

TEST_F(MrcLibrary, OneThatIsOlderIsUsedAsWhatItIs) {
  const auto library = open_as("1.0.0");
  ASSERT_TRUE(library.is_ok()) << library.status().message();
  EXPECT_EQ(library->api_version, version(1, 0, 0));
}

TEST_F(MrcLibrary, AnotherMajorVersionIsRefusedWithAllThreeVersions) {
  const auto library = open_as("2.3.4");
  ASSERT_FALSE(library.is_ok());
  EXPECT_THAT(library.status().message(),
              AllOf(StartsWith("MRC is not available"), HasSubstr("2.0.0 to 2.3.4"), HasSubstr("1.0.1")));
}

TEST_F(MrcLibrary, ALibraryThatIsNotThereIsNamed) {
  const auto library = open_library("lib_mrc_not_there.so");
  ASSERT_FALSE(library.is_ok());
  EXPECT_THAT(library.status().message(),
              AllOf(StartsWith("MRC is not available"), HasSubstr("lib_mrc_not_there.so"),
                    HasSubstr("LD_LIBRARY_PATH")));
}

TEST_F(MrcLibrary, MissingFunctionsAreNamed) {
  const auto library = open_library("libm.so.6");
  ASSERT_FALSE(library.is_ok());
  EXPECT_THAT(library.status().message(),
              AllOf(HasSubstr("libm.so.6 lacks"), HasSubstr("mrc_create_qp"), HasSubstr("mrc_post_send")));
}

TEST(MrcErrors, AreErrnoValuesHoweverTheyCome) {
  errno = ENOMEM;
  EXPECT_EQ(error_of(-1), ENOMEM);
  EXPECT_EQ(error_of(EINVAL), EINVAL);
  EXPECT_EQ(error_of(0), 0);
}

}  // namespace
}  // namespace weft::verbs::mrc
