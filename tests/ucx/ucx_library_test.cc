// Opening libucp at run time: the real one works, and what is missing is said in words.
#include "transport/ucx/ucx_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "transport/ucx/device_context.h"

namespace weft::ucx {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(UcxLibrary, TheRealOneIsOpenedOnceAndKnowsItsDevices) {
  const auto library = ucx_library();
  if (!library.is_ok()) GTEST_SKIP() << library.status().message();
  EXPECT_STREQ((*library)->status_string(UCS_ERR_CANCELED), "Request canceled");
  EXPECT_EQ(*ucx_library(), *library);
  const auto devices = list_devices(**library);
  ASSERT_TRUE(devices.is_ok()) << devices.status().message();
  for (const DeviceName& device : *devices) {
    EXPECT_FALSE(device.transports.empty()) << device.name;
    EXPECT_THAT(device.transports, ::testing::Not(::testing::Contains("posix"))) << device.name;
    const auto context = DeviceContext::open(**library, device);
    EXPECT_TRUE(context.is_ok()) << context.status().message();
  }
}

TEST(UcxLibrary, ADeviceThatIsNotThereIsNamed) {
  const auto library = ucx_library();
  if (!library.is_ok()) GTEST_SKIP() << library.status().message();
  const auto context = DeviceContext::open(**library, {"weft_no_such0:1", {"rc_verbs"}});
  ASSERT_FALSE(context.is_ok());
  EXPECT_THAT(context.status().message(), HasSubstr("weft_no_such0:1"));
}

TEST(UcxLibrary, ALibraryThatIsNotThereIsNamedAndSoIsThePackage) {
  const auto library = open_ucx_library("libweft-not-there.so.7");
  ASSERT_FALSE(library.is_ok());
  EXPECT_THAT(library.status().message(),
              AllOf(StartsWith("UCX is not available"), HasSubstr("libweft-not-there.so.7"),
                    HasSubstr("libucx0"), HasSubstr("WEFT_TRANSPORT")));
}

TEST(UcxLibrary, AMissingFunctionIsNamed) {
  const auto library = open_ucx_library("libm.so.6");
  ASSERT_FALSE(library.is_ok());
  EXPECT_THAT(library.status().message(), AllOf(HasSubstr("ucp_get_version_string"), HasSubstr("UCX 1.13")));
}

}  // namespace
}  // namespace weft::ucx
