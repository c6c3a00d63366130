// A peer process that dies in the midst of a transfer (SIGKILL): what is pending at the survivor fails, and
// the error says where and what to look at. Also where the dead process has left a child behind that it had
// forked, as a training script's data loaders are.
#include <memory>
#include <string>
#include <vector>

#include "tests/engine/peer_process.h"

namespace weft::loopback {
namespace {

using testing::HasSubstr;

Config impatient() {
  Config config = loopback::config();
  config.peer_timeout = std::chrono::milliseconds(800);
  return config;
}

constexpr std::size_t kMessageBytes = 16 << 20;

struct Victim {
  bool listens;
  bool leaves_a_child;
};

class KilledPeer : public testing::TestWithParam<Victim> {};

TEST_P(KilledPeer, FailsAllPendingRequestsWithAnErrorThatSaysWhere) {
  PeerProcess victim(PeerOptions{.listens = GetParam().listens,
                                 .leaves_a_child = GetParam().leaves_a_child,
                                 .message_bytes = kMessageBytes,
                                 .config = impatient()});
  LogBook log;
  auto context = make_context(impatient(), &log);
  ASSERT_TRUE(context);
  auto connected = victim.connect(*context);
  ASSERT_TRUE(connected);

  Transfers transfers(std::move(connected), kMessageBytes);
  Connection* connection = &transfers.connection();
  transfers.receive(2 * kMessageBytes + kMessageBytes / 2);
  ASSERT_TRUE(connection->error().is_ok()) << connection->error().message();
  // It must not post more between our last look and its end: it is stopped, eight are posted each way, and of
  // these no more can go through than the four that it has posted.
  ASSERT_TRUE(victim.stop());
  transfers.keep_going();
  ASSERT_TRUE(victim.kill()) << "it had ended by itself";

  int lost = 0;
  for (const auto& requests : {transfers.sends(), transfers.receives()}) {
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

  Bytes byte(1);
  const RequestId late = connection->post_send(byte.data(), 1, 1);
  ASSERT_NE(late, RequestId::kNone);
  EXPECT_EQ(wait(*connection, late).status, StatusCode::kPeerLost);
}

INSTANTIATE_TEST_SUITE_P(, KilledPeer,
                         testing::Values(Victim{true, false}, Victim{false, false}, Victim{true, true},
                                         Victim{false, true}),
                         [](const auto& victim) {
                           return std::string(victim.param.listens ? "ThatListened" : "ThatConnected") +
                                  (victim.param.leaves_a_child ? "AndLeftAChild" : "");
                         });

}  // namespace
}  // namespace weft::loopback
