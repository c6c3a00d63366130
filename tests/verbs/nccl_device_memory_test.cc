// NCCL's view of GPU memory: the plugin as it is shipped, its properties, registration with type CUDA,
// messages and flushes, between two processes of an emulated machine (ranks 0 and 1), over memory that the
// CPU must not touch. Rank 0 receives, rank 1 sends.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/plugins/log_capture.h"
#include "tests/plugins/versioned_net.h"

namespace weft::nccl {
namespace {

using Clock = std::chrono::steady_clock;

// Only ends a test that hangs.
constexpr std::chrono::seconds kPatience{200};
constexpr std::size_t kCapacity = 300000;
constexpr std::size_t kSizes[] = {0, 1, 8, 100, 117, 4096, 65536, 200001, kCapacity};
constexpr int kSteps = 8;
constexpr int kMessages = 36;

std::size_t bytes_of(int message) {
  return kSizes[static_cast<std::size_t>(message) % std::size(kSizes)];
}
// Which kinds meet changes with a period of its own. Rank 0 is the receiver.
bool is_device(int message, int rank) {
  return (message >> rank) % 2 == 0;
}
// What a buffer holds with a message in it. Emulated processors are slow: made once, and copied.
const std::vector<unsigned char>& content(int message) {
  static std::vector<unsigned char> made(kCapacity), pattern = [] {
    std::vector<unsigned char> bytes(kCapacity + kMessages);
    std::uint32_t state = 1;
    for (unsigned char& byte : bytes) {
      state = state * 1664525u + 1013904223u;
      byte = static_cast<unsigned char>(state >> 24);
    }
    return bytes;
  }();
  std::memcpy(made.data(), pattern.data() + message, bytes_of(message));
  std::memset(made.data() + bytes_of(message), 0xee, kCapacity - bytes_of(message));
  return made;
}

class Buffer {
 public:
  Buffer()
      : at_(static_cast<unsigned char*>(
            mmap(nullptr, kCapacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    EXPECT_NE(at_, MAP_FAILED);
  }
  ~Buffer() { munmap(at_, kCapacity); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  unsigned char* at() const { return at_; }
  void protect(bool hidden) {
    EXPECT_EQ(mprotect(at_, kCapacity, hidden ? PROT_NONE : PROT_READ | PROT_WRITE), 0);
  }

  void* as_host = nullptr;
  void* as_device = nullptr;
  void* request = nullptr;

 private:
  unsigned char* const at_;
};

int rank() {
  return std::atoi(std::getenv("RANK"));
}

template <typename A>
class GpuMemory : public testing::Test {
 protected:
  using Net = typename A::Net;

  static const Net* table() {
    const char* path = std::getenv("WEFT_TEST_PLUGIN");
    void* opened = path == nullptr ? nullptr : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(opened, nullptr) << "WEFT_TEST_PLUGIN: " << (path == nullptr ? "is not set" : dlerror());
    const std::string name = "ncclNetPlugin_v" + std::to_string(A::kVersion);
    return opened == nullptr ? nullptr : static_cast<const Net*>(dlsym(opened, name.c_str()));
  }

  GpuMemory() : GpuMemory(table()) {}
  explicit GpuMemory(const Net* table) : has_table_(table != nullptr), net_(table) {}

  void SetUp() override {
    ASSERT_TRUE(has_table_);
    take_log();
    ASSERT_EQ(net_.init(&context_, capture_log), Result::kSuccess);
    std::array<char, kHandleBytes> handle{};
    // The machine's own /tmp, which both ranks see.
    const std::string place = "/tmp/nccl_device_memory_v" + std::to_string(A::kVersion);
    void* listener = nullptr;
    const auto deadline = Clock::now() + kPatience;
    if (rank() == 0) {
      ASSERT_EQ(net_.listen(context_, handle.data(), &listener), Result::kSuccess);
      std::ofstream(place + ".new", std::ios::binary).write(handle.data(), handle.size());
      ASSERT_EQ(std::rename((place + ".new").c_str(), place.c_str()), 0);
      while (!comm_ && Clock::now() < deadline) ASSERT_EQ(net_.accept(listener, &comm_), Result::kSuccess);
      ASSERT_EQ(net_.table().close_listen(listener), Result::kSuccess);
    } else {
      while (!std::ifstream(place, std::ios::binary).read(handle.data(), handle.size())) {
        ASSERT_LT(Clock::now(), deadline) << "rank 0 does not listen";
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
      while (!comm_ && Clock::now() < deadline)
        ASSERT_EQ(net_.connect(context_, handle.data(), &comm_), Result::kSuccess);
    }
    ASSERT_NE(comm_, nullptr);
  }

  void TearDown() override {
    if (!has_table_) return;
    if (comm_) {
      EXPECT_EQ(net_.table().close_send(comm_), Result::kSuccess);
    }
    EXPECT_EQ(net_.finalize(context_), Result::kSuccess);
    for (const LogLine& line : take_log()) {
      EXPECT_NE(line.level, LogLevel::kWarn) << line.text;
    }
  }

  int wait(void* request) {
    int size = -1, done = 0;
    const auto deadline = Clock::now() + kPatience;
    while (done == 0 && Clock::now() < deadline) {
      const Result result = net_.table().test(request, &done, &size);
      EXPECT_EQ(result, Result::kSuccess);
      if (result != Result::kSuccess) break;
    }
    EXPECT_EQ(done, 1);
    return size;
  }

  // Makes the buffer ready for a message and posts it.
  void post(Buffer& buffer, int message) {
    const bool device = is_device(message, rank());
    buffer.protect(false);
    if (rank() == 1) {
      std::memcpy(buffer.at(), content(message).data(), kCapacity);
    } else {
      std::memset(buffer.at(), 0xee, kCapacity);
    }
    buffer.protect(device);
    void* mhandle = device ? buffer.as_device : buffer.as_host;
    const auto deadline = Clock::now() + kPatience;
    for (buffer.request = nullptr; buffer.request == nullptr && Clock::now() < deadline;) {
      const Result posted =
          rank() == 1 ? net_.isend(comm_, buffer.at(), bytes_of(message), 5, mhandle, &buffer.request)
                      : net_.irecv(comm_, {buffer.at()}, {kCapacity}, {5}, mhandle, &buffer.request);
      ASSERT_EQ(posted, Result::kSuccess);
    }
    ASSERT_NE(buffer.request, nullptr);
  }

  void take(Buffer& buffer, int message) {
    int size = wait(buffer.request);
    ASSERT_EQ(size, static_cast<int>(bytes_of(message)));
    if (rank() == 1) return;
    const bool device = is_device(message, 0);
    void* data = buffer.at();
    void* mhandle = device ? buffer.as_device : buffer.as_host;
    void* flush = buffer.request;  // stale
    ASSERT_EQ(net_.table().iflush(comm_, 1, &data, &size, &mhandle, &flush), Result::kSuccess);
    EXPECT_EQ(flush != nullptr, device && size != 0) << "message " << message;
    int done = flush == nullptr;
    const auto deadline = Clock::now() + kPatience;
    while (!done && Clock::now() < deadline)
      ASSERT_EQ(net_.table().test(flush, &done, nullptr), Result::kSuccess);
    ASSERT_EQ(done, 1);
    buffer.protect(false);
    ASSERT_EQ(std::memcmp(buffer.at(), content(message).data(), kCapacity), 0) << "message " << message;
  }

  const bool has_table_;
  VersionedNet<A> net_;
  void* context_ = nullptr;
  void* comm_ = nullptr;
};

// In this order: versions before v11 keep the plugin's context, and those before v9 have it flush by itself.
using Versions = testing::Types<Abi12, Abi9, Abi8>;
TYPED_TEST_SUITE(GpuMemory, Versions);

TYPED_TEST(GpuMemory, TravelsUntouchedAndIsFlushed) {
  typename TypeParam::Properties properties;
  ASSERT_EQ(this->net_.table().get_properties(0, &properties), Result::kSuccess);
  EXPECT_EQ(properties.ptr_support, kPtrHost | kPtrCuda);
  if constexpr (requires { properties.force_flush; }) {
    EXPECT_EQ(properties.force_flush, 1);
  }
  std::array<Buffer, kSteps> buffers;
  for (Buffer& buffer : buffers) {
    ASSERT_EQ(this->net_.table().reg_mr(this->comm_, buffer.at(), kCapacity, kPtrCuda, &buffer.as_device),
              Result::kSuccess);
    ASSERT_EQ(this->net_.table().reg_mr(this->comm_, buffer.at(), kCapacity, kPtrHost, &buffer.as_host),
              Result::kSuccess);
  }
  for (int i = 0; i < kMessages + kSteps && !this->HasFatalFailure(); ++i) {
    Buffer& buffer = buffers[static_cast<std::size_t>(i % kSteps)];
    if (i >= kSteps) this->take(buffer, i - kSteps);
    if (i < kMessages) this->post(buffer, i);
  }
  for (Buffer& buffer : buffers) {
    EXPECT_EQ(this->net_.table().dereg_mr(this->comm_, buffer.as_device), Result::kSuccess);
    EXPECT_EQ(this->net_.table().dereg_mr(this->comm_, buffer.as_host), Result::kSuccess);
  }
}

}  // namespace
}  // namespace weft::nccl
