// The accepting end of a link over verbs on a device that the test moves (scripted_device.h), and what an
// honest peer of it would say. One thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/verbs/scripted_device.h"
#include "transport/engine/link.h"
#include "transport/verbs/link_backend.h"

namespace weft::verbs {

using multipath::FrameHeader;
using multipath::FrameType;
using multipath::kHeaderBytes;

inline constexpr std::size_t kPlanes = 2;
inline constexpr std::size_t kPaths = 4;  // two a plane
inline constexpr std::size_t kChunk = 64 * 1024;
inline constexpr std::byte kCanary{0xC5};

inline std::vector<std::byte> message(const FrameHeader& header, std::span<const std::byte> rest = {}) {
  std::vector<std::byte> bytes(kHeaderBytes + rest.size());
  multipath::encode(header, std::span<std::byte, kHeaderBytes>(bytes.data(), kHeaderBytes));
  std::copy(rest.begin(), rest.end(), bytes.begin() + kHeaderBytes);
  return bytes;
}

inline std::vector<std::byte> bytes_of(const Place& place) {
  std::vector<std::byte> bytes(place.encoded_bytes());
  encode(place, bytes.data());
  return bytes;
}

// The accepting end of a link, with all its paths in service.
class Victim {
 public:
  explicit Victim(multipath::Duration peer_timeout = std::chrono::seconds(60),
                  bool takes_device_memory = false) {
    tcp::DialledPlan plan;
    plan.paths = kPaths;
    multipath::EndpointConfig config;
    for (std::size_t path = 0; path < kPaths; ++path)
      plan.path_planes.push_back(static_cast<multipath::PlaneId>(path / (kPaths / kPlanes)));
    config.path_planes = plan.path_planes;
    config.chunk_bytes = kChunk;
    config.peer_timeout = peer_timeout;
    config.path_timeout = std::chrono::seconds(50);
    std::vector<std::shared_ptr<Rail>> rails;
    std::vector<std::shared_ptr<RegistrationCache>> caches;
    for (std::size_t plane = 0; plane < kPlanes; ++plane) {
      plan.ports.push_back(plane);
      ports_.push_back(device.port(static_cast<std::uint8_t>(plane)));
      ports_.back().takes_device_memory = takes_device_memory;
      rails.push_back(*Rail::create(ports_.back(), kPaths / kPlanes));
      registrars.push_back(std::make_shared<ScriptedRegistrar>());
      caches.push_back(std::make_shared<RegistrationCache>(registrars.back()));
    }
    const auto log = std::make_shared<const engine::Log>(
        [this](LogLevel, const std::string& line) { said += line + "\n"; }, LogLevel::kDebug);
    auto backend = std::make_unique<LinkBackend>(plan, std::move(rails), std::move(caches), burial_, log);
    backend_ = backend.get();
    link_ = std::make_unique<engine::Link>(config, std::move(backend), log);
    for (std::size_t path = 0; path < kPaths; ++path) connect(path, 1);
  }

  // As the acceptor does for a HELLO. False: refused.
  bool dial(std::size_t path, std::uint32_t incarnation) {
    tcp::Hello hello;
    hello.path_index = static_cast<std::uint8_t>(path);
    hello.total_paths = kPaths;
    hello.incarnation = incarnation;
    PathOffer offer;
    offer.queue.queue_pair = 99;
    offer.queue.mtu = 5;
    offer.queue.gid = *parse_gid("10.0.0.2");
    offer.queue.device = "evil0:1";
    hello.options.push_back(offer_option(offer));
    auto prepared = backend_->prepare(hello, *tcp::IpAddress::parse("10.0.0.2"));
    if (!prepared) return false;
    queues_[path] = device.made().back();
    link_->with_endpoint([&](multipath::Endpoint& endpoint, engine::Backend&, multipath::TimePoint now) {
      backend_->await(std::move(*prepared), endpoint, now);
      return true;
    });
    return true;
  }
  void connect(std::size_t path, std::uint32_t incarnation) {
    ASSERT_TRUE(dial(path, incarnation));
    sequences_[path] = acknowledged_[path] = 0;
    FrameHeader probe;
    probe.type = FrameType::kProbe;
    probe.path_sequence = 1;
    send(path, message(probe));
  }

  void send(std::size_t path, std::span<const std::byte> bytes) {
    // An idle link does not look at its device more often than every few microseconds.
    std::this_thread::sleep_for(std::chrono::microseconds(20));
    device.receive(queues_[path], bytes);
    turn();
  }
  void turn() {
    link_->progress();
    for (const ScriptedDevice::Sent& sent : device.take_sent()) check(sent);
  }
  // What an honest peer says in every frame.
  FrameHeader stamped(FrameHeader header, std::size_t path) const {
    header.path_acknowledged = acknowledged_[path];
    header.credit_seen = credits_;
    return header;
  }
  // A few turns of housekeeping.
  void wait_for_ticks(int ticks = 4) {
    for (int i = 0; i < ticks; ++i) {
      link_->housekeep();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  // A data frame that is in order, so that what else is wrong with it is found.
  FrameHeader data(std::size_t path, std::uint16_t slot = 0, std::uint32_t bytes = 16) {
    FrameHeader header;
    header.type = FrameType::kData;
    header.slot = slot;
    header.chunk_shift = 16;
    header.length = std::min<std::uint32_t>(bytes, kChunk);
    header.message_bytes = bytes;
    header.path_sequence = sequences_[path]++;
    return header;
  }

  std::uint32_t queue(std::size_t path) const { return queues_[path]; }
  multipath::Path state(std::size_t path) {
    return link_->with_endpoint([&](multipath::Endpoint& endpoint, engine::Backend&, multipath::TimePoint) {
      return endpoint.paths()[path];
    });
  }
  bool serves(std::size_t path) { return device.is_in_service(queues_[path]) && state(path).connected; }
  engine::Link& link() { return *link_; }
  RailPort& port(std::size_t plane) { return ports_[plane]; }
  void end() { link_.reset(); }
  void wait_for_burials() { burial_.wait(); }

  ScriptedDevice device;
  std::vector<std::shared_ptr<ScriptedRegistrar>> registrars;
  std::string said;
  std::size_t writes = 0;

 private:
  // Whatever is posted reads memory that is registered at that moment.
  void check(const ScriptedDevice::Sent& sent) {
    const std::size_t path = SendMark::unpack(sent.id).token % multipath::kMaxPaths;
    if (sent.operation == IBV_WR_SEND) return read(path, sent);
    if (sent.operation == IBV_WR_RDMA_READ) return;  // none of a path's
    if (sent.operation == IBV_WR_RDMA_WRITE_WITH_IMM) ++acknowledged_[path];
    ++writes;
    EXPECT_TRUE(std::any_of(registrars.begin(), registrars.end(),
                            [&](const auto& registrar) {
                              return registrar->covers(sent.local_key, sent.local_address, sent.length);
                            }))
        << "key " << sent.local_key;
  }

  void read(std::size_t path, const ScriptedDevice::Sent& sent) {
    EXPECT_LE(sent.length, kMessageBytes);
    FrameHeader header;
    ASSERT_EQ(multipath::decode(std::span(sent.message).first<kHeaderBytes>(), header),
              multipath::FrameError::kNone);
    if (header.type == FrameType::kData) ++acknowledged_[path];
    const bool announces = header.type == FrameType::kClearToSend;
    if (announces && multipath::message_number(header.epoch, header.slot) == credits_) ++credits_;
    if ((header.flags & multipath::kFlagCredit) != 0 && header.credit_number == credits_) ++credits_;
  }

  std::vector<RailPort> ports_;
  QueueBurial burial_;
  LinkBackend* backend_ = nullptr;
  std::unique_ptr<engine::Link> link_;
  std::array<std::uint32_t, kPaths> queues_{};
  std::array<std::uint32_t, kPaths> sequences_{};
  std::array<std::uint32_t, kPaths> acknowledged_{};  // data frames that came from it
  std::uint32_t credits_ = 0;                         // receives that it has announced
};

// A buffer that a receive was posted for, with guards around it.
struct Guarded {
  explicit Guarded(std::size_t bytes) : size(bytes), all(bytes + 2 * kGuard, kCanary) {}
  std::byte* data() { return all.data() + kGuard; }
  bool is_intact() const {
    const auto untouched = [](std::byte byte) { return byte == kCanary; };
    return std::all_of(all.begin(), all.begin() + kGuard, untouched) &&
           std::all_of(all.end() - kGuard, all.end(), untouched);
  }
  static constexpr std::ptrdiff_t kGuard = 64;
  std::size_t size;
  std::vector<std::byte> all;
};

inline FrameHeader clear_to_send(std::uint32_t number, std::uint64_t capacity) {
  FrameHeader header;
  header.type = FrameType::kClearToSend;
  header.slot = static_cast<std::uint16_t>(number % multipath::kSlots);
  header.epoch = number / multipath::kSlots;
  header.message_bytes = capacity;
  return header;
}

inline Place place_with_keys(std::uint8_t keys) {
  Place place;
  place.address = 0x7000;
  place.key_count = keys;
  for (std::uint8_t i = 0; i < keys; ++i) place.keys[i] = 100u + i;
  return place;
}

}  // namespace weft::verbs
