// What memory the plugin registers, moves and flushes, in every table version, over a fake fabric.
#include "tests/plugins/plugin_fixture.h"

namespace weft::nccl {
namespace {

TYPED_TEST_SUITE(NcclNet, Versions);

TYPED_TEST(NcclNet, OnlyHostMemoryIsRegisteredWhereNicsCannotReachAnyOther) {
  this->connect_pair();
  void* mhandle = kStale;
  EXPECT_EQ(this->net_.table().reg_mr(this->send_, this->buffer_.data(), 64, kPtrCuda, &mhandle),
            Result::kInvalidArgument);
  EXPECT_EQ(mhandle, nullptr);
  EXPECT_EQ(count_lines(take_log(), LogLevel::kWarn, "there is none in here"), 1);
  mhandle = kStale;
  EXPECT_EQ(
      this->net_.table().reg_mr_dma_buf(this->send_, this->buffer_.data(), 64, kPtrCuda, 0, 5, &mhandle),
      Result::kInvalidArgument);
  EXPECT_EQ(mhandle, nullptr);
  take_log();
  EXPECT_EQ(this->net_.table().reg_mr(this->send_, this->buffer_.data(), 64, kPtrHost, &mhandle),
            Result::kSuccess);
  EXPECT_NE(mhandle, nullptr);
  EXPECT_EQ(this->net_.table().dereg_mr(this->send_, mhandle), Result::kSuccess);
}

TYPED_TEST(NcclNet, FlushingHostMemoryNeedsNoRequest) {
  this->connect_pair();
  void* request = kStale;
  void* data = this->buffer_.data();
  int size = 8;
  EXPECT_EQ(this->net_.table().iflush(this->recv_, 1, &data, &size, &this->mhandle_, &request),
            Result::kSuccess);
  EXPECT_EQ(request, nullptr);
}

TYPED_TEST(NcclNet, CarriesAndFlushesGpuMemory) {
  fabric().device_memory = {true, true, ""};
  this->connect_pair();
  void *plain = kStale, *dmabuf = kStale;
  ASSERT_EQ(this->net_.table().reg_mr(this->send_, this->buffer_.data(), 64, kPtrCuda, &plain),
            Result::kSuccess);
  ASSERT_EQ(this->net_.table().reg_mr_dma_buf(this->recv_, this->buffer_.data(), 64, kPtrCuda, 0, 7, &dmabuf),
            Result::kSuccess);
  EXPECT_THAT(fabric().dmabufs, testing::ElementsAre(-1, 7));
  std::string text = "from a GPU";
  void *send = kStale, *recv = kStale, *flush = kStale;
  ASSERT_EQ(this->net_.isend(this->send_, text.data(), text.size(), 3, plain, &send), Result::kSuccess);
  ASSERT_EQ(this->net_.irecv(this->recv_, {this->buffer_.data()}, {64}, {3}, dmabuf, &recv),
            Result::kSuccess);
  EXPECT_THAT(fabric().posted, testing::ElementsAre(MemoryKind::kDevice, MemoryKind::kDevice));
  EXPECT_TRUE(this->is_done(recv));
  EXPECT_TRUE(this->is_done(send));
  // NCCL need not call iflush in versions in which it cannot be told to.
  if (TypeParam::kVersion < 9) {
    EXPECT_EQ(fabric().flushes, 1);
  }
  const int before = fabric().flushes;
  void* data = this->buffer_.data();
  int size = 10;
  fabric().deliver = false;
  ASSERT_EQ(this->net_.table().iflush(this->recv_, 1, &data, &size, &dmabuf, &flush), Result::kSuccess);
  ASSERT_NE(flush, nullptr);
  EXPECT_EQ(fabric().flushes, before + 1);
  EXPECT_FALSE(this->is_done(flush));
  fabric().deliver = true;
  EXPECT_TRUE(this->is_done(flush));
  size = 0;  // nothing came
  flush = kStale;
  ASSERT_EQ(this->net_.table().iflush(this->recv_, 1, &data, &size, &dmabuf, &flush), Result::kSuccess);
  EXPECT_EQ(flush, nullptr);
  EXPECT_EQ(this->net_.table().dereg_mr(this->send_, plain), Result::kSuccess);
  EXPECT_EQ(this->net_.table().dereg_mr(this->recv_, dmabuf), Result::kSuccess);
}

// Flushes have requests of their own: as many as there can be receives that wait for one.
TYPED_TEST(NcclNet, FlushesBeyondTheLimitAreAnErrorForNullWouldSayDone) {
  fabric().device_memory = {true, false, ""};
  this->connect_pair();
  void* mhandle = nullptr;
  ASSERT_EQ(this->net_.table().reg_mr(this->recv_, this->buffer_.data(), 64, kPtrCuda, &mhandle),
            Result::kSuccess);
  void* data = this->buffer_.data();
  int size = 8;
  std::vector<void*> flushes(kMaxRequests);
  for (void*& flush : flushes) {
    ASSERT_EQ(this->net_.table().iflush(this->recv_, 1, &data, &size, &mhandle, &flush), Result::kSuccess);
    ASSERT_NE(flush, nullptr);
  }
  void* one_more = kStale;
  EXPECT_EQ(this->net_.table().iflush(this->recv_, 1, &data, &size, &mhandle, &one_more),
            Result::kInternalError);
  EXPECT_EQ(one_more, nullptr);
  EXPECT_EQ(count_lines(take_log(), LogLevel::kWarn, "flushes are pending"), 1);
  for (void* flush : flushes) EXPECT_TRUE(this->is_done(flush));
  EXPECT_EQ(this->net_.table().dereg_mr(this->recv_, mhandle), Result::kSuccess);
}

TYPED_TEST(NcclNet, GpuMemoryOnAConnectionThatCannotCarryItIsRefused) {
  fabric().device_memory = {true, true, ""};
  this->connect_pair();
  void* mhandle = nullptr;
  ASSERT_EQ(this->net_.table().reg_mr(this->send_, this->buffer_.data(), 64, kPtrCuda, &mhandle),
            Result::kSuccess);
  fabric().carries_device_memory = {StatusCode::kInvalidArgument,
                                    "the connection to peer 10.0.0.9 runs over TCP"};
  void* other = kStale;
  EXPECT_EQ(this->net_.table().reg_mr(this->send_, this->buffer_.data(), 64, kPtrCuda, &other),
            Result::kInvalidArgument);
  EXPECT_EQ(other, nullptr);
  const auto said = take_log();
  EXPECT_EQ(count_lines(said, LogLevel::kWarn, "peer 10.0.0.9 runs over TCP"), 1);
  EXPECT_EQ(count_lines(said, LogLevel::kWarn, "WEFT_GPU_DIRECT=off"), 1);
  void *send = kStale, *recv = kStale;
  std::string text = "x";
  EXPECT_EQ(this->net_.isend(this->send_, text.data(), 1, 3, mhandle, &send), Result::kInvalidArgument);
  EXPECT_EQ(this->net_.irecv(this->recv_, {this->buffer_.data()}, {64}, {3}, mhandle, &recv),
            Result::kInvalidArgument);
  EXPECT_EQ(send, nullptr);
  EXPECT_EQ(recv, nullptr);
  EXPECT_TRUE(fabric().posted.empty());
  EXPECT_EQ(this->net_.table().dereg_mr(this->send_, mhandle), Result::kSuccess);
}

}  // namespace
}  // namespace weft::nccl
