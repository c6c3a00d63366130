// Device memory on a link over verbs whose device and peer the test moves: how receives are announced, what a
// peer may not send, how small payloads leave, and which ports a flush reads back from, and when it is done.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/verbs/link_under_attack.h"

namespace weft::verbs {
namespace {

using ::testing::HasSubstr;

class DeviceMemoryLink : public ::testing::Test {
 protected:
  engine::Link& link() { return victim_.link(); }
  RequestId receive(Guarded& buffer, std::uint32_t tag = 0) {
    return link().post_receive(buffer.data(), buffer.size, tag, MemoryKind::kDevice);
  }
  // What was posted since, by a turn of the link.
  std::vector<ScriptedDevice::Sent> sent() {
    pause();
    link().progress();
    return victim_.device.take_sent();
  }
  std::vector<ScriptedDevice::Sent> reads() {
    std::vector<ScriptedDevice::Sent> found;
    for (ScriptedDevice::Sent& one : sent())
      if (one.operation == IBV_WR_RDMA_READ) found.push_back(std::move(one));
    return found;
  }
  // A message of 16 bytes that the peer has written to the receive in `slot`.
  void land(std::size_t path, std::uint16_t slot) { victim_.send(path, message(victim_.data(path, slot))); }
  bool is_done(RequestId request) {
    pause();
    return link().test(request).done;
  }
  // An idle link does not look at its device more often than every few microseconds.
  static void pause() { std::this_thread::sleep_for(std::chrono::microseconds(20)); }

  Victim victim_{std::chrono::seconds(60), true};
};

TEST_F(DeviceMemoryLink, ReceivesAreAnnouncedWithKeysAndForTheNicAlone) {
  Guarded one_byte(1), small(100), large(100000), nothing(0);
  victim_.device.take_sent();
  for (Guarded* buffer : {&one_byte, &small, &large, &nothing})
    ASSERT_GT(receive(*buffer), RequestId::kRefused);
  ASSERT_GT(link().post_receive(small.data(), small.size, 0), RequestId::kRefused);
  std::vector<Place> places;
  for (const ScriptedDevice::Sent& one : sent()) {
    const auto place = decode_place(std::span(one.message).subspan(kHeaderBytes));
    ASSERT_TRUE(place);
    places.push_back(*place);
  }
  ASSERT_EQ(places.size(), 5u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(places[i].flags, Place::kNoCpuAccess) << i;
    EXPECT_EQ(places[i].key_count, kPlanes) << i;
  }
  for (std::size_t i = 3; i < 5; ++i) {  // of no size, and of the host
    EXPECT_EQ(places[i].flags, 0) << i;
    EXPECT_EQ(places[i].key_count, 0) << i;
  }
}

TEST_F(DeviceMemoryLink, APayloadThatTheCpuWouldHaveToPlaceEndsItsPath) {
  Guarded buffer(100);
  const RequestId request = receive(buffer);
  victim_.turn();
  victim_.send(0, message(victim_.data(0), std::vector<std::byte>(16, std::byte{1})));
  EXPECT_FALSE(victim_.serves(0));
  EXPECT_THAT(victim_.said, HasSubstr("had to be written to device memory"));
  FrameHeader summed = victim_.data(1);
  summed.flags = multipath::kFlagChecksum;
  victim_.send(1, message(summed));
  EXPECT_FALSE(victim_.serves(1));
  EXPECT_THAT(victim_.said, HasSubstr("a payload checksum of what lies in device memory"));
  EXPECT_FALSE(is_done(request));
  EXPECT_TRUE(buffer.all == std::vector<std::byte>(buffer.all.size(), kCanary)) << "nothing was placed";
  land(2, 0);
  EXPECT_TRUE(is_done(request));
}

TEST_F(DeviceMemoryLink, SmallPayloadsAreGatheredByTheNic) {
  std::vector<std::byte> device(100, std::byte{9}), host(100, std::byte{8});
  ASSERT_GT(link().post_send(device.data(), device.size(), 0, MemoryKind::kDevice), RequestId::kRefused);
  ASSERT_GT(link().post_send(host.data(), host.size(), 0), RequestId::kRefused);
  victim_.device.take_sent();
  for (std::uint32_t number : {0u, 1u})  // of host memory with no more room, so without keys
    victim_.device.receive(victim_.queue(1),
                           message(clear_to_send(number, 100), bytes_of(place_with_keys(0))));
  std::vector<ScriptedDevice::Sent> data;
  for (ScriptedDevice::Sent& one : sent())
    if (one.length > kHeaderBytes) data.push_back(std::move(one));
  ASSERT_EQ(data.size(), 2u);
  EXPECT_EQ(data[0].pieces, 2);
  EXPECT_FALSE(data[0].copied);
  EXPECT_TRUE(data[0].signaled);
  EXPECT_EQ(data[1].pieces, 1);
  EXPECT_TRUE(data[1].copied);
  for (const auto& one : data) {
    ASSERT_EQ(one.length, kHeaderBytes + 100);
    EXPECT_EQ(one.message.back(), &one == &data[0] ? std::byte{9} : std::byte{8});
  }
}

TEST_F(DeviceMemoryLink, SmallPayloadsAreWrittenToMemoryThatTheCpuOfThePeerMayNotTouch) {
  for (const MemoryKind kind : {MemoryKind::kHost, MemoryKind::kDevice}) {
    std::vector<std::byte> bytes(10, std::byte{7});
    const std::uint32_t number = kind == MemoryKind::kHost ? 0 : 1;
    ASSERT_GT(link().post_send(bytes.data(), bytes.size(), 0, kind), RequestId::kRefused);
    victim_.device.take_sent();
    Place place = place_with_keys(kPlanes);
    place.flags = Place::kNoCpuAccess;
    victim_.device.receive(victim_.queue(1), message(clear_to_send(number, 10), bytes_of(place)));
    std::size_t written = 0;
    for (const ScriptedDevice::Sent& one : sent()) {
      if (one.operation == IBV_WR_RDMA_WRITE) {
        EXPECT_EQ(one.remote_address, place.address);
        written += one.length;
      } else {
        EXPECT_EQ(one.length, kHeaderBytes);
      }
    }
    EXPECT_EQ(written, bytes.size());
  }
}

TEST_F(DeviceMemoryLink, AFlushReadsBackOverThePortsThatCarriedData) {
  std::vector<Guarded> buffers(4, Guarded(100));
  std::vector<RequestId> receives;
  for (Guarded& buffer : buffers) receives.push_back(receive(buffer));
  victim_.turn();
  // Nothing has come yet.
  EXPECT_TRUE(is_done(link().post_flush(buffers[0].data())));
  EXPECT_TRUE(reads().empty());
  // One port has carried something.
  land(0, 0);
  ASSERT_TRUE(is_done(receives[0]));
  const RequestId first = link().post_flush(buffers[0].data());
  auto first_reads = reads();
  ASSERT_EQ(first_reads.size(), 1u);
  EXPECT_EQ(first_reads[0].length, 1u);
  EXPECT_EQ(first_reads[0].remote_address, reinterpret_cast<std::uintptr_t>(buffers[0].data()));
  const std::uint32_t loop0 = victim_.device.made().back();
  EXPECT_FALSE(is_done(first));
  victim_.device.complete_sends(loop0);
  EXPECT_TRUE(is_done(first));
  // Both have.
  land(0, 1);
  land(2, 2);
  const RequestId second = link().post_flush(buffers[2].data());
  EXPECT_EQ(reads().size(), 2u);
  const std::uint32_t loop1 = victim_.device.made().back();
  ASSERT_NE(loop1, loop0) << "each port has one of its own, and keeps it";
  victim_.device.complete_sends(loop1);
  EXPECT_FALSE(is_done(second)) << "the other port has not answered";
  victim_.device.complete_sends(loop0);
  EXPECT_TRUE(is_done(second));
  // What was flushed needs it no more.
  EXPECT_TRUE(is_done(link().post_flush(buffers[2].data())));
  EXPECT_TRUE(reads().empty());
}

TEST_F(DeviceMemoryLink, FlushesBehindOneThatIsUnderWayShareTheNext) {
  std::vector<Guarded> buffers(3, Guarded(100));
  for (Guarded& buffer : buffers) receive(buffer);
  victim_.turn();
  land(0, 0);
  const RequestId first = link().post_flush(buffers[0].data());
  ASSERT_EQ(reads().size(), 1u);
  const std::uint32_t loop = victim_.device.made().back();
  land(1, 1);  // the same port
  const RequestId second = link().post_flush(buffers[1].data());
  const RequestId third = link().post_flush(buffers[1].data());  // nothing more has come
  EXPECT_TRUE(reads().empty()) << "one at a time";
  victim_.device.complete_sends(loop);
  EXPECT_EQ(reads().size(), 1u);
  EXPECT_TRUE(is_done(first));
  EXPECT_FALSE(is_done(second)) << "the first one's read may have been issued before its data came";
  EXPECT_FALSE(is_done(third));
  victim_.device.complete_sends(loop);
  EXPECT_TRUE(is_done(second));
  EXPECT_TRUE(is_done(third));
  EXPECT_TRUE(reads().empty());
}

TEST_F(DeviceMemoryLink, AReadThatFailsIsTriedAnew) {
  Guarded buffer(100);
  receive(buffer);
  victim_.turn();
  land(0, 0);
  const RequestId flush = link().post_flush(buffer.data());
  ASSERT_EQ(reads().size(), 1u);
  const std::uint32_t broken = victim_.device.made().back();
  victim_.device.complete_sends(broken, IBV_WC_RETRY_EXC_ERR);
  std::vector<ScriptedDevice::Sent> again;
  for (int i = 0; again.empty() && i < 10000; ++i) {
    EXPECT_FALSE(is_done(flush));
    victim_.wait_for_ticks();
    again = reads();
  }
  ASSERT_EQ(again.size(), 1u);
  EXPECT_FALSE(victim_.device.is_in_service(broken)) << "a queue pair that has failed is of no more use";
  victim_.device.complete_sends(victim_.device.made().back());
  EXPECT_TRUE(is_done(flush));
  EXPECT_TRUE(link().error()) << "the connection goes on";
}

TEST_F(DeviceMemoryLink, HostMemoryNeedsNoFlush) {
  Guarded buffer(100);
  const RequestId request = link().post_receive(buffer.data(), buffer.size, 0);
  victim_.turn();
  victim_.send(0, message(victim_.data(0), std::vector<std::byte>(16, std::byte{1})));
  EXPECT_TRUE(is_done(request));
  EXPECT_TRUE(is_done(link().post_flush(buffer.data())));
  EXPECT_TRUE(reads().empty());
}

TEST_F(DeviceMemoryLink, LeavesNoRegistrationBehind) {
  std::vector<Guarded> buffers(2, Guarded(100));
  for (Guarded& buffer : buffers) receive(buffer);
  victim_.turn();
  land(0, 0);
  link().post_flush(buffers[0].data());  // and never read
  link().post_flush(buffers[1].data());
  victim_.end();
  for (const auto& registrar : victim_.registrars) EXPECT_EQ(registrar->live(), 0u);
}

TEST(DeviceMemoryOnAPortThatTakesNone, IsRefusedAndNamesIt) {
  Victim victim;
  Guarded buffer(100);
  EXPECT_EQ(victim.link().post_receive(buffer.data(), buffer.size, 0, MemoryKind::kDevice),
            RequestId::kRefused);
  EXPECT_EQ(victim.link().post_send(buffer.data(), buffer.size, 0, MemoryKind::kDevice), RequestId::kRefused);
  EXPECT_THAT(victim.link().takes_device_memory().message(), HasSubstr("scripted0:1"));
}

}  // namespace
}  // namespace weft::verbs
