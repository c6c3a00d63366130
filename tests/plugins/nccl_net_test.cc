// The plugin's own work, in every table version, over a fake fabric: what it writes, keeps, reclaims and
// says.
#include <numeric>

#include "tests/plugins/plugin_fixture.h"

namespace weft::nccl {
namespace {

TYPED_TEST_SUITE(NcclNet, Versions);

TYPED_TEST(NcclNet, IsCalledWeftAndShowsOneDevice) {
  EXPECT_STREQ(this->net_.table().name, "weft");
  int count = 77;
  ASSERT_EQ(this->net_.table().devices(&count), Result::kSuccess);
  EXPECT_EQ(count, 1);
}

TYPED_TEST(NcclNet, FillsEveryPropertyOfAGarbageStruct) {
  typename TypeParam::Properties ones, zeros;
  std::memset(&ones, 0xff, sizeof ones);
  std::memset(&zeros, 0, sizeof zeros);
  ASSERT_EQ(this->net_.table().get_properties(0, &ones), Result::kSuccess);
  ASSERT_EQ(this->net_.table().get_properties(0, &zeros), Result::kSuccess);
  EXPECT_EQ(std::memcmp(&ones, &zeros, sizeof ones), 0);
  EXPECT_STREQ(ones.name, "weft0");
  EXPECT_EQ(ones.ptr_support, kPtrHost);
  EXPECT_GT(ones.speed_mbps, 0);
  EXPECT_EQ(ones.max_recvs, 8);
  EXPECT_GE(ones.max_comms, 1024);
  if constexpr (requires { ones.virtual_device; }) {
    EXPECT_EQ(ones.virtual_device.device_count, 1);
    EXPECT_EQ(ones.virtual_device.devices[0], 0);
    EXPECT_EQ(ones.max_p2p_bytes, kDefaultMaxP2pBytes);
    EXPECT_EQ(ones.max_coll_bytes, kDefaultMaxCollBytes);
  }
  if constexpr (requires { ones.rail_id; }) {
    EXPECT_EQ(ones.rail_id, -1);
    EXPECT_EQ(ones.plane_id, -1);
  }
}

TYPED_TEST(NcclNet, RefusesADeviceThatIsNotThere) {
  typename TypeParam::Properties properties;
  EXPECT_EQ(this->net_.table().get_properties(1, &properties), Result::kInvalidArgument);
  EXPECT_EQ(this->net_.table().get_properties(-1, &properties), Result::kInvalidArgument);
  void* comm = kStale;
  EXPECT_EQ(this->net_.listen(this->context_, this->handle_.data(), &comm, 1), Result::kInvalidArgument);
  EXPECT_EQ(comm, nullptr);
  comm = kStale;
  EXPECT_EQ(this->net_.connect(this->context_, this->handle_.data(), &comm, 1), Result::kInvalidArgument);
  EXPECT_EQ(comm, nullptr);
  EXPECT_EQ(count_lines(take_log(), LogLevel::kWarn, "there is no device"), 4);
}

TYPED_TEST(NcclNet, ConnectKeepsItsStateInTheHandleUntilItIsThere) {
  fabric().polls_until_connected = 1000;
  this->listen();
  EXPECT_EQ(std::count(this->handle_.end() - 16, this->handle_.end(), 0), 16);
  for (int i = 0; i < 1000; ++i) {
    void* comm = kStale;
    ASSERT_EQ(this->net_.connect(this->context_, this->handle_.data(), &comm), Result::kSuccess);
    ASSERT_EQ(comm, nullptr);
    ASSERT_EQ(fabric().connectors, 1);
  }
  ASSERT_EQ(this->net_.connect(this->context_, this->handle_.data(), &this->send_), Result::kSuccess);
  EXPECT_NE(this->send_, nullptr);
  EXPECT_EQ(fabric().connectors, 0);
  EXPECT_EQ(std::count(this->handle_.end() - 16, this->handle_.end(), 0), 16);
  for (int i = 0; i < 1000; ++i) {
    void* comm = kStale;
    ASSERT_EQ(this->net_.accept(this->listen_, &comm), Result::kSuccess);
    ASSERT_EQ(comm, nullptr);
  }
  ASSERT_EQ(this->net_.accept(this->listen_, &this->recv_), Result::kSuccess);
  EXPECT_NE(this->recv_, nullptr);
}

TYPED_TEST(NcclNet, AHandleWithForeignStateBeginsAFreshConnect) {
  this->listen();
  std::fill(this->handle_.end() - 16, this->handle_.end(), 0x5a);
  ASSERT_EQ(this->net_.connect(this->context_, this->handle_.data(), &this->send_), Result::kSuccess);
  EXPECT_NE(this->send_, nullptr);
}

TYPED_TEST(NcclNet, AFailedConnectSaysWhyAndLeavesNothing) {
  this->listen();
  fabric().connecting = Status(StatusCode::kUnreachable, "no way to 10.0.0.2");
  void* comm = kStale;
  EXPECT_EQ(this->net_.connect(this->context_, this->handle_.data(), &comm), Result::kSystemError);
  EXPECT_EQ(comm, nullptr);
  EXPECT_EQ(fabric().connectors, 0);
  EXPECT_EQ(count_lines(take_log(), LogLevel::kWarn, "no way to 10.0.0.2"), 1);
  fabric().connecting = {};
  ASSERT_EQ(this->net_.connect(this->context_, this->handle_.data(), &this->send_), Result::kSuccess);
  EXPECT_NE(this->send_, nullptr);
}

TYPED_TEST(NcclNet, CarriesAMessageAndTellsItsSize) {
  this->connect_pair();
  // Closing at once after accept is what NCCL does.
  ASSERT_EQ(this->net_.table().close_listen(this->listen_), Result::kSuccess);
  this->listen_ = nullptr;
  void* send = this->isend("hello", 7);
  void* recv = this->irecv({this->buffer_.data()}, 100, {7});
  int size = -1;
  EXPECT_TRUE(this->is_done(recv, &size));
  EXPECT_EQ(size, 5);
  EXPECT_STREQ(this->buffer_.data(), "hello");
  size = -1;
  EXPECT_TRUE(this->is_done(send, &size));
  EXPECT_EQ(size, 5);
}

TYPED_TEST(NcclNet, ZeroBytesAreAMessage) {
  this->connect_pair();
  void* recv = this->irecv({nullptr}, 0, {0});
  EXPECT_FALSE(this->is_done(recv));
  void* send = this->isend("", 0);
  int size = -1;
  EXPECT_TRUE(this->is_done(recv, &size));
  EXPECT_EQ(size, 0);
  EXPECT_TRUE(this->is_done(send, nullptr));
}

TYPED_TEST(NcclNet, GroupedReceivesFillByTag) {
  this->connect_pair();
  char* base = this->buffer_.data();
  // Equal tags in one group occur: they fill in order.
  void* first = this->irecv({base, base + 100, base + 200}, 100, {5, 9, 5});
  void* second = this->irecv({base + 300, base + 400}, 100, {9, 5});
  std::vector<void*> sends;
  for (const auto& [text, tag] : {std::pair("nine", 9), {"five a", 5}, {"nine again", 9}, {"five bb", 5}}) {
    sends.push_back(this->isend(text, tag));
  }
  int sizes[3] = {-1, -1, -1};
  EXPECT_TRUE(this->is_done(first, sizes));
  EXPECT_THAT(sizes, testing::ElementsAre(6, 4, 7));
  EXPECT_STREQ(base, "five a");
  EXPECT_STREQ(base + 100, "nine");
  EXPECT_STREQ(base + 200, "five bb");
  EXPECT_FALSE(this->is_done(second, sizes));
  sends.push_back(this->isend("five c", 5));
  EXPECT_TRUE(this->is_done(second, sizes));
  EXPECT_STREQ(base + 300, "nine again");
  EXPECT_STREQ(base + 400, "five c");
  for (void* send : sends) EXPECT_TRUE(this->is_done(send));
}

TYPED_TEST(NcclNet, MoreThanEightGroupedReceivesAreRefused) {
  this->connect_pair();
  void* request = kOptional;
  EXPECT_EQ(this->net_.irecv(this->recv_, std::vector<void*>(9), std::vector<size_t>(9), std::vector<int>(9),
                             this->mhandle_, &request),
            Result::kInvalidArgument);
  EXPECT_EQ(request, nullptr);
}

TYPED_TEST(NcclNet, TheThirtyThirdRequestIsNullAndNoError) {
  this->connect_pair();
  fabric().deliver = false;
  std::vector<void*> sends, receives;
  std::vector<void*> eight(8, this->buffer_.data());
  std::vector<int> tags(8);
  std::iota(tags.begin(), tags.end(), 0);
  for (int i = 0; i < 32; ++i) {
    sends.push_back(this->isend("x", i % 8));
    receives.push_back(this->irecv(eight, 1, tags));
    ASSERT_NE(sends.back(), nullptr);
    ASSERT_NE(receives.back(), nullptr);
    ASSERT_NE(receives.back(), kOptional);
  }
  EXPECT_EQ(this->isend("x", 0), nullptr);
  EXPECT_EQ(this->irecv({this->buffer_.data()}, 1, {0}), nullptr);
  EXPECT_FALSE(this->is_done(sends[0]));
  fabric().deliver = true;
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(this->is_done(receives[static_cast<size_t>(i)]));
  EXPECT_FALSE(this->is_done(receives[4]));
  for (void* send : sends) EXPECT_TRUE(this->is_done(send));
  EXPECT_NE(this->isend("y", 0), nullptr);
  EXPECT_TRUE(count_lines(take_log(), LogLevel::kWarn, "") == 0);
}

TYPED_TEST(NcclNet, TestingARequestThatIsOverIsAnErrorNotACrash) {
  this->connect_pair();
  void* recv = this->irecv({this->buffer_.data()}, 1, {0});
  void* send = this->isend("x", 0);
  EXPECT_TRUE(this->is_done(recv));
  EXPECT_TRUE(this->is_done(send));
  for (void* request : {recv, send, static_cast<void*>(nullptr)}) {
    int done = 77;
    EXPECT_EQ(this->net_.table().test(request, &done, nullptr), Result::kInvalidArgument);
    EXPECT_EQ(done, 0);
  }
}

TYPED_TEST(NcclNet, AConnectionWithoutRoomGivesNull) {
  this->connect_pair();
  fabric().free_requests = 0;
  EXPECT_EQ(this->isend("x", 0), nullptr);
  EXPECT_EQ(this->irecv({this->buffer_.data()}, 1, {0}), nullptr);
}

TYPED_TEST(NcclNet, AGroupIsPostedWholeOrNotAtAll) {
  this->connect_pair();
  char* base = this->buffer_.data();
  fabric().free_requests = 3;
  EXPECT_EQ(this->irecv({base, base + 8, base + 16, base + 24}, 8, {1, 2, 3, 4}), nullptr);
  // Had some of them been posted, there would be no room for these.
  void* request = this->irecv({base, base + 8, base + 16}, 8, {1, 2, 3});
  ASSERT_NE(request, nullptr);
  for (int tag : {1, 2, 3}) this->isend("x", tag);
  EXPECT_TRUE(this->is_done(request));
  EXPECT_EQ(count_lines(take_log(), LogLevel::kWarn, ""), 0);
}

TYPED_TEST(NcclNet, ALostPeerIsARemoteErrorThatIsLoggedOnce) {
  this->connect_pair();
  fabric().deliver = false;
  std::vector<void*> requests = {this->isend("x", 0), this->isend("y", 0)};
  fabric().failure = Status(StatusCode::kPeerLost, "every path to 10.0.0.2 is silent");
  requests.push_back(this->isend("z", 0));
  for (void* request : requests) {
    int done = 77;
    EXPECT_EQ(this->net_.table().test(request, &done, nullptr), Result::kRemoteError);
    EXPECT_EQ(done, 1);
  }
  EXPECT_EQ(count_lines(take_log(), LogLevel::kWarn, "every path to 10.0.0.2 is silent"), 1);
}

TYPED_TEST(NcclNet, ASendLargerThanItsReceiveIsWrongUsageOnBothSides) {
  this->connect_pair();
  void* send = this->isend("much too long", 0);
  void* recv = this->irecv({this->buffer_.data()}, 4, {0});
  int done = 77;
  EXPECT_EQ(this->net_.table().test(recv, &done, nullptr), Result::kInvalidUsage);
  EXPECT_EQ(this->net_.table().test(send, &done, nullptr), Result::kInvalidUsage);
  EXPECT_EQ(count_lines(take_log(), LogLevel::kWarn, "larger than the receive"), 2);
  EXPECT_EQ(this->buffer_[0], '\0');
  send = this->isend("ok", 0);
  recv = this->irecv({this->buffer_.data()}, 4, {0});
  EXPECT_TRUE(this->is_done(recv));
  EXPECT_TRUE(this->is_done(send));
}

TYPED_TEST(NcclNet, ClosesWithRequestsInFlight) {
  this->connect_pair();
  fabric().deliver = false;
  this->isend("x", 0);
  this->irecv({this->buffer_.data(), this->buffer_.data() + 8}, 8, {1, 2});
  EXPECT_EQ(this->net_.table().close_send(this->send_), Result::kSuccess);
  EXPECT_EQ(this->net_.table().close_recv(this->recv_), Result::kSuccess);
  EXPECT_EQ(fabric().connections, 0);
  this->send_ = this->recv_ = nullptr;
}

TYPED_TEST(NcclNet, ClosingTwiceIsAnErrorNotACrash) {
  this->connect_pair();
  EXPECT_EQ(this->net_.table().close_send(this->send_), Result::kSuccess);
  EXPECT_EQ(this->net_.table().close_send(this->send_), Result::kInvalidArgument);
  this->send_ = nullptr;
  EXPECT_EQ(this->net_.table().close_listen(this->listen_), Result::kSuccess);
  EXPECT_EQ(this->net_.table().close_listen(this->listen_), Result::kInvalidArgument);
  this->listen_ = nullptr;
}

TYPED_TEST(NcclNet, AllCommunicatorsShareOneContext) {
  const int created = fabric().contexts_created;
  void* second = kStale;
  ASSERT_EQ(this->net_.init(&second, capture_log), Result::kSuccess);
  EXPECT_EQ(fabric().contexts_created, created);
  EXPECT_EQ(fabric().contexts, 1);
  EXPECT_EQ(this->net_.finalize(second), Result::kSuccess);
  EXPECT_EQ(fabric().contexts, 1);
}

}  // namespace
}  // namespace weft::nccl
