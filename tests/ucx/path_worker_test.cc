// Real UCX between two workers of this process: frames, payloads that come along and payloads that are
// fetched, and that nothing lands once a worker is gone.
#include "transport/ucx/path_worker.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>

#include "tests/ucx/test_device.h"

namespace weft::ucx {
namespace {

using multipath::FrameHeader;
using multipath::FrameType;

constexpr std::chrono::seconds kPatience{60};

// Writes down what comes; payloads that are to be fetched go to `room`.
struct Recorder final : FrameTaker {
  const char* take_frame(std::span<const std::byte> bytes, std::span<const std::byte> payload) override {
    FrameHeader header;
    EXPECT_EQ(multipath::decode(bytes.first<multipath::kHeaderBytes>(), header),
              multipath::FrameError::kNone);
    EXPECT_EQ(header.length, payload.size());
    sequences.push_back(header.path_sequence);
    if (!payload.empty()) std::memcpy(room.data() + header.offset, payload.data(), payload.size());
    landed_bytes += payload.size();
    return wrong;
  }
  Place place_payload(std::span<const std::byte> bytes, std::size_t length) override {
    FrameHeader header;
    EXPECT_EQ(multipath::decode(bytes.first<multipath::kHeaderBytes>(), header),
              multipath::FrameError::kNone);
    EXPECT_EQ(header.length, length);
    sequences.push_back(header.path_sequence);
    ++fetched;
    pending_bytes += length;
    if (drops) return {};
    return {room.data() + header.offset, header.path_sequence, nullptr};
  }
  const char* landed(std::uint32_t) override {
    ++landings;
    return nullptr;
  }

  std::vector<std::byte> room = std::vector<std::byte>(64 << 20);
  std::vector<std::uint32_t> sequences;
  std::size_t fetched = 0, landings = 0, landed_bytes = 0, pending_bytes = 0;
  bool drops = false;
  const char* wrong = nullptr;
};

std::vector<std::byte> pattern(std::size_t bytes, unsigned seed) {
  std::vector<std::byte> data(bytes);
  unsigned value = seed;
  for (std::byte& byte : data) byte = static_cast<std::byte>((value = value * 1664525 + 1013904223) >> 24);
  return data;
}

FrameHeader data_frame(std::uint32_t sequence, std::uint64_t offset, std::size_t length) {
  FrameHeader header;
  header.type = FrameType::kData;
  header.path_sequence = sequence;
  header.offset = offset;
  header.length = static_cast<std::uint32_t>(length);
  header.message_bytes = length;
  return header;
}

class PathWorkerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto library = ucx_library();
    if (!library) GTEST_SKIP() << library.status().message();
    auto context = open_test_device(**library);
    ASSERT_TRUE(context.is_ok()) << context.status().message();
    context_ = *context;
    near_ = make();
    far_ = make();
    ASSERT_TRUE(far_->connect(near_->address()).is_ok());
    ASSERT_TRUE(near_->connect(far_->address()).is_ok());
  }
  std::unique_ptr<PathWorker> make() {
    auto worker = PathWorker::create(context_);
    EXPECT_TRUE(worker.is_ok()) << worker.status().message();
    return std::move(*worker);
  }
  bool wait(const std::function<bool()>& done) {
    const auto limit = std::chrono::steady_clock::now() + kPatience;
    while (!done()) {
      if (std::chrono::steady_clock::now() > limit) return false;
      if (near_) near_->progress(at_near_);
      if (far_) far_->progress(at_far_);
    }
    return true;
  }

  std::shared_ptr<DeviceContext> context_;
  std::unique_ptr<PathWorker> near_, far_;
  Recorder at_near_, at_far_;
};

TEST_F(PathWorkerTest, FramesArriveInOrderBothWays) {
  FrameHeader probe;
  probe.type = FrameType::kProbe;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    probe.path_sequence = i;
    ASSERT_TRUE(wait([&] { return near_->has_room() && far_->has_room(); }));
    ASSERT_TRUE(near_->send(probe, nullptr)) << near_->broken();
    ASSERT_TRUE(far_->send(probe, nullptr)) << far_->broken();
  }
  ASSERT_TRUE(wait([&] { return at_near_.sequences.size() == 1000 && at_far_.sequences.size() == 1000; }));
  std::vector<std::uint32_t> expected(1000);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(at_near_.sequences, expected);
  EXPECT_EQ(at_far_.sequences, expected);
}

TEST_F(PathWorkerTest, PayloadsOfEverySizeArriveWhole) {
  std::uint64_t offset = 0;
  std::uint32_t sequence = 0;
  std::vector<std::vector<std::byte>> sent;
  for (std::size_t bytes = 1; bytes <= std::size_t{4} << 20; bytes = bytes * 3 + 1) {
    sent.push_back(pattern(bytes, sequence + 1));
    ASSERT_TRUE(near_->send(data_frame(sequence, offset, bytes), sent.back().data())) << near_->broken();
    offset += bytes;
    ++sequence;
  }
  ASSERT_TRUE(wait([&] {
    return at_far_.landed_bytes + at_far_.pending_bytes == offset && at_far_.landings == at_far_.fetched &&
           !near_->is_reading();
  }));
  EXPECT_NE(at_far_.fetched, 0u) << "large payloads are fetched, not copied";
  EXPECT_LT(at_far_.fetched, sent.size()) << "small ones come along";
  std::size_t at = 0;
  for (const auto& payload : sent) {
    EXPECT_EQ(std::memcmp(at_far_.room.data() + at, payload.data(), payload.size()), 0) << payload.size();
    at += payload.size();
  }
}

TEST_F(PathWorkerTest, AnAcknowledgementOfWhatIsBeingReadWaits) {
  const std::vector<std::byte> data = pattern(std::size_t{4} << 20, 7);
  EXPECT_EQ(near_->sent_of(5), 5u) << "nothing is being read";
  for (std::uint32_t i = 0; i < 3; ++i)
    ASSERT_TRUE(near_->send(data_frame(i, i * data.size(), data.size()), data.data()));
  // Nobody has fetched anything: the far worker has made no progress.
  EXPECT_TRUE(near_->is_reading());
  EXPECT_EQ(near_->sent_of(3), 0u);
  EXPECT_EQ(near_->sent_of(0), 0u);
  ASSERT_TRUE(wait([&] { return at_far_.landings == 3 && !near_->is_reading(); }));
  EXPECT_EQ(near_->sent_of(3), 3u);
}

TEST_F(PathWorkerTest, AFrameThatIsRefusedIsTheLast) {
  at_far_.wrong = "it is refused";
  FrameHeader probe;
  probe.type = FrameType::kProbe;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(near_->send(probe, nullptr));
  ASSERT_TRUE(wait([&] { return far_->wrong() != nullptr; }));
  for (int i = 0; i < 100; ++i) far_->progress(at_far_);
  EXPECT_EQ(at_far_.sequences.size(), 1u);
  EXPECT_STREQ(far_->wrong(), "it is refused");
}

TEST_F(PathWorkerTest, NothingLandsOnceTheWorkerIsGone) {
  constexpr std::uint32_t kPayloads = 60;
  const std::vector<std::byte> data = pattern(std::size_t{1} << 20, 9);
  for (std::uint32_t i = 0; i < kPayloads; ++i)
    ASSERT_TRUE(near_->send(data_frame(i, i * data.size(), data.size()), data.data()));
  ASSERT_TRUE(wait([&] { return at_far_.fetched != 0; }));
  far_.reset();  // with payloads on their way
  const std::size_t landings = at_far_.landings;
  ASSERT_LT(landings, kPayloads);
  const std::vector<std::byte> marks = pattern(at_far_.room.size(), 11);
  std::memcpy(at_far_.room.data(), marks.data(), marks.size());
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  while (std::chrono::steady_clock::now() < until) near_->progress(at_near_);
  EXPECT_EQ(at_far_.landings, landings);
  EXPECT_EQ(std::memcmp(at_far_.room.data(), marks.data(), marks.size()), 0);
}

TEST_F(PathWorkerTest, TheSenderCanLetGoInTheMiddle) {
  std::vector<std::byte> data = pattern(std::size_t{4} << 20, 13);
  for (std::uint32_t i = 0; i < 8; ++i)
    ASSERT_TRUE(near_->send(data_frame(i, i * data.size(), data.size()), data.data()));
  ASSERT_TRUE(wait([&] { return at_far_.fetched > 1; }));
  near_.reset();
  data.clear();
  data.shrink_to_fit();
  for (int i = 0; i < 1000; ++i) far_->progress(at_far_);
  far_.reset();
}

TEST_F(PathWorkerTest, AFlushSaysWhenAllHasLeft) {
  FrameHeader probe;
  probe.type = FrameType::kProbe;
  EXPECT_TRUE(near_->is_drained());
  ASSERT_TRUE(near_->send(probe, nullptr));
  EXPECT_FALSE(near_->is_drained());
  near_->flush();
  ASSERT_TRUE(wait([&] { return near_->is_drained(); }));
  ASSERT_TRUE(wait([&] { return at_far_.sequences.size() == 1; }));
}

}  // namespace
}  // namespace weft::ucx
