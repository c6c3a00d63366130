// A peer process that dies in the midst of a transfer (SIGKILL): what is pending at the survivor fails, and
// the error says where and what to look at.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <vector>

#include "tests/engine/loopback.h"

namespace weft::loopback {
namespace {

using testing::HasSubstr;

Config impatient() {
  Config config = loopback::config();
  config.peer_timeout = std::chrono::milliseconds(800);
  return config;
}

constexpr std::size_t kBytes = 16 << 20;

// Sends and receives until it is killed.
[[noreturn]] void transfer_for_ever(Connection& connection) {
  Bytes out(kBytes), in(kBytes);
  std::array<RequestId, 8> requests{};
  while (true) {
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (requests[i] == RequestId::kNone) {
        requests[i] = i % 2 ? connection.post_send(out.data(), kBytes, 1)
                            : connection.post_receive(in.data(), kBytes, 1);
      } else if (connection.test(requests[i]).done) {
        requests[i] = RequestId::kNone;
      }
    }
  }
}

bool write_all(int fd, const Address& address) {
  return write(fd, address.bytes.data(), address.bytes.size()) == static_cast<ssize_t>(address.bytes.size());
}
bool read_all(int fd, Address& address) {
  return read(fd, address.bytes.data(), address.bytes.size()) == static_cast<ssize_t>(address.bytes.size());
}

// The victim: no thread of a Context exists yet when it is forked.
[[noreturn]] void be_the_victim(bool listens, int in, int out) {
  auto context = make_context(impatient());
  std::unique_ptr<Connection> connection;
  if (context && listens) {
    auto listener = listen(*context);
    if (listener && write_all(out, listener->address())) connection = accept_one(*listener);
    if (connection) transfer_for_ever(*connection);
  } else if (context) {
    Address address;
    if (!read_all(in, address)) _exit(1);
    auto connector = context->connect(address);
    if (!connector) _exit(1);
    auto polled = poll_until_settled(**connector);
    if (polled && *polled) transfer_for_ever(**polled);
  }
  _exit(1);
}

class KilledPeer : public testing::TestWithParam<bool> {};

TEST_P(KilledPeer, FailsAllPendingRequestsWithAnErrorThatSaysWhere) {
  const bool victim_listens = GetParam();
  int to_victim[2], from_victim[2];
  ASSERT_EQ(pipe(to_victim), 0);
  ASSERT_EQ(pipe(from_victim), 0);
  const pid_t victim = fork();
  ASSERT_GE(victim, 0);
  if (victim == 0) be_the_victim(victim_listens, to_victim[0], from_victim[1]);

  LogBook log;
  auto context = make_context(impatient(), &log);
  ASSERT_TRUE(context);
  std::unique_ptr<Connection> connection;
  std::unique_ptr<Listener> listener;
  if (victim_listens) {
    Address address;
    ASSERT_TRUE(read_all(from_victim[0], address));
    auto connector = context->connect(address);
    ASSERT_TRUE(connector) << connector.status().message();
    auto polled = poll_until_settled(**connector);
    ASSERT_TRUE(polled) << polled.status().message();
    connection = std::move(*polled);
  } else {
    listener = listen(*context);
    ASSERT_TRUE(listener);
    ASSERT_TRUE(write_all(to_victim[1], listener->address()));
    connection = accept_one(*listener);
  }
  ASSERT_TRUE(connection);

  Bytes out(kBytes), in(kBytes);
  std::vector<RequestId> sends(8), receives(8);
  const auto keep_going = [&] {
    for (RequestId& send : sends)
      if (send == RequestId::kNone || connection->test(send).done)
        send = connection->post_send(out.data(), kBytes, 1);
    for (RequestId& receive : receives)
      if (receive == RequestId::kNone || connection->test(receive).done)
        receive = connection->post_receive(in.data(), kBytes, 1);
  };
  ASSERT_TRUE(repeat_until([&] {
    keep_going();
    return totals(*connection).received_bytes > 2 * kBytes + kBytes / 2;
  }));
  ASSERT_TRUE(connection->error().is_ok()) << connection->error().message();
  // It must not post more between our last look and its end: it is stopped, eight are posted each way, and of
  // these no more can go through than the four that it has posted.
  int status = 0;
  ASSERT_EQ(kill(victim, SIGSTOP), 0);
  ASSERT_EQ(waitpid(victim, &status, WUNTRACED), victim);
  ASSERT_TRUE(WIFSTOPPED(status));
  keep_going();
  ASSERT_EQ(kill(victim, SIGKILL), 0);
  ASSERT_EQ(waitpid(victim, &status, 0), victim);
  ASSERT_TRUE(WIFSIGNALED(status)) << "it had ended by itself";

  int lost = 0;
  for (const auto& requests : {sends, receives}) {
    for (RequestId request : requests) {
      const Completion completion = wait(*connection, request);
      ASSERT_TRUE(completion.done);
      // What had arrived before the end may complete.
      EXPECT_TRUE(completion.status == StatusCode::kPeerLost || completion.status == StatusCode::kOk);
      if (completion.status == StatusCode::kPeerLost) ++lost;
    }
  }
  EXPECT_GE(lost, 8)
      << "eight were posted each way, and the peer had posted four: these may have gone through";
  const Status error = connection->error();
  EXPECT_EQ(error.code(), StatusCode::kPeerLost);
  for (const char* words :
       {"peer 127.0.0.1", "device lo", "127.0.0.1:", "path 0", "path 3", "WEFT_TIMEOUT_MS", "alive"})
    EXPECT_THAT(error.message(), HasSubstr(words));
  EXPECT_THAT(log.text(), HasSubstr("WEFT_TIMEOUT_MS"));

  const RequestId late = connection->post_send(out.data(), 1, 1);
  ASSERT_NE(late, RequestId::kNone);
  EXPECT_EQ(wait(*connection, late).status, StatusCode::kPeerLost);
  for (int fd : {to_victim[0], to_victim[1], from_victim[0], from_victim[1]}) close(fd);
}

INSTANTIATE_TEST_SUITE_P(, KilledPeer, testing::Bool(),
                         [](const auto& side) { return side.param ? "ThatListened" : "ThatConnected"; });

}  // namespace
}  // namespace weft::loopback
