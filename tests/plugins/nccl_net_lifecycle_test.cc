// From the first init to the last finalize, in the versions that have one: what is made, said, and given
// back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/plugins/fake_fabric.h"
#include "tests/plugins/log_capture.h"
#include "tests/plugins/versioned_net.h"

extern "C" {
extern const weft::nccl::v11::Net ncclNetPlugin_v11;
extern const weft::nccl::v12::Net ncclNetPlugin_v12;
extern const weft::nccl::v8::Net ncclNetPlugin_v8;
}

namespace weft::nccl {
namespace {

using fake::fabric;

class Lifecycle : public testing::Test {
 protected:
  Lifecycle() : net_(&ncclNetPlugin_v12) {
    fake::reset();
    take_log();
    setenv("NCCL_PROTO", "Simple", 1);
    unsetenv("WEFT_DEBUG");
  }
  ~Lifecycle() override {
    EXPECT_EQ(fabric().contexts, 0) << "a test left a context behind";
    unsetenv("NCCL_PROTO");
  }

  void* init() {
    void* context = nullptr;
    EXPECT_EQ(net_.init(&context, capture_log), Result::kSuccess);
    EXPECT_NE(context, nullptr);
    return context;
  }

  VersionedNet<Abi12> net_;
};

TEST_F(Lifecycle, LastFinalizeDestroysTheContextAndANewInitMakesAnother) {
  const int created = fabric().contexts_created;
  void* first = init();
  void* second = init();
  EXPECT_EQ(fabric().contexts_created, created + 1);
  EXPECT_EQ(net_.finalize(first), Result::kSuccess);
  EXPECT_EQ(fabric().contexts, 1);
  EXPECT_EQ(net_.finalize(second), Result::kSuccess);
  EXPECT_EQ(fabric().contexts, 0);
  EXPECT_EQ(net_.finalize(init()), Result::kSuccess);
  EXPECT_EQ(fabric().contexts_created, created + 2);
}

TEST_F(Lifecycle, TwoVersionsShareTheContext) {
  VersionedNet<Abi11> other(&ncclNetPlugin_v11);
  void* first = init();
  void* second = nullptr;
  ASSERT_EQ(other.init(&second, capture_log), Result::kSuccess);
  EXPECT_EQ(fabric().contexts, 1);
  EXPECT_EQ(net_.finalize(first), Result::kSuccess);
  EXPECT_EQ(fabric().contexts, 1);
  EXPECT_EQ(other.finalize(second), Result::kSuccess);
}

TEST_F(Lifecycle, FinalizingTwiceIsAnErrorAndAFailedInitsNullIsNot) {
  void* context = init();
  EXPECT_EQ(net_.finalize(context), Result::kSuccess);
  EXPECT_EQ(net_.finalize(context), Result::kInvalidArgument);
  EXPECT_EQ(net_.finalize(nullptr), Result::kSuccess);
}

TEST_F(Lifecycle, TheBannerIsOneLine) {
  fabric().devices = {{"eth0", "10.0.0.1", 25000, ""}, {"eth1", "10.0.1.1", 25000, ""}};
  void* first = init();
  void* second = init();
  const std::vector<LogLine> lines = take_log();
  EXPECT_EQ(count_lines(lines, LogLevel::kInfo, "Weft "), 1);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].subsystems, kLogInit | kLogNet);
  for (const char* part : {"ABI v12", "2 planes", "eth0 10.0.0.1 (25000 Mb/s)", "eth1 10.0.1.1", "4 paths",
                           "16", "32 requests x 8", "1800 ms"}) {
    EXPECT_THAT(lines[0].text, testing::HasSubstr(part));
  }
  EXPECT_EQ(net_.finalize(first), Result::kSuccess);
  EXPECT_EQ(net_.finalize(second), Result::kSuccess);
}

TEST_F(Lifecycle, ABadVariableIsReportedAndCanBeCorrected) {
  fabric().configuration = Status(StatusCode::kBadConfiguration, "WEFT_MAX_PATHS=99: use 1..64");
  void* context = nullptr;
  EXPECT_EQ(net_.init(&context, capture_log), Result::kInvalidUsage);
  EXPECT_EQ(context, nullptr);
  EXPECT_EQ(count_lines(take_log(), LogLevel::kWarn, "WEFT_MAX_PATHS=99: use 1..64"), 1);
  fabric().configuration = {};
  EXPECT_EQ(net_.finalize(init()), Result::kSuccess);
}

TEST_F(Lifecycle, WithoutAnyInterfaceInitFailsAndLeavesNcclsProtocolAlone) {
  unsetenv("NCCL_PROTO");
  fabric().creation = Status(StatusCode::kUnreachable, "no interface is up");
  void* context = nullptr;
  EXPECT_EQ(net_.init(&context, capture_log), Result::kSystemError);
  EXPECT_EQ(count_lines(take_log(), LogLevel::kWarn, "no interface is up"), 1);
  EXPECT_EQ(std::getenv("NCCL_PROTO"), nullptr);
}

TEST_F(Lifecycle, SimpleIsSetWhereTheUserSaidNothing) {
  unsetenv("NCCL_PROTO");
  void* context = init();
  EXPECT_STREQ(std::getenv("NCCL_PROTO"), "Simple");
  EXPECT_EQ(count_lines(take_log(), LogLevel::kInfo, "set NCCL_PROTO=Simple"), 1);
  EXPECT_EQ(net_.finalize(context), Result::kSuccess);
}

TEST_F(Lifecycle, AnotherProtocolOfTheUsersIsKeptWithAWarning) {
  setenv("NCCL_PROTO", "LL128", 1);
  void* context = init();
  EXPECT_STREQ(std::getenv("NCCL_PROTO"), "LL128");
  EXPECT_EQ(count_lines(take_log(), LogLevel::kWarn, "NCCL_PROTO=LL128"), 1);
  EXPECT_EQ(net_.finalize(context), Result::kSuccess);
}

TEST_F(Lifecycle, NcclDecidesWhatIsShownUnlessWeftIsAsked) {
  EXPECT_EQ(net_.finalize(init()), Result::kSuccess);
  EXPECT_EQ(fabric().log_level, weft::LogLevel::kInfo);
  setenv("WEFT_DEBUG", "WARN", 1);
  EXPECT_EQ(net_.finalize(init()), Result::kSuccess);
  EXPECT_EQ(fabric().log_level, weft::LogLevel::kWarn);  // Config's default: the fake reads no environment
}

TEST_F(Lifecycle, LinesOfTheContextReachNccl) {
  void* context = init();
  take_log();
  fabric().log(weft::LogLevel::kError, "e");
  fabric().log(weft::LogLevel::kWarn, "w 100 %s");
  fabric().log(weft::LogLevel::kInfo, "i");
  const std::vector<LogLine> lines = take_log();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].level, LogLevel::kWarn);
  EXPECT_EQ(lines[1].text, "NET/Weft : w 100 %s");
  EXPECT_EQ(lines[2].level, LogLevel::kInfo);
  EXPECT_EQ(lines[2].subsystems, kLogNet);
  EXPECT_EQ(net_.finalize(context), Result::kSuccess);
}

TEST_F(Lifecycle, HalfOpenConnectsGoWithTheirCommunicator) {
  fabric().polls_until_connected = 10;
  void* first = init();
  void* second = init();
  std::array<unsigned char, kHandleBytes> handles[2];
  void* listeners[2];
  void* comm = nullptr;
  ASSERT_EQ(net_.listen(first, handles[0].data(), &listeners[0]), Result::kSuccess);
  ASSERT_EQ(net_.listen(second, handles[1].data(), &listeners[1]), Result::kSuccess);
  ASSERT_EQ(net_.connect(first, handles[0].data(), &comm), Result::kSuccess);
  ASSERT_EQ(net_.connect(second, handles[1].data(), &comm), Result::kSuccess);
  EXPECT_EQ(fabric().connectors, 2);
  EXPECT_EQ(fabric().listeners, 2);
  EXPECT_EQ(net_.finalize(first), Result::kSuccess);
  EXPECT_EQ(fabric().connectors, 1);
  EXPECT_EQ(fabric().listeners, 1);
  // The dropped listener says so; the other one is untouched.
  EXPECT_EQ(net_.accept(listeners[0], &comm), Result::kInvalidArgument);
  EXPECT_EQ(net_.accept(listeners[1], &comm), Result::kSuccess);
  EXPECT_EQ(net_.finalize(second), Result::kSuccess);
  EXPECT_EQ(fabric().connectors, 0);
  EXPECT_EQ(fabric().listeners, 0);
  EXPECT_EQ(net_.table().close_listen(listeners[1]), Result::kInvalidArgument);
}

TEST_F(Lifecycle, OpenConnectionsOutliveOneCommunicatorAndGoWithTheLast) {
  void* first = init();
  void* second = init();
  std::array<unsigned char, kHandleBytes> handle;
  void *listener, *send, *recv;
  ASSERT_EQ(net_.listen(first, handle.data(), &listener), Result::kSuccess);
  ASSERT_EQ(net_.connect(first, handle.data(), &send), Result::kSuccess);
  ASSERT_EQ(net_.accept(listener, &recv), Result::kSuccess);
  EXPECT_EQ(net_.finalize(first), Result::kSuccess);
  EXPECT_EQ(fabric().connections, 2);
  void* request = nullptr;
  char byte = 1;
  EXPECT_EQ(net_.isend(send, &byte, 1, 0, nullptr, &request), Result::kSuccess);
  EXPECT_NE(request, nullptr);
  EXPECT_EQ(net_.finalize(second), Result::kSuccess);
  EXPECT_EQ(fabric().connections, 0);
}

TEST_F(Lifecycle, AfterTheLastFinalizeNothingCanBeOpened) {
  EXPECT_EQ(net_.finalize(init()), Result::kSuccess);
  std::array<unsigned char, kHandleBytes> handle{};
  void* comm = nullptr;
  EXPECT_EQ(net_.listen(nullptr, handle.data(), &comm), Result::kInvalidArgument);
  EXPECT_EQ(net_.connect(nullptr, handle.data(), &comm), Result::kInvalidArgument);
}

// Must stay the last: there is no way back from a version without finalize.
TEST_F(Lifecycle, ZAnOlderVersionKeepsTheContextForEver) {
  VersionedNet<Abi8> old(&ncclNetPlugin_v8);
  void* unused = nullptr;
  ASSERT_EQ(old.init(&unused, capture_log), Result::kSuccess);
  EXPECT_EQ(net_.finalize(init()), Result::kSuccess);
  EXPECT_EQ(fabric().contexts, 1);
  fabric().contexts = 0;
}

}  // namespace
}  // namespace weft::nccl
