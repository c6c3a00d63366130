// Parts of the plugin that need no table: NCCL_PROTO, device properties, tickets of connects, result codes.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdint>

#include "plugins/nccl_net/abi/net_v12.h"
#include "plugins/nccl_net/abi/net_v6.h"
#include "plugins/nccl_net/connect_state.h"
#include "plugins/nccl_net/device_properties.h"
#include "plugins/nccl_net/memory_handle.h"
#include "plugins/nccl_net/result.h"
#include "plugins/nccl_net/simple_protocol.h"

namespace weft::nccl_net {
namespace {

using std::chrono::seconds;

TEST(SimpleProtocol, KnowsTheValuesThatExcludeFlags) {
  EXPECT_EQ(judge_protocol(nullptr), ProtocolChoice::kUnset);
  EXPECT_EQ(judge_protocol(""), ProtocolChoice::kUnset);
  for (const char* value : {"Simple", "simple", "SIMPLE", " Simple ", "^LL,LL128", "^ll128, ll"}) {
    EXPECT_EQ(judge_protocol(value), ProtocolChoice::kSimpleOnly) << value;
  }
  for (const char* value : {"LL", "LL128", "^LL", "^LL128", "^Simple", "LL,Simple", "Simple,LL128"}) {
    EXPECT_EQ(judge_protocol(value), ProtocolChoice::kMayUseFlags) << value;
  }
}

TEST(DescribeDevice, BundlesThePlanes) {
  const DeviceProperties device =
      describe_device({{"eth0", "10.0.0.1", 25000, ""}, {"eth1", "10.1.0.1", 100000, ""}});
  EXPECT_STREQ(device.name, "weft0");
  EXPECT_EQ(device.speed_mbps, 125000);
  EXPECT_EQ(device.pci_path, nullptr);
}

TEST(DescribeDevice, AnInterfaceWithTwoAddressesCountsOnce) {
  EXPECT_EQ(describe_device({{"eth0", "10.0.0.1", 25000, ""}, {"eth0", "fd00::1", 25000, ""}}).speed_mbps,
            25000);
}

TEST(DescribeDevice, TakesTheFirstPciDeviceAndStopsAtItsAddress) {
  const DeviceProperties device =
      describe_device({{"veth0", "10.0.0.1", 10000, ""},
                       {"odd0", "10.0.0.2", 10000, "/sys/devices/platform/odd"},
                       {"eth0", "10.0.0.3", 10000, "/sys/devices/pci0000:00/0000:00:03.0/virtio1"},
                       {"eth1", "10.0.0.4", 10000, "/sys/devices/pci0000:00/0000:3b:00.1"}});
  EXPECT_STREQ(device.pci_path, "/sys/devices/pci0000:00/0000:00:03.0");
  EXPECT_STREQ(
      describe_device({{"eth1", "10.0.0.4", 10000, "/sys/devices/pci0000:00/0000:3b:00.1"}}).pci_path,
      "/sys/devices/pci0000:00/0000:3b:00.1");
}

TEST(DescribeDevice, OffersWhatMemoryNicsReachAndAsksForFlushesThen) {
  struct {
    DeviceMemorySupport memory;
    int ptr_support, force_flush;
  } const cases[] = {{{false, false, "none"}, nccl::kPtrHost, 0},
                     {{true, false, ""}, nccl::kPtrHost | nccl::kPtrCuda, 1},
                     {{false, true, ""}, nccl::kPtrHost | nccl::kPtrDmaBuf, 1},
                     {{true, true, ""}, nccl::kPtrHost | nccl::kPtrCuda | nccl::kPtrDmaBuf, 1}};
  for (const auto& each : cases) {
    nccl::v12::Properties properties;
    fill_properties(describe_device({{"eth0", "10.0.0.1", 25000, ""}}, each.memory), &properties);
    EXPECT_EQ(properties.ptr_support, each.ptr_support);
    EXPECT_EQ(properties.force_flush, each.force_flush);
    nccl::v6::Properties old;
    fill_properties(describe_device({{"eth0", "10.0.0.1", 25000, ""}}, each.memory), &old);
    EXPECT_EQ(old.ptr_support, each.ptr_support);
  }
}

TEST(MemoryHandle, TellsTheKindWithoutBeingLookedUp) {
  const LastingMemory memory;
  EXPECT_EQ(memory_kind(memory_handle(&memory, MemoryKind::kHost)), MemoryKind::kHost);
  EXPECT_EQ(memory_kind(memory_handle(&memory, MemoryKind::kDevice)), MemoryKind::kDevice);
  EXPECT_EQ(memory_kind(nullptr), MemoryKind::kHost);
}

// Stands for a connect under way and tells when it was ended.
class CountedConnector final : public Connector {
 public:
  explicit CountedConnector(int* alive) : alive_(alive) { ++*alive_; }
  ~CountedConnector() override { --*alive_; }
  Result<std::unique_ptr<Connection>> poll() override { return std::unique_ptr<Connection>(); }

 private:
  int* alive_;
};

class PendingConnectsTest : public testing::Test {
 protected:
  ConnectTicket add(const void* owner, PendingConnects::Clock::time_point now = {}) {
    return connects_.add(std::make_unique<CountedConnector>(&alive_), owner, now);
  }

  int alive_ = 0;
  int owner_ = 0;
  PendingConnects connects_;
};

TEST_F(PendingConnectsTest, FindsByTicketOnly) {
  const ConnectTicket first = add(nullptr), second = add(nullptr);
  EXPECT_NE(connects_.find(first, {}), nullptr);
  EXPECT_NE(connects_.find(first, {}), connects_.find(second, {}));
  EXPECT_EQ(connects_.find({}, {}), nullptr);
  EXPECT_EQ(connects_.find({first.process + 1, first.number}, {}), nullptr);
  EXPECT_EQ(connects_.find({first.process, 1000}, {}), nullptr);
  connects_.remove(first);
  EXPECT_EQ(connects_.find(first, {}), nullptr);
  EXPECT_EQ(alive_, 1);
}

TEST_F(PendingConnectsTest, AForeignTicketRemovesNothing) {
  const ConnectTicket ticket = add(nullptr);
  connects_.remove({ticket.process ^ 1, ticket.number});
  EXPECT_EQ(alive_, 1);
}

TEST_F(PendingConnectsTest, GoWithTheirOwner) {
  add(nullptr);
  add(&owner_);
  add(&owner_);
  connects_.remove_all_of(&owner_);
  EXPECT_EQ(alive_, 1);
  connects_.remove_all();
  EXPECT_EQ(alive_, 0);
}

TEST_F(PendingConnectsTest, AreAbandonedWhenNobodyAsks) {
  const PendingConnects::Clock::time_point start{};
  add(nullptr, start);
  const ConnectTicket asked = add(nullptr, start);
  connects_.find(asked, start + seconds(10));
  connects_.remove_abandoned(start + seconds(10), seconds(10));
  EXPECT_EQ(connects_.size(), 2u);
  connects_.remove_abandoned(start + seconds(11), seconds(10));
  EXPECT_EQ(connects_.size(), 1u);
  EXPECT_NE(connects_.find(asked, start + seconds(11)), nullptr);
}

TEST(Handle, HoldsTheAddressAndATicketAtAnyAlignment) {
  std::array<unsigned char, nccl::kHandleBytes + 1> memory;
  memory.fill(0xff);
  void* handle = memory.data() + 1;
  Address address;
  for (std::size_t i = 0; i < Address::kBytes; ++i) address.bytes[i] = static_cast<std::byte>(i);
  write_handle(address, handle);
  EXPECT_EQ(address_of(handle).bytes, address.bytes);
  EXPECT_EQ(ticket_of(handle).process, 0u);
  EXPECT_EQ(ticket_of(handle).number, 0u);
  set_ticket({11, 22}, handle);
  EXPECT_EQ(ticket_of(handle).process, 11u);
  EXPECT_EQ(ticket_of(handle).number, 22u);
  EXPECT_EQ(address_of(handle).bytes, address.bytes);
  EXPECT_EQ(memory[0], 0xff);
}

TEST(ToResult, TellsWhoseFaultItIs) {
  EXPECT_EQ(to_result(StatusCode::kOk), nccl::Result::kSuccess);
  EXPECT_EQ(to_result(StatusCode::kPeerLost), nccl::Result::kRemoteError);
  EXPECT_EQ(to_result(StatusCode::kProtocolError), nccl::Result::kRemoteError);
  EXPECT_EQ(to_result(StatusCode::kTruncated), nccl::Result::kInvalidUsage);
  EXPECT_EQ(to_result(StatusCode::kBadConfiguration), nccl::Result::kInvalidUsage);
  EXPECT_EQ(to_result(StatusCode::kUnreachable), nccl::Result::kSystemError);
  EXPECT_EQ(to_result(StatusCode::kInternal), nccl::Result::kInternalError);
}

}  // namespace
}  // namespace weft::nccl_net
