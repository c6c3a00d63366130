// What a hostile peer or a broken NIC can bring, by chance, between what an honest one brings. What must hold
// is what hostile_link_test.cc says; a seed that fails is printed.
#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <random>

#include "tests/verbs/link_under_attack.h"

namespace weft::verbs {
namespace {

class ByChance {
 public:
  // How far runs came: of use is only a test that gets past the first door.
  struct Reached {
    std::size_t received = 0, sent = 0, failed = 0, writes = 0, closed = 0;
  };
  ByChance(std::uint64_t seed, Reached& reached) : random_(seed), reached_(reached) {}

  void run() {
    for (int step = 0; step < 150; ++step) {
      act();
      victim_.turn();
      settle();
    }
    victim_.device.refuses = {};
    victim_.device.refuses_to_destroy = false;
    reached_.writes += victim_.writes;
    for (std::size_t at = 0; (at = victim_.said.find("is closed: the peer sent", at)) != std::string::npos;
         ++at)
      ++reached_.closed;
    victim_.link().begin_close();
    for (const Done& done : done_) EXPECT_EQ(done.content, done.buffer->all) << "written after its time";
    for (const auto& buffer : buffers_) EXPECT_TRUE(buffer->is_intact());
    victim_.end();
    for (const auto& registrar : victim_.registrars) EXPECT_EQ(registrar->live(), 0u) << "a key left behind";
  }

 private:
  struct Pending {
    RequestId request;
    std::shared_ptr<Guarded> buffer;
    bool receives;
  };
  struct Done {
    std::shared_ptr<Guarded> buffer;
    std::vector<std::byte> content;
  };

  std::uint32_t below(std::uint32_t bound) {
    return std::uniform_int_distribution<std::uint32_t>(0, bound - 1)(random_);
  }

  void post() {
    constexpr std::size_t kSizes[] = {0, 1, 16, 100, 4096, 100000};
    auto buffer = std::make_shared<Guarded>(kSizes[below(std::size(kSizes))]);
    const bool receives = below(2) == 0;
    const RequestId request = receives ? victim_.link().post_receive(buffer->data(), buffer->size, 0)
                                       : victim_.link().post_send(buffer->data(), buffer->size, 0);
    if (request == RequestId::kNone) return;
    buffers_.push_back(buffer);
    pending_.push_back({request, buffer, receives});
    if (receives) receives_.push_back(buffer->size);
    if (!receives) ++sends_;
  }
  void settle() {
    std::erase_if(pending_, [&](const Pending& one) {
      const Completion completion = victim_.link().test(one.request);
      if (!completion.done) return false;
      ++(completion.status != StatusCode::kOk ? reached_.failed
         : one.receives                       ? reached_.received
                                              : reached_.sent);
      done_.push_back({one.buffer, one.buffer->all});
      return true;
    });
  }
  // Mostly what an honest peer would send now.
  FrameHeader frame(std::size_t path) {
    const std::uint32_t kind = below(10);
    if (kind < 4 && answered_ < receives_.size()) {
      const auto bytes = static_cast<std::uint32_t>(receives_[answered_]);
      FrameHeader header =
          victim_.data(path, static_cast<std::uint16_t>(answered_ % multipath::kSlots), bytes);
      header.epoch = answered_++ / multipath::kSlots;
      return header;
    }
    if (kind < 7 && announced_ < sends_) return clear_to_send(announced_++, 100000);
    FrameHeader header;
    header.type = FrameType::kFeedback;
    if (below(15) != 0) return header;
    header.type = static_cast<FrameType>(2 + below(7));
    header.slot = static_cast<std::uint16_t>(below(kPaths + 1));
    header.epoch = below(3);
    header.path_sequence = below(4);
    return header;
  }
  void spoil(FrameHeader& header) {
    const std::uint32_t wild = below(3) == 0 ? static_cast<std::uint32_t>(random_()) : below(8);
    switch (below(12)) {
      case 0:
        header.slot = static_cast<std::uint16_t>(wild);
        break;
      case 1:
        header.epoch = wild;
        break;
      case 2:
        header.length = wild;
        break;
      case 3:
        header.offset = wild;
        break;
      case 4:
        header.message_bytes = wild;
        break;
      case 5:
        header.path_sequence = wild;
        break;
      case 6:
        header.chunk_shift = static_cast<std::uint8_t>(wild);
        break;
      case 7:
        header.path_acknowledged = wild;
        break;
      case 8:
        header.credit_seen = wild;
        break;
      case 9:
        header.flags = static_cast<std::uint8_t>(wild & multipath::kAllFlags);
        break;
      case 10:
        header.credit_capacity = wild;
        break;
      default:
        header.credit_number = wild;
        break;
    }
  }
  void deliver(std::size_t path) {
    FrameHeader header = victim_.stamped(frame(path), path);
    const bool spoiled = below(12) == 0;
    if (spoiled) spoil(header);
    std::vector<std::byte> rest;
    const bool announces = header.type == FrameType::kClearToSend || (header.flags & multipath::kFlagCredit);
    if (announces) {
      const auto keys = static_cast<std::uint8_t>(header.message_bytes > kSmallPayloadBytes ? kPlanes : 0);
      rest = bytes_of(place_with_keys(spoiled ? static_cast<std::uint8_t>(below(5)) : keys));
    }
    if (header.type == FrameType::kData && header.message_bytes <= kSmallPayloadBytes)
      rest.resize(rest.size() + (spoiled ? below(40) : header.length), std::byte{0xAB});
    auto bytes = message(header, rest);
    if (bytes.size() > kMessageBytes) bytes.resize(kMessageBytes);
    if (below(60) == 0) bytes.resize(below(static_cast<std::uint32_t>(bytes.size()) + 1));
    victim_.device.receive(victim_.queue(path), bytes);
    if (header.type != FrameType::kData || spoiled || header.message_bytes <= kChunk) return;
    // The rest of a message of two chunks, by its immediate.
    const Immediate chunk{
        static_cast<std::uint8_t>(header.slot), 1,
        static_cast<std::uint16_t>(victim_.data(path).path_sequence & Immediate::kSequenceMask)};
    victim_.device.receive_immediate(victim_.queue(path), htonl(pack(chunk)),
                                     static_cast<std::uint32_t>(header.message_bytes) - kChunk);
  }
  // As the connecting end does with a path that failed.
  void revive() {
    for (std::size_t path = 0; path < kPaths; ++path)
      if (!victim_.serves(path) && victim_.link().error()) victim_.connect(path, ++incarnations_[path]);
  }
  void act() {
    const std::size_t path = below(kPaths);
    switch (below(16)) {
      case 0:
      case 1:
        return post();
      case 2:
        return victim_.device.complete_sends(victim_.queue(path));
      case 3:
        if (below(8) != 0) return;
        return victim_.device.receive_immediate(
            victim_.queue(path),
            htonl(pack(Immediate{static_cast<std::uint8_t>(below(6)), static_cast<std::uint16_t>(below(3)),
                                 static_cast<std::uint16_t>(below(4))})),
            below(2) == 0 ? kChunk : 100000 - kChunk);
      case 4: {
        if (below(4) != 0) return;
        ibv_wc completion{};
        completion.wr_id = SendMark{below(256), below(8)}.pack();
        completion.status = below(2) == 0 ? IBV_WC_SUCCESS : IBV_WC_RETRY_EXC_ERR;
        completion.qp_num = 15 + below(16);
        return victim_.device.complete(below(kPlanes), completion);
      }
      case 5:
        victim_.link().housekeep();
        return;
      case 6:
        if (below(4) == 0) victim_.device.complete_sends(victim_.queue(path), IBV_WC_RETRY_EXC_ERR);
        return;
      case 7:
        victim_.device.refuses.modify_to_error = below(100) == 0;
        victim_.wait_for_burials();
        victim_.device.refuses_to_destroy = below(200) == 0;
        return;
      case 8:
      case 9:
        return revive();
      case 10:
        // It says that it comes back.
        if (below(8) == 0) victim_.dial(path, below(8));
        return;
      default:
        for (std::uint32_t frames = 1 + below(3); frames != 0; --frames) deliver(path);
    }
  }

  std::mt19937_64 random_;
  Victim victim_;
  Reached& reached_;
  std::uint32_t announced_ = 0, answered_ = 0, sends_ = 0;
  std::vector<std::size_t> receives_;  // how much each holds, in order
  std::array<std::uint32_t, kPaths> incarnations_{1, 1, 1, 1};
  std::vector<std::shared_ptr<Guarded>> buffers_;
  std::vector<Pending> pending_;
  std::vector<Done> done_;
};

TEST(HostileLink, WhateverComes) {
  ByChance::Reached reached;
  for (std::uint64_t seed = 1; seed <= 300 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    ByChance(seed, reached).run();
  }
  std::printf("%zu received, %zu sent, %zu failed, %zu writes, %zu paths closed for a malformed frame\n",
              reached.received, reached.sent, reached.failed, reached.writes, reached.closed);
  for (const std::size_t count :
       {reached.received, reached.sent, reached.failed, reached.writes, reached.closed})
    EXPECT_GE(count, 100u);
}

}  // namespace
}  // namespace weft::verbs
