// Memory of GPUs where there is no RDMA: refused at once, with the reason, and nothing is half done.
#include <vector>

#include "tests/engine/loopback.h"

namespace weft::loopback {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Config over_tcp() {
  Config config;
  config.transport = TransportChoice::kTcp;
  config.interfaces = "=lo";
  config.address_family = 4;
  return config;
}

TEST(DeviceMemoryOverTcp, IsRefusedAndSpoilsNothing) {
  auto near = make_context(over_tcp()), far = make_context(over_tcp());
  ASSERT_TRUE(near && far);
  auto listener = listen(*far);
  ASSERT_TRUE(listener);
  Pair pair = connect(*near, *listener);
  ASSERT_TRUE(pair.connected && pair.accepted);
  Bytes memory(4096);
  for (Connection* connection : {pair.connected.get(), pair.accepted.get()}) {
    EXPECT_TRUE(connection->carries(MemoryKind::kHost));
    const Status carries = connection->carries(MemoryKind::kDevice);
    EXPECT_EQ(carries.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(carries.message(),
                AllOf(HasSubstr("127.0.0.1"), HasSubstr("over TCP"), HasSubstr("WEFT_TRANSPORT=tcp")));
    // More often than requests could be pending: none takes a place.
    for (int i = 0; i < 2 * kMaxPendingRequests; ++i) {
      ASSERT_EQ(connection->post_send(memory.data(), 100, 1, MemoryKind::kDevice), RequestId::kRefused);
      ASSERT_EQ(connection->post_receive(memory.data(), 100, 1, MemoryKind::kDevice), RequestId::kRefused);
      ASSERT_EQ(connection->post_flush(memory.data()), RequestId::kRefused);
    }
    const Completion refused = connection->test(RequestId::kRefused);
    EXPECT_TRUE(refused.done);
    EXPECT_EQ(refused.status, StatusCode::kInvalidArgument);
    EXPECT_TRUE(connection->error().is_ok());
  }
  expect_messages_pass(*pair.connected, *pair.accepted, 300000, 5);
}

TEST(DeviceMemoryOverTcp, CannotBeRegistered) {
  auto context = make_context(over_tcp());
  ASSERT_TRUE(context);
  EXPECT_FALSE(context->device_memory().any());
  EXPECT_THAT(context->device_memory().why_not, HasSubstr("WEFT_TRANSPORT=tcp"));
  Bytes memory(4096);
  for (int dmabuf : {-1, 0}) {
    auto promise = context->promise_device_memory(memory.data(), memory.size(), dmabuf, 0);
    ASSERT_FALSE(promise);
    EXPECT_EQ(promise.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(promise.status().message(), HasSubstr("no RDMA port is in use"));
  }
}

TEST(DeviceMemoryOverTcp, AskedForByNameStopsTheStart) {
  Config config = over_tcp();
  config.rdma.gpu_direct = GpuDirectChoice::kOn;
  auto context = Context::create(config, {});
  ASSERT_FALSE(context);
  EXPECT_THAT(context.status().message(),
              AllOf(HasSubstr("WEFT_GPU_DIRECT=on"), HasSubstr("no RDMA port is in use")));
}

}  // namespace
}  // namespace weft::loopback
