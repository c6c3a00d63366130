// Peers that mean ill, on real sockets: strangers who never say what they want, and peers that shake hands
// well and then send what nobody may. Each ends its own connection; another one of the same Context never
// notices.
#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/engine/loopback.h"
#include "transport/multipath/frame.h"
#include "transport/tcp/address_codec.h"
#include "transport/tcp/handshake.h"
#include "transport/tcp/socket.h"

namespace weft::loopback {
namespace {

using multipath::FrameHeader;
using multipath::FrameType;
using testing::HasSubstr;
using testing::Not;

// `house`: the last byte of the address from which it knocks, 127.0.0.1 by default.
tcp::Socket knock(const Address& address, std::uint8_t house = 1) {
  auto listener = tcp::decode_address(address);
  EXPECT_TRUE(listener);
  sockaddr_storage storage{};
  const socklen_t bytes = listener->endpoints[0].address.to_sockaddr(listener->endpoints[0].port, &storage);
  tcp::Socket socket(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage own{};
  const socklen_t own_bytes = tcp::IpAddress::parse("127.0.0." + std::to_string(house))->to_sockaddr(0, &own);
  EXPECT_EQ(::bind(socket.fd(), reinterpret_cast<sockaddr*>(&own), own_bytes), 0) << errno;
  EXPECT_EQ(::connect(socket.fd(), reinterpret_cast<sockaddr*>(&storage), bytes), 0) << errno;
  return socket;
}

void say(const tcp::Socket& socket, std::span<const std::byte> bytes) {
  // A victim that has hung up already has judged what it had to.
  (void)!send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

// Whether the other end has closed; passes over what it still had to say.
bool hung_up(const tcp::Socket& socket) {
  std::array<std::byte, 4096> bytes;
  const ssize_t got = recv(socket.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

std::size_t open_files() {
  std::size_t count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

// A Context that is attacked, and a well-behaved connection to it over which data passes all the while.
class Victim {
 public:
  void start() {
    Config patient = config_without_silence_limit();  // a path failure here is the attack's doing
    near_ = make_context(patient);
    patient.log_level = LogLevel::kInfo;
    context_ = make_context(patient, &log_);
    ASSERT_TRUE(near_ && context_);
    listener_ = listen(*context_);
    ASSERT_TRUE(listener_);
    honest_ = connect(*near_, *listener_);
    ASSERT_TRUE(honest_.connected && honest_.accepted);
  }

  Context& near() { return *near_; }
  Listener& listener() { return *listener_; }
  std::string log() const { return log_.text(); }

  void honest_transfer() { expect_messages_pass(*honest_.connected, *honest_.accepted, 300001, seed_ += 2); }

  void expect_honest_connection_unharmed() {
    ASSERT_TRUE(honest_.connected && honest_.accepted);
    honest_transfer();
    for (const Connection* end : {honest_.connected.get(), honest_.accepted.get()}) {
      EXPECT_TRUE(end->error().is_ok()) << end->error().message();
      EXPECT_EQ(totals(*end).failures, 0u) << "the honest connection noticed: " << log();
    }
  }

  // Waits for the victim to hang up, while data passes on the honest connection.
  bool throws_out(const tcp::Socket& socket) {
    return repeat_until([&] {
      honest_transfer();
      return hung_up(socket);
    });
  }

  // A path of a connection of its own, through a valid handshake.
  tcp::Socket shake_hands(std::uint8_t total_paths = 1) {
    tcp::Socket socket = knock(listener_->address());
    tcp::Hello hello;
    hello.listener_id = tcp::decode_address(listener_->address())->listener_id;
    for (std::byte& byte : hello.connection_id) byte = static_cast<std::byte>(random_());
    for (std::byte& byte : hello.nonce) byte = static_cast<std::byte>(random_());
    hello.incarnation = 1;
    hello.total_paths = total_paths;
    hello.parameters.chunk_limit_bytes = 64 * 1024;
    hello.endpoints = {{tcp::IpAddress::parse("127.0.0.1").value(), 0, 8}};
    tcp::ClientHandshake handshake(no_secret_, hello, "the victim");
    EXPECT_TRUE(repeat_until([&] {
      say(socket, handshake.output());
      handshake.sent(handshake.output().size());
      std::array<std::byte, 2048> bytes;
      const ssize_t got = recv(socket.fd(), bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
      if (got > 0) {
        const std::size_t taken = handshake.feed({bytes.data(), static_cast<std::size_t>(got)});
        (void)!recv(socket.fd(), bytes.data(), taken, 0);
      }
      return handshake.state() != tcp::HandshakeState::kInProgress;
    }));
    EXPECT_EQ(handshake.state(), tcp::HandshakeState::kDone) << handshake.status().message();
    return socket;
  }

  std::mt19937& random() { return random_; }

 private:
  const tcp::HandshakeSecret no_secret_{""};
  std::mt19937 random_{4711};
  unsigned seed_ = 0;
  LogBook log_;
  std::unique_ptr<Context> near_, context_;
  std::unique_ptr<Listener> listener_;
  Pair honest_;
};

class Hostile : public testing::Test {
 protected:
  void SetUp() override { victim_.start(); }
  void TearDown() override { victim_.expect_honest_connection_unharmed(); }

  Victim victim_;
};

struct Attack {
  const char* name;
  const char* words;  // of the victim's log
  FrameHeader header;
  std::size_t payload_bytes = 0;
};

FrameHeader frame(FrameType type) {
  FrameHeader header;
  header.type = type;
  header.path_sequence = type == FrameType::kData ? 1 : 0;
  header.chunk_shift = 16;
  return header;
}

FrameHeader data(std::uint64_t offset, std::uint32_t length, std::uint64_t message_bytes) {
  FrameHeader header = frame(FrameType::kData);
  header.offset = offset;
  header.length = length;
  header.message_bytes = message_bytes;
  return header;
}

template <typename Change>
FrameHeader changed(FrameHeader header, Change change) {
  change(header);
  return header;
}

// Each with a valid checksum. The victim has posted one receive of 4,096 bytes, which is slot 0 of epoch 0.
std::vector<Attack> impossible_frames() {
  return {
      {"MessageLargerThanItsReceive", "larger than its receive", data(0, 65536, 1 << 20), 65536},
      {"ChunkOutsideItsMessage", "outside its message", data(1 << 20, 4096, 4096), 4096},
      {"ChunkAtACrookedOffset", "outside its message", data(17, 4079, 4096), 4079},
      {"ChunkOfTheWrongLength", "wrong length", data(0, 4095, 4096), 4095},
      {"ChunkLongerThanItsMessage", "wrong length", data(0, 0xffffffffu, 4096), 4096},
      {"OffsetThatOverflows", "outside its message", data(0xffffffffffff0000ull, 4096, 4096), 4096},
      {"MessageOfAllBytesThereAre", "more chunks than the limit", data(0, 65536, ~std::uint64_t{0}), 65536},
      {"ImpossibleChunkSize", "impossible chunk size",
       changed(data(0, 4096, 4096), [](auto& h) { h.chunk_shift = 63; }), 4096},
      {"ChunkSizeOf255", "impossible chunk size",
       changed(data(0, 4096, 4096), [](auto& h) { h.chunk_shift = 255; }), 4096},
      {"ReceiveThatWasNeverPosted", "never posted", changed(data(0, 8, 8), [](auto& h) { h.slot = 1; }), 8},
      {"SlotBeyondTheLimit", "slot beyond the limit",
       changed(data(0, 8, 8), [](auto& h) { h.slot = 0xffff; }), 8},
      {"EpochOfTheFuture", "never posted", changed(data(0, 8, 8), [](auto& h) { h.epoch = 0xffffffffu; }), 8},
      {"FrameBeyondTheWindow", "than the window",
       changed(data(0, 8, 8), [](auto& h) { h.path_sequence = 0x7fffffff; }), 8},
      {"TruncatedMessageWithPayload", "wrong length",
       changed(data(0, 8, 8), [](auto& h) { h.flags = multipath::kFlagTruncated; }), 8},
      {"AcknowledgementOfNothing", "never sent",
       changed(frame(FrameType::kFeedback), [](auto& h) { h.path_acknowledged = 9; })},
      {"CreditThatWasNeverGiven", "more clear-to-sends than were sent",
       changed(frame(FrameType::kFeedback), [](auto& h) { h.credit_seen = 1000; })},
      {"ClearToSendForASlotBeyondTheLimit", "slot beyond the limit",
       changed(frame(FrameType::kClearToSend), [](auto& h) { h.slot = 256; })},
      {"ClearToSendOfTheFuture", "more clear-to-sends than slots",
       changed(frame(FrameType::kClearToSend), [](auto& h) { h.epoch = 70000; })},
      {"PathDownForAPathThatDoesNotExist", "path that does not exist",
       changed(frame(FrameType::kPathDown),
               [](auto& h) {
                 h.slot = 60;
                 h.epoch = 1;
               })},
      {"ConfirmationForAPathThatDoesNotExist", "path that does not exist",
       changed(frame(FrameType::kPathDownConfirm), [](auto& h) { h.slot = 60; })},
      {"UnknownType", "its frame type is unknown",
       changed(frame(FrameType::kFeedback), [](auto& h) { h.type = static_cast<FrameType>(99); })},
      {"CodedPayloadThatWasNotAgreedOn", "unknown flags",
       changed(data(0, 4096, 4096),
               [](auto& h) {
                 h.flags = multipath::kFlagCoded;
                 h.coded_length = 100;
               }),
       100},
      {"UnknownFlags", "unknown flags",
       changed(frame(FrameType::kFeedback), [](auto& h) { h.flags = 0x80; })},
      {"FeedbackWithPayload", "only data frames may have a payload",
       changed(frame(FrameType::kFeedback), [](auto& h) { h.length = 8; }), 8},
  };
}

// One victim for all: it outlives every attack. (A connection whose only path is gone lingers for a second
// when it is closed, in case its peer comes back; so does a Context that has one, and here it waits for all
// at once.)
class HostileFrame : public testing::TestWithParam<Attack> {
 protected:
  static void SetUpTestSuite() {
    victim_ = std::make_unique<Victim>();
    victim_->start();
  }
  static void TearDownTestSuite() { victim_.reset(); }
  void TearDown() override { victim_->expect_honest_connection_unharmed(); }

  static std::unique_ptr<Victim> victim_;
};
std::unique_ptr<Victim> HostileFrame::victim_;

TEST_P(HostileFrame, EndsItsOwnPathOnly) {
  const std::size_t said_before = victim_->log().size();
  tcp::Socket attacker = victim_->shake_hands();
  auto attacked = accept_one(victim_->listener());
  ASSERT_TRUE(attacked);
  constexpr std::size_t kReceive = 4096, kGuard = 1 << 20;
  Bytes memory(kGuard + kReceive + kGuard, std::byte{0xee});
  const RequestId receive = attacked->post_receive(memory.data() + kGuard, kReceive, 0);
  attacked->progress();

  Bytes bytes(multipath::kHeaderBytes + GetParam().payload_bytes, std::byte{0x66});
  multipath::encode(GetParam().header, std::span<std::byte, multipath::kHeaderBytes>(bytes.data(), 64));
  say(attacker, bytes);
  EXPECT_TRUE(victim_->throws_out(attacker));
  const auto is_untouched = [](std::byte byte) { return byte == std::byte{0xee}; };
  EXPECT_TRUE(std::all_of(memory.begin(), memory.begin() + kGuard, is_untouched));
  EXPECT_TRUE(std::all_of(memory.end() - kGuard, memory.end(), is_untouched));
  const std::string said = victim_->log().substr(said_before);
  ASSERT_THAT(said, HasSubstr("malformed frame: "));
  EXPECT_THAT(said.substr(said.find("malformed frame: ")), HasSubstr(GetParam().words));
  for (const char* words : {"path 0", "device lo", "peer 127.0.0.1:"}) EXPECT_THAT(said, HasSubstr(words));
  EXPECT_FALSE(attacked->test(receive).done) << "the path may come back until the peer timeout";
}

INSTANTIATE_TEST_SUITE_P(, HostileFrame, testing::ValuesIn(impossible_frames()),
                         [](const auto& attack) { return std::string(attack.param.name); });

TEST_F(Hostile, NoiseAfterAGoodHandshakeEndsItsOwnPath) {
  for (int round = 0; round < 20; ++round) {
    tcp::Socket attacker = victim_.shake_hands(static_cast<std::uint8_t>(1 + round % 64));
    Bytes noise(64 + victim_.random()() % 5000);
    for (std::byte& byte : noise) byte = static_cast<std::byte>(victim_.random()());
    if (round % 2 == 0) {  // a valid beginning that is damaged behind
      multipath::encode(frame(FrameType::kFeedback), std::span<std::byte, 64>(noise.data(), 64));
      noise[static_cast<std::size_t>(round) + 5] ^= std::byte{1};
    }
    say(attacker, noise);
    EXPECT_TRUE(victim_.throws_out(attacker));
  }
}

// What is not wrong in itself, but comes without end, takes no memory: the victim may keep the connection.
TEST_F(Hostile, FloodsOfValidFramesDoNotStallOthers) {
  tcp::Socket attacker = victim_.shake_hands();
  auto attacked = accept_one(victim_.listener());
  ASSERT_TRUE(attacked);
  Bytes flood;
  for (unsigned i = 0; i < 500; ++i) {
    const std::size_t at = flood.size();
    flood.resize(at + 64);
    multipath::encode(changed(frame(FrameType::kProbe), [&](auto& h) { h.path_sequence = i + 1; }),
                      std::span<std::byte, 64>(flood.data() + at, 64));
  }
  for (int round = 0; round < 200; ++round) {
    (void)!send(attacker.fd(), flood.data(), flood.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (round % 10 == 0) victim_.honest_transfer();
  }
}

TEST_F(Hostile, StrangersWhoTalkNonsenseAreThrownOut) {
  using namespace std::string_view_literals;
  std::vector<tcp::Socket> strangers;
  for (std::string_view nonsense :
       {"GET / HTTP/1.1\r\nHost: weft\r\n\r\n"sv, "\0\0\0\0\0\0\0\0\0\0"sv, "WFTH\1\2\xff\xff too long"sv,
        "WFTH\1\1\x2c\0 a challenge, all 44 bytes and some more"sv,
        "WFTH\x63\2\x60\0 another version, and bytes until it is whole"
        "......................................................."sv}) {
    strangers.push_back(knock(victim_.listener().address()));
    say(strangers.back(), std::as_bytes(std::span(nonsense)));
  }
  for (const tcp::Socket& stranger : strangers) EXPECT_TRUE(victim_.throws_out(stranger));
  EXPECT_THAT(victim_.log(), Not(HasSubstr("said nothing"))) << "each is judged by what it said, at once";
}

// kMaxGuests of transport/tcp/acceptor.h.
constexpr std::size_t kMaxGuests = 512;

TEST_F(Hostile, CrowdsOfSilentStrangersAreBoundedAndGoAway) {
  const std::size_t before = open_files();
  constexpr std::size_t kCrowd = 700;
  std::vector<tcp::Socket> crowd;
  for (std::size_t i = 0; i < kCrowd; ++i)
    crowd.push_back(knock(victim_.listener().address(), static_cast<std::uint8_t>(2 + i % 4)));
  // Two begin to speak and stop: within the header, and behind it.
  say(crowd[0], std::as_bytes(std::span("WFTH", 4)));
  say(crowd[1], std::as_bytes(std::span("WFTH\1\1\x2c\0 half a challenge", 25)));
  std::size_t most = 0;
  // Who has spoken is thrown out when its time is over.
  EXPECT_TRUE(repeat_until([&] {
    victim_.honest_transfer();
    most = std::max(most, open_files() - before - kCrowd);
    return hung_up(crowd[0]);
  }));
  EXPECT_TRUE(victim_.throws_out(crowd[1]));
  EXPECT_TRUE(victim_.throws_out(crowd[2]));
  EXPECT_THAT(victim_.log(), HasSubstr("said nothing of Weft's handshake"));
  EXPECT_LE(most, kMaxGuests + 8) << "8: for what else a Context may open meanwhile";
  EXPECT_GE(most, kMaxGuests / 2) << "the crowd was not let in: this test has tested nothing";
  // And somebody who has business here comes through, although the crowd still stands at the door.
  Pair late = connect(victim_.near(), victim_.listener());
  ASSERT_TRUE(late.connected && late.accepted);
  expect_messages_pass(*late.connected, *late.accepted, 100000, 1);
}

// What one address may hold of them (kMaxGuestsOfOneSource).
TEST_F(Hostile, CrowdsFromOneAddressLeaveRoomForOthers) {
  std::vector<tcp::Socket> crowd;
  for (std::size_t i = 0; i < kMaxGuests; ++i) crowd.push_back(knock(victim_.listener().address(), 2));
  // Whose time is over is named in the log; those beyond the bound are not waited for.
  const auto sent_away_at_once = [&] {
    const auto gone = static_cast<std::size_t>(std::count_if(crowd.begin(), crowd.end(), hung_up));
    const std::string log = victim_.log();
    std::size_t waited_for = 0;
    for (std::size_t at = log.find("but said nothing"); at != std::string::npos;
         at = log.find("but said nothing", at + 1))
      ++waited_for;
    return gone - std::min(gone, waited_for);
  };
  EXPECT_TRUE(repeat_until([&] {
    victim_.honest_transfer();
    return sent_away_at_once() >= kMaxGuests / 2;
  }));
  Pair late = connect(victim_.near(), victim_.listener());
  ASSERT_TRUE(late.connected && late.accepted);
}

TEST_F(Hostile, SilentCrowdsFromManyAddressesMakeRoomForThoseWhoSpeak) {
  std::vector<tcp::Socket> crowd;
  for (std::size_t i = 0; i < 2 * kMaxGuests; ++i)
    crowd.push_back(knock(victim_.listener().address(), static_cast<std::uint8_t>(2 + i % 8)));
  Pair late = connect(victim_.near(), victim_.listener());
  ASSERT_TRUE(late.connected && late.accepted);
  EXPECT_THAT(victim_.log(), HasSubstr("to make room for others"));
  EXPECT_TRUE(victim_.throws_out(crowd[0]));
}

}  // namespace
}  // namespace weft::loopback
