// The data path's contract: post and test allocate nothing, over real sockets.
#include <cstdint>
#include <vector>

#include "compression/slot/codec.h"
#include "compression/slot/level_choice.h"
#include "tests/algorithms/allocation_count.h"
#include "tests/engine/loopback.h"

namespace weft::loopback {
namespace {

using testing_support::allocations_counted;
using testing_support::count_allocations_of_this_thread;

// Samples and level archive keep memory for each thread, made at their first use. When that comes is for
// WEFT_COMPRESS=auto to say, and may be in the middle.
void make_codecs_memory(const Bytes& payload) {
  using namespace compression;
  (void)find_type(payload);
  Bytes again(payload.size());
  for (const ElementType type : {ElementType::kBytes, ElementType::kBfloat16}) {
    Bytes slot(max_slot_bytes(type, Level::kArchive, payload.size()));
    ASSERT_TRUE(pack(payload, type, Level::kArchive, slot));
    ASSERT_TRUE(unpack(slot, again));
  }
}

class DataPath : public testing::TestWithParam<CompressionChoice> {};

TEST_P(DataPath, AllocatesNothingInTenThousandMessages) {
  if (!testing_support::can_count_allocations()) GTEST_SKIP() << "a sanitizer has its own allocator";
  // A path that is given up on a busy machine is connected anew, which does allocate and is not the data
  // path.
  Config patient = config_without_silence_limit();
  if (patient.transport != TransportChoice::kTcp && GetParam() != CompressionChoice::kAuto)
    GTEST_SKIP() << "only TCP compresses";
  patient.peer_timeout = std::chrono::seconds(80);
  patient.compression = GetParam();
  auto near = make_context(patient), far = make_context(patient);
  ASSERT_TRUE(near && far);
  auto listener = listen(*far);
  ASSERT_TRUE(listener);
  Pair pair = connect(*near, *listener);
  ASSERT_TRUE(pair.connected && pair.accepted);

  constexpr std::size_t kWindow = 16, kCapacity = 200000;
  // Its exponents are alike, as those of floats are.
  Bytes out = pattern(kCapacity, 1);
  for (std::size_t i = 1; i < kCapacity; i += 2) out[i] = std::byte{0x3f};
  std::vector<Bytes> in(kWindow, Bytes(kCapacity));
  std::vector<std::unique_ptr<LastingMemory>> promises;
  for (const Bytes& each : in) promises.push_back(far->promise_memory(each.data(), each.size()));
  promises.push_back(near->promise_memory(out.data(), out.size()));
  int failed = 0;
  const auto exchange = [&](std::size_t messages) {
    RequestId sends[kWindow] = {}, receives[kWindow] = {};
    for (std::size_t i = 0; i < messages + kWindow; ++i) {
      const std::size_t at = i % kWindow;
      if (i >= kWindow) {
        for (bool received = false, sent = false; !received || !sent;) {
          if (!received) {
            const Completion completion = pair.accepted->test(receives[at]);
            received = completion.done;
            if (received && completion.status != StatusCode::kOk) ++failed;
          }
          if (!sent) sent = pair.connected->test(sends[at]).done;
        }
      }
      if (i >= messages) continue;
      const std::size_t bytes = i % 5 == 0 ? kCapacity - i % 1000 : i * 7 % 5000;
      receives[at] = pair.accepted->post_receive(in[at].data(), kCapacity, static_cast<std::uint32_t>(i % 3));
      sends[at] = pair.connected->post_send(out.data(), bytes, static_cast<std::uint32_t>(i % 3));
    }
  };
  make_codecs_memory(out);
  exchange(1000);
  const int before = allocations_counted();
  count_allocations_of_this_thread(true);
  exchange(10000);
  count_allocations_of_this_thread(false);
  EXPECT_EQ(allocations_counted() - before, 0);
  EXPECT_EQ(failed, 0);

  if (GetParam() != CompressionChoice::kAuto) {
    EXPECT_EQ(pair.connected->statistics().compression.sent.chunks > 1000,
              GetParam() != CompressionChoice::kOff);
  }

  count_allocations_of_this_thread(true);
  { const Bytes seen(100); }
  count_allocations_of_this_thread(false);
  EXPECT_EQ(allocations_counted() - before, 1) << "the count does not work";
}

INSTANTIATE_TEST_SUITE_P(, DataPath,
                         testing::Values(CompressionChoice::kAuto, CompressionChoice::kOff,
                                         CompressionChoice::kFast, CompressionChoice::kDense,
                                         CompressionChoice::kArchive));

}  // namespace
}  // namespace weft::loopback
