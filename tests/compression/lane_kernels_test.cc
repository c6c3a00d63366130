// The warp's kernels, their 32 lanes run by the host, against the CPU's: the same bytes, the same words for
// what is malformed.
#include "compression/cuda/lane_kernels.h"

#include <gtest/gtest.h>

#include <vector>

#include "compression/slot/codec.h"
#include "tests/compression/element_samples.h"
#include "tests/compression/packed_slot.h"
#include "tests/compression/portable_tiles.h"

namespace weft::compression {
namespace {

TEST(LaneKernels, CodeAndDecodeWhatTheCpuDoes) {
  for (const Sample& sample : samples()) {
    for (const Level level : kTileLevels) {
      SCOPED_TRACE(sample.name + " " + std::string(to_string(level)));
      const auto slot = packed(sample.bytes, sample.type, level, portable());
      ASSERT_EQ(packed(sample.bytes, sample.type, level, cuda::kLaneKernels), slot);
      std::vector<std::byte> again(sample.bytes.size(), std::byte{0x55});
      const Status status = unpack(slot, again, cuda::kLaneKernels);
      ASSERT_TRUE(status) << status.message();
      ASSERT_EQ(again, sample.bytes);
    }
  }
}

}  // namespace
}  // namespace weft::compression
