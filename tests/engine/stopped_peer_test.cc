// A peer process that is stopped (SIGSTOP) and whose host goes on acknowledging: waited for, but not for
// ever. And a whole job that is stopped and continues.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "tests/engine/peer_process.h"

namespace weft::loopback {
namespace {

using testing::HasSubstr;

Config with_timeout(std::chrono::milliseconds timeout) {
  Config config = loopback::config();
  config.peer_timeout = timeout;
  return config;
}

// Little is in flight: once a stopped process's buffers are full, its host no longer acknowledges what comes.
constexpr std::size_t kMessageBytes = 1000;

TEST(StoppedPeer, IsWaitedForLongerThanATimeout) {
  const Config config = with_timeout(std::chrono::milliseconds(1000));
  PeerProcess peer(PeerOptions{.message_bytes = kMessageBytes, .config = config});
  LogBook log;
  auto context = make_context(config, &log);
  ASSERT_TRUE(context);
  auto connected = peer.connect(*context);
  ASSERT_TRUE(connected);
  Transfers transfers(std::move(connected), kMessageBytes);
  const Connection& connection = transfers.connection();
  transfers.receive(kMessageBytes);
  peer.signal(SIGSTOP);
  const auto until = std::chrono::steady_clock::now() + 3 * config.peer_timeout;
  while (std::chrono::steady_clock::now() < until) transfers.keep_going();
  EXPECT_TRUE(connection.error().is_ok()) << connection.error().message();
  peer.signal(SIGCONT);
  transfers.receive(100 * kMessageBytes);
  EXPECT_TRUE(connection.error().is_ok()) << connection.error().message();
}

// The timeout is long enough for kernels, which may delay an acknowledgement that nobody asks for by 200 ms.
TEST(StoppedPeer, IsGivenUpWhenItStaysSilent) {
  const Config config = with_timeout(std::chrono::milliseconds(800));
  PeerProcess peer(PeerOptions{.message_bytes = kMessageBytes, .config = config});
  LogBook log;
  auto context = make_context(config, &log);
  ASSERT_TRUE(context);
  auto connected = peer.connect(*context);
  ASSERT_TRUE(connected);
  Transfers transfers(std::move(connected), kMessageBytes);
  Connection& connection = transfers.connection();
  transfers.receive(kMessageBytes);
  peer.signal(SIGSTOP);
  EXPECT_TRUE(repeat_until([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return !connection.error().is_ok();
  }));
  for (const auto& requests : {transfers.receives(), transfers.sends()})
    for (RequestId request : requests) EXPECT_TRUE(wait(connection, request).done);
  EXPECT_EQ(connection.error().code(), StatusCode::kPeerLost);
  for (const char* words : {"peer 127.0.0.1", "device lo", "16000 ms", "20 x WEFT_TIMEOUT_MS", "stopped"})
    EXPECT_THAT(connection.error().message(), HasSubstr(words));
  EXPECT_THAT(log.text(), HasSubstr("20 x WEFT_TIMEOUT_MS"));
}

// One end of a connection on which nothing is said but that both live. Exits with 3 if the connection stands
// when it hears a byte from `until`.
[[noreturn]] void wait_for_a_silent_peer(const Config& config, int until, int said) {
  PeerProcess peer(PeerOptions{.message_bytes = 0, .config = config});
  auto context = make_context(config);
  auto connection = context ? peer.connect(*context) : nullptr;
  if (!connection) _exit(1);
  Bytes in(1);
  const RequestId receive = connection->post_receive(in.data(), in.size(), 1);
  if (write(said, "x", 1) != 1) _exit(1);
  char byte = 0;
  if (read(until, &byte, 1) != 1) _exit(1);  // the housekeeping thread looks after the connection
  const bool done = connection->test(receive).done;
  peer.signal(SIGCONT);
  peer.kill();
  _exit(done ? 2 : 3);
}

TEST(StoppedJob, GoesOnWhenItIsContinued) {
  const Config config = with_timeout(std::chrono::milliseconds(1000));
  int orders[2], words[2];
  ASSERT_EQ(pipe(orders), 0);
  ASSERT_EQ(pipe(words), 0);
  const pid_t job = fork();
  ASSERT_GE(job, 0);
  if (job == 0) {
    setpgid(0, 0);  // its peer will be of the same group
    wait_for_a_silent_peer(config, orders[0], words[1]);
  }
  char byte = 0;
  ASSERT_EQ(read(words[0], &byte, 1), 1);
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ(kill(-job, SIGSTOP), 0);
    std::this_thread::sleep_for(3 * config.peer_timeout);
    // One after the other, as schedulers do.
    ASSERT_EQ(kill(job, SIGCONT), 0);
    std::this_thread::sleep_for(config.peer_timeout / 4);
    ASSERT_EQ(kill(-job, SIGCONT), 0);
    std::this_thread::sleep_for(config.peer_timeout / 4);
  }
  ASSERT_EQ(write(orders[1], "x", 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(job, &status, 0), job);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 3) << "2: the pending receive has failed";
  for (int fd : {orders[0], orders[1], words[0], words[1]}) close(fd);
}

}  // namespace
}  // namespace weft::loopback
