// The plugin as it is shipped, opened with dlopen, over the real engine and loopback: each table version
// carries messages between two communicators of one process, as NCCL's threads would.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tests/plugins/log_capture.h"
#include "tests/plugins/versioned_net.h"

namespace weft::nccl {
namespace {

using Clock = std::chrono::steady_clock;

// Only ends a test that hangs.
constexpr std::chrono::seconds kPatience{60};

void* plugin() {
  static void* library = [] {
    const char* path = std::getenv("WEFT_TEST_PLUGIN");
    void* opened = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (!opened) ADD_FAILURE() << "WEFT_TEST_PLUGIN: " << (path ? dlerror() : "is not set");
    return opened;
  }();
  return library;
}

template <typename A>
class Loopback : public testing::Test {
 protected:
  Loopback()
      : net_(static_cast<const typename A::Net*>(
            dlsym(plugin(), ("ncclNetPlugin_v" + std::to_string(A::kVersion)).c_str()))) {
    setenv("WEFT_IF", "lo", 1);
    take_log();
  }

  void SetUp() override {
    ASSERT_EQ(net_.init(&context_, capture_log), Result::kSuccess);
    std::array<unsigned char, kHandleBytes> handle;
    handle.fill(0xff);
    void* listener = nullptr;
    ASSERT_EQ(net_.listen(context_, handle.data(), &listener), Result::kSuccess);
    const auto deadline = Clock::now() + kPatience;
    while ((!send_ || !recv_) && Clock::now() < deadline) {
      if (!send_) {
        ASSERT_EQ(net_.connect(context_, handle.data(), &send_), Result::kSuccess);
      }
      if (!recv_) {
        ASSERT_EQ(net_.accept(listener, &recv_), Result::kSuccess);
      }
    }
    ASSERT_NE(send_, nullptr);
    ASSERT_NE(recv_, nullptr);
    ASSERT_EQ(net_.table().close_listen(listener), Result::kSuccess);
  }

  void TearDown() override {
    if (send_) {
      EXPECT_EQ(net_.table().close_send(send_), Result::kSuccess);
    }
    if (recv_) {
      EXPECT_EQ(net_.table().close_recv(recv_), Result::kSuccess);
    }
    EXPECT_EQ(net_.finalize(context_), Result::kSuccess);
    for (const LogLine& line : take_log()) {
      EXPECT_NE(line.level, LogLevel::kWarn) << line.text;
    }
  }

  void* mhandle(void* comm, void* data, size_t bytes) {
    void* registered = nullptr;
    EXPECT_EQ(net_.table().reg_mr(comm, data, static_cast<int>(bytes), kPtrHost, &registered),
              Result::kSuccess);
    return registered;
  }

  // Tests until done, as NCCL's progress thread does, and tells the sizes.
  std::vector<int> wait(void* request, size_t count) {
    std::vector<int> sizes(count, -1);
    const auto deadline = Clock::now() + kPatience;
    int done = 77;
    do {
      const Result result = net_.table().test(request, &done, sizes.data());
      EXPECT_EQ(result, Result::kSuccess);
      if (result != Result::kSuccess) break;
    } while (done == 0 && Clock::now() < deadline);
    EXPECT_EQ(done, 1);
    return sizes;
  }

  VersionedNet<A> net_;
  void* context_ = nullptr;
  void* send_ = nullptr;
  void* recv_ = nullptr;
};

using Versions = testing::Types<Abi6, Abi8, Abi9, Abi10, Abi11, Abi12>;
TYPED_TEST_SUITE(Loopback, Versions);

std::vector<unsigned char> pattern(size_t bytes, unsigned seed) {
  std::vector<unsigned char> data(bytes);
  std::uint32_t state = seed * 2654435761u + 1;
  for (unsigned char& byte : data) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<unsigned char>(state >> 24);
  }
  return data;
}

// A window of eight steps each way, the sender in a thread of its own: sizes from nothing to several chunks.
TYPED_TEST(Loopback, EightStepWindowsArriveWholeAndInOrder) {
  constexpr size_t kCapacity = size_t{3} << 20;
  constexpr int kSteps = 8, kMessages = 64;
  const auto bytes_of = [](int i) -> size_t {
    constexpr size_t kSizes[] = {0, 1, 8, 4096, 65537, 1 << 20, kCapacity};
    return kSizes[i % 7];
  };
  std::vector<std::vector<unsigned char>> buffers(kSteps, std::vector<unsigned char>(kCapacity));
  std::jthread sender([&] {
    std::vector<std::vector<unsigned char>> data(kSteps);
    std::vector<void*> requests(kSteps, nullptr);
    for (int i = 0; i < kMessages + kSteps; ++i) {
      const size_t step = static_cast<size_t>(i % kSteps);
      if (i >= kSteps) {
        EXPECT_EQ(this->wait(requests[step], 1)[0], static_cast<int>(bytes_of(i - kSteps)));
      }
      if (i >= kMessages) continue;
      data[step] = pattern(bytes_of(i), static_cast<unsigned>(i));
      requests[step] = reinterpret_cast<void*>(uintptr_t{0x1});
      ASSERT_EQ(
          this->net_.isend(this->send_, data[step].data(), data[step].size(), 0, nullptr, &requests[step]),
          Result::kSuccess);
      ASSERT_NE(requests[step], nullptr);
    }
  });
  std::vector<void*> requests(kSteps, nullptr);
  for (int i = 0; i < kMessages + kSteps; ++i) {
    const size_t step = static_cast<size_t>(i % kSteps);
    if (i >= kSteps) {
      const size_t expected = bytes_of(i - kSteps);
      ASSERT_EQ(this->wait(requests[step], 1)[0], static_cast<int>(expected));
      const std::vector<unsigned char> sent = pattern(expected, static_cast<unsigned>(i - kSteps));
      EXPECT_TRUE(std::equal(sent.begin(), sent.end(), buffers[step].begin())) << "message " << i - kSteps;
    }
    if (i >= kMessages) continue;
    requests[step] = reinterpret_cast<void*>(uintptr_t{0x1});
    ASSERT_EQ(this->net_.irecv(this->recv_, {buffers[step].data()}, {kCapacity}, {0},
                               this->mhandle(this->recv_, buffers[step].data(), kCapacity), &requests[step]),
              Result::kSuccess);
    ASSERT_NE(requests[step], nullptr);
  }
}

TYPED_TEST(Loopback, GroupedReceivesFillByTag) {
  constexpr int kGroup = 8;
  constexpr size_t kBytes = 100000;
  std::vector<std::vector<unsigned char>> buffers(kGroup, std::vector<unsigned char>(kBytes));
  std::vector<void*> data;
  std::vector<int> tags;
  for (int i = 0; i < kGroup; ++i) {
    data.push_back(buffers[static_cast<size_t>(i)].data());
    tags.push_back(i);
  }
  void* group = nullptr;
  ASSERT_EQ(this->net_.irecv(this->recv_, data, std::vector<size_t>(kGroup, kBytes), tags,
                             this->mhandle(this->recv_, data[0], kBytes), &group),
            Result::kSuccess);
  std::vector<std::vector<unsigned char>> sent;
  std::vector<void*> requests(kGroup, nullptr);
  for (int i = 0; i < kGroup; ++i)
    sent.push_back(pattern(kBytes - static_cast<size_t>(i), static_cast<unsigned>(i)));
  for (int i = kGroup - 1; i >= 0; --i) {
    const auto k = static_cast<size_t>(i);
    ASSERT_EQ(this->net_.isend(this->send_, sent[k].data(), sent[k].size(), i, nullptr, &requests[k]),
              Result::kSuccess);
  }
  // A communicator belongs to one thread at a time, so the sends move to theirs whole.
  std::jthread sender([&] {
    for (void* request : requests) this->wait(request, 1);
  });
  const std::vector<int> sizes = this->wait(group, kGroup);
  sender.join();
  for (size_t i = 0; i < kGroup; ++i) {
    EXPECT_EQ(sizes[i], static_cast<int>(sent[i].size()));
    EXPECT_TRUE(std::equal(sent[i].begin(), sent[i].end(), buffers[i].begin())) << "slot " << i;
  }
}

// Queues that share a connection are tested apart, so a younger group may be taken before an older one.
TYPED_TEST(Loopback, AGroupTestedBeforeAnOlderOneLeavesRoomForAnother) {
  constexpr int kGroups = 32;
  std::vector<std::array<int, 8>> buffers(kGroups + 1);
  const auto post = [&](int group, size_t count) {
    std::array<int, 8>& buffer = buffers[static_cast<size_t>(group)];
    std::vector<void*> data;
    std::vector<int> tags;
    for (size_t i = 0; i < count; ++i) {
      data.push_back(&buffer[i]);
      tags.push_back(static_cast<int>(i));
    }
    void* request = reinterpret_cast<void*>(uintptr_t{0x1});
    EXPECT_EQ(this->net_.irecv(this->recv_, data, std::vector<size_t>(count, sizeof(int)), tags,
                               this->mhandle(this->recv_, buffer.data(), sizeof buffer), &request),
              Result::kSuccess);
    return request;
  };
  std::vector<int> said(8 * (kGroups + 1));
  for (size_t i = 0; i < said.size(); ++i) said[i] = static_cast<int>(i) + 5000;
  const auto send = [&](int group, size_t count) {
    std::vector<void*> requests(count, nullptr);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(this->net_.isend(this->send_, &said[8 * static_cast<size_t>(group) + i], sizeof(int),
                                 static_cast<int>(i), nullptr, &requests[i]),
                Result::kSuccess);
      ASSERT_NE(requests[i], nullptr);
    }
    for (void* request : requests) this->wait(request, 1);
  };
  std::vector<void*> groups;
  for (int i = 0; i < kGroups; ++i) {
    groups.push_back(post(i, i == 0 ? 4 : 8));
    ASSERT_NE(groups.back(), nullptr) << "group " << i;
  }
  send(0, 4);
  send(1, 8);
  this->wait(groups[1], 8);
  void* another = post(kGroups, 8);
  this->wait(groups[0], 4);
  if (!another) another = post(kGroups, 8);
  ASSERT_NE(another, nullptr) << "room for twelve receives";
  for (int i = 2; i < kGroups; ++i) {
    send(i, 8);
    this->wait(groups[static_cast<size_t>(i)], 8);
  }
  send(kGroups, 8);
  this->wait(another, 8);
  for (size_t group = 0; group <= kGroups; ++group) {
    for (size_t i = 0; i < (group == 0 ? 4 : 8); ++i) {
      EXPECT_EQ(buffers[group][i], said[8 * group + i]) << "group " << group << ", slot " << i;
    }
  }
}

TYPED_TEST(Loopback, ClosesWithRequestsInFlight) {
  std::vector<unsigned char> data(1 << 20);
  for (int i = 0; i < 8; ++i) {
    void* request = nullptr;
    ASSERT_EQ(this->net_.isend(this->send_, data.data(), data.size(), 0, nullptr, &request),
              Result::kSuccess);
    EXPECT_NE(request, nullptr);
  }
  EXPECT_EQ(this->net_.table().close_send(this->send_), Result::kSuccess);
  this->send_ = nullptr;
}

}  // namespace
}  // namespace weft::nccl
