// Messages from and to memory that the CPU must not touch (untouchable_memory.h), over the transport that
// WEFT_TEST_VERBS names, in an emulated machine (with_peer_memory).
#include <algorithm>
#include <memory>
#include <vector>

#include "tests/engine/loopback.h"
#include "tests/verbs/untouchable_memory.h"
#include "transport/verbs/wire.h"

namespace weft::loopback {
namespace {

using verbs::UntouchableMemory;

// Chunks of loopback::config().
constexpr std::size_t kChunk = 64 * 1024;
constexpr std::byte kUntouched{0xee};

// A buffer of either kind.
struct Buffer {
  Buffer(Context& context, MemoryKind memory_kind, std::size_t bytes) : kind(memory_kind) {
    if (kind == MemoryKind::kDevice) {
      device = std::make_unique<UntouchableMemory>(context, bytes);
    } else {
      host.resize(std::max<std::size_t>(1, bytes));
    }
    std::fill(all().begin(), all().end(), kUntouched);
  }
  std::span<std::byte> all() { return device ? device->bytes() : std::span(host); }
  std::byte* at() { return all().data(); }
  void hide() {
    if (device) device->hide();
  }
  void show() {
    if (device) device->show();
  }

  MemoryKind kind;
  std::unique_ptr<UntouchableMemory> device;
  Bytes host;
};

class DeviceMemory : public testing::Test {
 protected:
  void SetUp() override {
    first_ = make_context(config());
    second_ = make_context(config());
    ASSERT_TRUE(first_ && second_);
    ASSERT_TRUE(first_->device_memory().peer_memory) << first_->device_memory().why_not;
    listener_ = listen(*second_);
    ASSERT_TRUE(listener_);
    pair_ = connect(*first_, *listener_);
    ASSERT_TRUE(pair_.connected && pair_.accepted);
    ASSERT_TRUE(one().carries(MemoryKind::kDevice)) << one().carries(MemoryKind::kDevice).message();
  }
  Connection& one() { return *pair_.connected; }
  Connection& other() { return *pair_.accepted; }

  // From one to the other; `between` runs while it is under way.
  template <typename Between>
  void pass(MemoryKind from, MemoryKind to, std::size_t bytes, std::size_t capacity, unsigned seed,
            Between&& between) {
    SCOPED_TRACE(testing::Message() << bytes << " bytes into " << capacity << ", device memory "
                                    << (from == MemoryKind::kDevice ? "at the sender " : "")
                                    << (to == MemoryKind::kDevice ? "at the receiver" : ""));
    const Bytes sent = pattern(bytes, seed);
    Buffer out(*first_, from, bytes), in(*second_, to, capacity);
    std::copy(sent.begin(), sent.end(), out.at());
    out.hide();
    in.hide();
    const RequestId receive = other().post_receive(in.at(), capacity, seed, to);
    const RequestId send = one().post_send(out.at(), bytes, seed, from);
    ASSERT_GT(receive, RequestId::kRefused);
    ASSERT_GT(send, RequestId::kRefused);
    between();
    const Completion received = wait(other(), receive, one());
    ASSERT_EQ(received.status, StatusCode::kOk) << other().error().message();
    ASSERT_EQ(received.bytes, bytes);
    if (to == MemoryKind::kDevice) {
      const Completion flushed = wait(other(), other().post_flush(in.at()), one());
      ASSERT_EQ(flushed.status, StatusCode::kOk) << other().error().message();
    }
    ASSERT_EQ(wait(one(), send, other()).status, StatusCode::kOk) << one().error().message();
    out.show();
    in.show();
    ASSERT_TRUE(std::equal(sent.begin(), sent.end(), in.at()));
    ASSERT_TRUE(std::all_of(in.at() + bytes, in.at() + in.all().size(),
                            [](std::byte byte) { return byte == kUntouched; }));
  }
  void pass(MemoryKind from, MemoryKind to, std::size_t bytes, std::size_t capacity, unsigned seed) {
    pass(from, to, bytes, capacity, seed, [] {});
  }

  static constexpr std::pair<MemoryKind, MemoryKind> kWays[] = {{MemoryKind::kDevice, MemoryKind::kDevice},
                                                                {MemoryKind::kDevice, MemoryKind::kHost},
                                                                {MemoryKind::kHost, MemoryKind::kDevice},
                                                                {MemoryKind::kHost, MemoryKind::kHost}};

  std::unique_ptr<Context> first_, second_;
  std::unique_ptr<Listener> listener_;
  Pair pair_;
};

TEST_F(DeviceMemory, IsNotTouchedByTheCpu) {
  constexpr std::size_t kSmall = verbs::kSmallPayloadBytes;
  const std::size_t sizes[] = {0,      1,          8, kSmall, kSmall + 1, 4096,       kChunk - 1,
                               kChunk, kChunk + 1, 0, 8,      5 * kChunk, kSmall - 1, 16 * kChunk + 3};
  unsigned seed = 0;
  for (const auto& [from, to] : kWays) {
    for (std::size_t bytes : sizes) {
      pass(from, to, bytes, bytes, ++seed);
      pass(from, to, bytes, bytes + 300, ++seed);
      if (HasFatalFailure()) return;
    }
  }
}

// More than any queue has room for, so that small messages, chunks and announcements share their ways.
TEST_F(DeviceMemory, OfAWindowOfMessagesBothWays) {
  constexpr unsigned kMessages = 60;
  const auto size_of = [](unsigned i) {
    return i % 3 == 0 ? std::size_t{i} : std::size_t{i} * i * 61 % 200000;
  };
  const auto kind_of = [](unsigned i) { return i % 4 == 3 ? MemoryKind::kHost : MemoryKind::kDevice; };
  struct Message {
    Bytes sent;
    std::unique_ptr<Buffer> out, in;
    RequestId send{}, receive{};
  };
  std::vector<Message> there(kMessages), back(kMessages);
  const auto make = [&](Message& message, unsigned i, Context& from, Context& to) {
    message.sent = pattern(size_of(i), i + 7);
    message.out = std::make_unique<Buffer>(from, kind_of(i), size_of(i));
    message.in = std::make_unique<Buffer>(to, kind_of(i / 2), size_of(i) + i % 3);
    std::copy(message.sent.begin(), message.sent.end(), message.out->at());
    message.out->hide();
    message.in->hide();
  };
  for (unsigned i = 0; i < kMessages; ++i) {
    make(there[i], i, *first_, *second_);
    make(back[i], i, *second_, *first_);
  }
  const auto post = [&](Message& message, unsigned i, Connection& from, Connection& to) {
    message.receive = to.post_receive(message.in->at(), size_of(i) + i % 3, i % 2, kind_of(i / 2));
    message.send = from.post_send(message.out->at(), size_of(i), i % 2, kind_of(i));
  };
  for (unsigned i = 0; i < kMessages; ++i) {
    post(there[i], i, one(), other());
    post(back[i], i, other(), one());
  }
  const auto take = [&](Message& message, Connection& from, Connection& to) {
    ASSERT_EQ(wait(to, message.receive, from).status, StatusCode::kOk) << to.error().message();
    ASSERT_EQ(wait(from, message.send, to).status, StatusCode::kOk) << from.error().message();
    message.out->show();
    message.in->show();
    ASSERT_TRUE(std::equal(message.sent.begin(), message.sent.end(), message.in->at()));
  };
  for (unsigned i = 0; i < kMessages; ++i) {
    take(there[i], one(), other());
    take(back[i], other(), one());
  }
}

TEST_F(DeviceMemory, SurvivesPathsThatAreCut) {
  const int paths = static_cast<int>(one().statistics().paths.size());
  for (int path = 0; path < paths; ++path) {
    for (const auto& [from, to] : kWays) {
      const auto cut = [&] {
        for (int turn = 0; turn < 3; ++turn) {
          one().progress();
          other().progress();
        }
        EXPECT_TRUE((path % 2 == 0 ? one() : other()).cut_path(path));
      };
      pass(from, to, 40 * kChunk + 5, 40 * kChunk + 5, 900 + static_cast<unsigned>(path), cut);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GE(totals(one()).failures, static_cast<std::uint64_t>(paths));
}

TEST_F(DeviceMemory, IsFlushedAsOftenAsAskedFor) {
  Buffer in(*second_, MemoryKind::kDevice, 4 * kChunk);
  // Nothing has come: there is nothing to wait for.
  const RequestId early = other().post_flush(in.at());
  EXPECT_TRUE(other().test(early).done);
  const Bytes sent = pattern(4 * kChunk, 5);
  in.hide();
  for (int round = 0; round < 3; ++round) {
    const RequestId receive = other().post_receive(in.at(), sent.size(), 1, MemoryKind::kDevice);
    const RequestId send = one().post_send(sent.data(), sent.size(), 1);
    ASSERT_EQ(wait(other(), receive, one()).status, StatusCode::kOk);
    // Of those that come while one is under way none is done before it.
    std::vector<RequestId> flushes;
    for (std::size_t i = 0; i < 100; ++i) flushes.push_back(other().post_flush(in.at() + i));
    for (std::size_t i = flushes.size(); i-- > 0;)
      ASSERT_EQ(wait(other(), flushes[i], one()).status, StatusCode::kOk) << other().error().message();
    ASSERT_EQ(wait(one(), send, other()).status, StatusCode::kOk);
  }
  in.show();
  EXPECT_TRUE(std::equal(sent.begin(), sent.end(), in.at()));
}

// What came before a connection ended is flushed after it.
TEST_F(DeviceMemory, IsFlushedWhenThePeerHasClosed) {
  Buffer in(*second_, MemoryKind::kDevice, kChunk);
  const Bytes sent = pattern(kChunk, 6);
  in.hide();
  const RequestId receive = other().post_receive(in.at(), sent.size(), 1, MemoryKind::kDevice);
  const RequestId send = one().post_send(sent.data(), sent.size(), 1);
  ASSERT_EQ(wait(other(), receive, one()).status, StatusCode::kOk);
  ASSERT_EQ(wait(one(), send, other()).status, StatusCode::kOk);
  pair_.connected.reset();
  ASSERT_TRUE(repeat_until([&] {
    other().progress();
    return !other().error().is_ok();
  }));
  const RequestId flush = other().post_flush(in.at());
  Completion flushed;
  ASSERT_TRUE(repeat_until([&] { return (flushed = other().test(flush)).done; }));
  EXPECT_EQ(flushed.status, StatusCode::kOk);
}

// That a flush reads indeed: from memory that is not there it cannot, and says so.
TEST_F(DeviceMemory, FlushFromNowhereFails) {
  Buffer in(*second_, MemoryKind::kDevice, kChunk);
  const Bytes sent = pattern(kChunk, 6);
  const RequestId receive = other().post_receive(in.at(), sent.size(), 1, MemoryKind::kDevice);
  one().post_send(sent.data(), sent.size(), 1);
  ASSERT_EQ(wait(other(), receive, one()).status, StatusCode::kOk);
  UntouchableMemory nowhere(kChunk);
  nowhere.hide();
  const RequestId flush = other().post_flush(nowhere.at());
  Completion flushed;
  ASSERT_TRUE(repeat_until([&] { return (flushed = other().test(flush)).done; }));
  EXPECT_EQ(flushed.status, StatusCode::kInternal);
  EXPECT_THAT(other().error().message(), testing::HasSubstr("cannot be registered for RDMA"));
}

TEST(DeviceMemorySupport, IsNotThereWhereItIsNotWantedOrCannotBe) {
  Config off = config();
  off.rdma.gpu_direct = GpuDirectChoice::kOff;
  auto first = make_context(off);
  Config summed = config();
  summed.payload_checksum = true;
  auto second = make_context(summed);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(first->device_memory().any());
  EXPECT_THAT(first->device_memory().why_not, testing::HasSubstr("WEFT_GPU_DIRECT=off"));
  EXPECT_THAT(second->device_memory().why_not, testing::HasSubstr("WEFT_CHECKSUM=1"));
  UntouchableMemory memory(100);
  auto promise = second->promise_device_memory(memory.at(), 100);
  ASSERT_FALSE(promise);
  EXPECT_THAT(promise.status().message(), testing::HasSubstr("WEFT_CHECKSUM=1"));
}

// SoftRoCE takes no dmabufs, whatever else there is.
TEST(DeviceMemorySupport, RefusesDmabufsOfDevicesThatTakeNone) {
  auto context = make_context(config());
  ASSERT_TRUE(context);
  EXPECT_FALSE(context->device_memory().dmabuf);
  UntouchableMemory memory(100);
  auto promise = context->promise_device_memory(memory.at(), 100, 0, 0);
  ASSERT_FALSE(promise);
  EXPECT_THAT(promise.status().message(), testing::HasSubstr("not as a dmabuf"));
}

// The other end sums payloads, so its word holds for the connection.
TEST(DeviceMemorySupport, IsRefusedWhereThePeerWantsChecksums) {
  auto first = make_context(config());
  Config summed = config();
  summed.payload_checksum = true;
  auto second = make_context(summed);
  ASSERT_TRUE(first && second);
  auto listener = listen(*second);
  ASSERT_TRUE(listener);
  Pair pair = connect(*first, *listener);
  ASSERT_TRUE(pair.connected && pair.accepted);
  EXPECT_THAT(pair.connected->carries(MemoryKind::kDevice).message(), testing::HasSubstr("WEFT_CHECKSUM=1"));
  UntouchableMemory memory(*first, 100);
  EXPECT_EQ(pair.connected->post_send(memory.at(), 100, 1, MemoryKind::kDevice), RequestId::kRefused);
  EXPECT_EQ(pair.connected->post_receive(memory.at(), 100, 1, MemoryKind::kDevice), RequestId::kRefused);
  const Completion refused = pair.connected->test(RequestId::kRefused);
  EXPECT_TRUE(refused.done);
  EXPECT_EQ(refused.status, StatusCode::kInvalidArgument);
  expect_messages_pass(*pair.connected, *pair.accepted, 100000, 3);
}

}  // namespace
}  // namespace weft::loopback
