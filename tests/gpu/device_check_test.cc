// The GPU's fill and check against the host's, including planted wrong bytes.
#include "tests/gpu/device_check.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <vector>

#include "tests/gpu/collective.h"

namespace weft::gputest {
namespace {

constexpr std::size_t kGuard = 64;

class Device : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&memory_), kBytes), cudaSuccess);
    ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&counter_), sizeof *counter_), cudaSuccess);
  }
  void TearDown() override {
    cudaFree(memory_);
    cudaFree(counter_);
  }
  unsigned long long wrong_bytes(const Collective& c, int rank, const std::vector<unsigned char>& output) {
    unsigned long long wrong = 0;
    EXPECT_EQ(cudaMemset(memory_, 0xA5, output.size() + 2 * kGuard), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(memory_ + kGuard, output.data(), output.size(), cudaMemcpyHostToDevice),
              cudaSuccess);
    if (break_guard_) {
      EXPECT_EQ(cudaMemset(memory_, 0, 1), cudaSuccess);
      EXPECT_EQ(cudaMemset(memory_ + 2 * kGuard + output.size() - 1, 0, 1), cudaSuccess);
    }
    EXPECT_EQ(cudaMemset(counter_, 0, sizeof *counter_), cudaSuccess);
    EXPECT_EQ(check_output_on_device(c, 11, rank, memory_ + kGuard, kGuard, 0xA5, counter_, nullptr), 0);
    EXPECT_EQ(cudaMemcpy(&wrong, counter_, sizeof wrong, cudaMemcpyDeviceToHost), cudaSuccess);
    return wrong;
  }

  static constexpr std::size_t kBytes = 1 << 20;
  unsigned char* memory_ = nullptr;
  unsigned long long* counter_ = nullptr;
  bool break_guard_ = false;
};

TEST_F(Device, FillsAsTheHostDoes) {
  for (int type = 0; type < kElementTypes; ++type) {
    const Collective c{Operation::kAllToAllV, static_cast<ElementType>(type), 4, 2001};
    std::vector<unsigned char> host(input_count(c, 2) * size_of(c.type)), device(host.size());
    fill_input(c, 11, 2, host.data());
    ASSERT_EQ(fill_input_on_device(c, 11, 2, memory_, nullptr), 0);
    ASSERT_EQ(cudaMemcpy(device.data(), memory_, device.size(), cudaMemcpyDeviceToHost), cudaSuccess);
    EXPECT_EQ(host, device) << name_of(c.type);
  }
}

TEST_F(Device, ChecksAsTheHostDoes) {
  for (const Operation operation :
       {Operation::kAllReduce, Operation::kAllGather, Operation::kAllToAll, Operation::kAllToAllV}) {
    for (int type = 0; type < kElementTypes; ++type) {
      const Collective c{operation, static_cast<ElementType>(type), 3, 1009};
      std::vector<unsigned char> output(output_count(c, 1) * size_of(c.type));
      for (std::size_t i = 0; i < output_count(c, 1); ++i)
        store_element(c.type, output.data(), i, output_bits(c, 11, 1, i));
      EXPECT_EQ(wrong_bytes(c, 1, output), 0u) << name_of(operation) << " " << name_of(c.type);
      output.front() ^= 1;
      output[output.size() / 2] ^= 0x80;
      output.back() ^= 4;
      EXPECT_EQ(wrong_bytes(c, 1, output), 3u) << name_of(operation) << " " << name_of(c.type);
      EXPECT_EQ(compare_output(c, 11, 1, output.data()).wrong_bytes, 3u);
    }
  }
}

TEST_F(Device, SeesBrokenGuards) {
  const Collective c{Operation::kAllReduce, ElementType::kInt32, 2, 100};
  std::vector<unsigned char> output(400);
  for (std::size_t i = 0; i < 100; ++i) store_element(c.type, output.data(), i, output_bits(c, 11, 0, i));
  break_guard_ = true;
  EXPECT_EQ(wrong_bytes(c, 0, output), 2u);
}

}  // namespace
}  // namespace weft::gputest

// Own main: without a GPU the whole program is skipped, and says so.
int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("SKIPPED: no usable GPU: %s\n", cudaGetErrorString(error));
    return 77;
  }
  return RUN_ALL_TESTS();
}
