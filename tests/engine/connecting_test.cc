// Setting connections up and ending them, with every half of it missing: real TCP on the loopback device.
#include <memory>
#include <string>
#include <vector>

#include "tests/engine/loopback.h"
#include "transport/tcp/address_codec.h"

namespace weft::loopback {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Connecting, ManyAtOnceWithPollsAndAcceptsThatFindNothing) {
  auto near = make_context(config()), far = make_context(config());
  ASSERT_TRUE(near && far);
  auto listener = listen(*far);
  ASSERT_TRUE(listener);
  for (int i = 0; i < 2000; ++i) {
    auto accepted = listener->accept();
    ASSERT_TRUE(accepted && !*accepted) << "nobody has connected yet";
  }
  constexpr int kConnections = 24;
  std::vector<std::unique_ptr<Connector>> connectors;
  std::vector<std::unique_ptr<Connection>> connected(kConnections), accepted;
  for (int i = 0; i < kConnections; ++i) {
    auto connector = near->connect(listener->address());
    ASSERT_TRUE(connector) << connector.status().message();
    connectors.push_back(std::move(*connector));
  }
  int polls = 0;
  ASSERT_TRUE(repeat_until([&] {
    bool all = true;
    for (std::size_t i = 0; i < connectors.size(); ++i) {
      if (connected[i]) continue;
      auto polled = connectors[i]->poll();
      ++polls;
      if (!polled) {
        ADD_FAILURE() << polled.status().message();
        return true;
      }
      connected[i] = std::move(*polled);
      all = all && connected[i];
    }
    // Never more accepts than needed to keep up: connections wait for them.
    auto one = listener->accept();
    if (one && *one) accepted.push_back(std::move(*one));
    return all && accepted.size() == kConnections;
  }));
  EXPECT_GT(polls, kConnections);

  // Which accepted connection belongs to which connected one is told over itself, both ways.
  std::vector<int> said(kConnections), heard(kConnections, -1), back(kConnections, -1);
  std::vector<RequestId> sends, receives, echoes;
  for (std::size_t i = 0; i < kConnections; ++i) {
    said[i] = static_cast<int>(i) + 1000;
    echoes.push_back(connected[i]->post_receive(&back[i], sizeof(int), 0));
    sends.push_back(connected[i]->post_send(&said[i], sizeof(int), 0));
    receives.push_back(accepted[i]->post_receive(&heard[i], sizeof(int), 0));
  }
  for (std::size_t i = 0; i < kConnections; ++i) {
    ASSERT_EQ(wait(*accepted[i], receives[i]).status, StatusCode::kOk);
    const RequestId echo = accepted[i]->post_send(&heard[i], sizeof(int), 0);
    ASSERT_EQ(wait(*accepted[i], echo).status, StatusCode::kOk);
  }
  for (std::size_t i = 0; i < kConnections; ++i) {
    ASSERT_EQ(wait(*connected[i], sends[i]).status, StatusCode::kOk);
    ASSERT_EQ(wait(*connected[i], echoes[i]).status, StatusCode::kOk);
    EXPECT_EQ(back[i], said[i]);
  }
  for (int i = 0; i < 2000; ++i) {
    auto more = listener->accept();
    ASSERT_TRUE(more && !*more) << "a connection that nobody made";
  }
}

TEST(Connecting, HalfOpenConnectorsAreDroppedWithoutATrace) {
  auto near = make_context(config()), far = make_context(config());
  ASSERT_TRUE(near && far);
  auto listener = listen(*far);
  ASSERT_TRUE(listener);
  for (int polls = 0; polls < 60; ++polls) {
    auto connector = near->connect(listener->address());
    ASSERT_TRUE(connector);
    for (int i = 0; i < polls * polls; ++i) {
      auto polled = (*connector)->poll();
      ASSERT_TRUE(polled) << polled.status().message();
      if (*polled) break;
      if (i % 7 == 0) {
        auto accepted = listener->accept();
        ASSERT_TRUE(accepted);
      }
    }
  }
  auto connector = near->connect(listener->address());
  ASSERT_TRUE(connector);
  auto connection = poll_until_settled(**connector);
  ASSERT_TRUE(connection) << connection.status().message();
  // What the dropped ones have left behind may be accepted first; nothing comes over it.
  int token = 4711;
  const RequestId send = (*connection)->post_send(&token, sizeof token, 99);
  std::vector<std::unique_ptr<Connection>> accepted;
  std::vector<std::unique_ptr<int>> heard;
  std::vector<RequestId> receives;
  bool found = false;
  EXPECT_TRUE(repeat_until([&] {
    auto one = listener->accept();
    if (one && *one) {
      accepted.push_back(std::move(*one));
      heard.push_back(std::make_unique<int>(-1));
      receives.push_back(accepted.back()->post_receive(heard.back().get(), sizeof(int), 99));
    }
    for (std::size_t i = 0; i < accepted.size(); ++i) {
      if (receives[i] == RequestId::kNone) continue;
      const Completion completion = accepted[i]->test(receives[i]);
      if (!completion.done) continue;
      receives[i] = RequestId::kNone;
      found = found || (completion.status == StatusCode::kOk && *heard[i] == token);
    }
    return found;
  }));
  EXPECT_EQ(wait(**connection, send).status, StatusCode::kOk);
}

// tests/netns has the machines with so many interfaces.
TEST(Connecting, WhereTheAddressHasNotRoomForAllEndpointsTheListenerIsAsked) {
  for (const char* secret : {"", "open-sesame-1"}) {
    Config same = config_without_silence_limit();
    same.secret = secret;
    auto near = make_context(same), far = make_context(same);
    ASSERT_TRUE(near && far);
    auto listener = listen(*far);
    ASSERT_TRUE(listener);
    auto whole = tcp::decode_address(listener->address());
    ASSERT_TRUE(whole);
    auto shortened = tcp::encode_address(whole->listener_id, whole->endpoints, 3);
    ASSERT_TRUE(shortened);
    auto connector = near->connect(*shortened);
    ASSERT_TRUE(connector);
    auto connected = poll_until_settled(**connector);
    ASSERT_TRUE(connected) << connected.status().message();
    auto accepted = accept_one(*listener);
    ASSERT_TRUE(accepted);
    expect_messages_pass(**connected, *accepted, 300000, 1);
    auto more = listener->accept();
    EXPECT_TRUE(more && !*more) << "who asks is no connection";
    EXPECT_EQ(totals(*accepted).failures, 0u);

    listener.reset();
    auto late = near->connect(*shortened);
    ASSERT_TRUE(late);
    auto refused = poll_until_settled(**late);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.status().message(), HasSubstr("no such listener"));
  }
}

TEST(Connecting, ToAListenerThatIsGoneSaysSo) {
  auto near = make_context(config()), far = make_context(config());
  ASSERT_TRUE(near && far);
  auto listener = listen(*far);
  ASSERT_TRUE(listener);
  const Address address = listener->address();
  listener.reset();
  auto connector = near->connect(address);
  ASSERT_TRUE(connector);
  auto refused = poll_until_settled(**connector);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.status().code(), StatusCode::kUnreachable);
  EXPECT_THAT(refused.status().message(), HasSubstr("listener"));

  Address garbage = address;
  garbage.bytes[20] ^= std::byte{1};
  auto never = near->connect(garbage);
  ASSERT_FALSE(never);
  EXPECT_EQ(never.status().code(), StatusCode::kInvalidArgument);
}

TEST(Connecting, WithoutACommonFamilySaysWhatEitherSideHas) {
  Config ipv6 = config();
  ipv6.address_family = 6;
  if (!Context::create(ipv6, {})) GTEST_SKIP() << "the loopback device of this machine has no IPv6 address";
  auto near = make_context(config()), far = make_context(ipv6);
  ASSERT_TRUE(near && far);
  auto listener = listen(*far);
  ASSERT_TRUE(listener);
  auto connector = near->connect(listener->address());
  ASSERT_FALSE(connector);
  EXPECT_EQ(connector.status().code(), StatusCode::kUnreachable);
  EXPECT_THAT(connector.status().message(),
              AllOf(HasSubstr("127.0.0.1/8"), HasSubstr("::1/128"),
                    HasSubstr("we offer IPv4 loopback, the peer IPv6 loopback"), HasSubstr("WEFT_FAMILY")));
}

TEST(Connecting, AndNeverBeingAcceptedEndsWithTheListener) {
  auto near = make_context(config()), far = make_context(config());
  ASSERT_TRUE(near && far);
  auto listener = listen(*far);
  ASSERT_TRUE(listener);
  std::vector<std::unique_ptr<Connection>> connections;
  for (int i = 0; i < 3; ++i) {
    auto connector = near->connect(listener->address());
    ASSERT_TRUE(connector);
    auto connection = poll_until_settled(**connector);
    ASSERT_TRUE(connection) << connection.status().message();
    connections.push_back(std::move(*connection));
  }
  Bytes data = pattern(100000, 1);
  std::vector<RequestId> sends;
  for (auto& connection : connections) sends.push_back(connection->post_send(data.data(), data.size(), 1));
  listener.reset();
  for (std::size_t i = 0; i < connections.size(); ++i) {
    EXPECT_EQ(wait(*connections[i], sends[i]).status, StatusCode::kPeerLost);
    EXPECT_THAT(connections[i]->error().message(), HasSubstr("closed the connection"));
  }
}

// The memory of the requests is given back at once: nothing may touch it any more (a sanitizer looks).
TEST(Closing, WithRequestsInFlightLeavesBuffersAloneAndFailsThePeers) {
  auto near = make_context(config()), far = make_context(config());
  ASSERT_TRUE(near && far);
  auto listener = listen(*far);
  ASSERT_TRUE(listener);
  for (int round = 0; round < 6; ++round) {
    Pair pair = connect(*near, *listener);
    ASSERT_TRUE(pair.connected && pair.accepted);
    std::unique_ptr<Connection>& leaving = round % 2 == 0 ? pair.connected : pair.accepted;
    std::unique_ptr<Connection>& staying = round % 2 == 0 ? pair.accepted : pair.connected;
    constexpr std::size_t kBytes = 8 << 20;
    auto out = std::make_unique<Bytes>(kBytes), in = std::make_unique<Bytes>(kBytes);
    Bytes peer_out(kBytes), peer_in(kBytes);
    for (int i = 0; i < 4; ++i) {
      ASSERT_NE(leaving->post_send(out->data(), kBytes, 1), RequestId::kNone);
      ASSERT_NE(leaving->post_receive(in->data(), kBytes, 1), RequestId::kNone);
    }
    std::vector<RequestId> pending;
    for (int i = 0; i < 4; ++i) {
      pending.push_back(staying->post_receive(peer_in.data(), kBytes, 1));
      pending.push_back(staying->post_send(peer_out.data(), kBytes, 1));
    }
    ASSERT_TRUE(repeat_until([&] {
      leaving->progress();
      staying->progress();
      return totals(*leaving).received_bytes > kBytes / 4;
    }));
    leaving.reset();
    out.reset();
    in.reset();
    int lost = 0;
    for (RequestId request : pending) {
      const Completion completion = wait(*staying, request);
      EXPECT_TRUE(completion.status == StatusCode::kOk || completion.status == StatusCode::kPeerLost);
      if (completion.status == StatusCode::kPeerLost) ++lost;
    }
    EXPECT_GE(lost, 1) << "how many were through before the close is a matter of speed; not all can be";
    EXPECT_EQ(staying->error().code(), StatusCode::kPeerLost);
    EXPECT_THAT(staying->error().message(), HasSubstr("127.0.0.1"));
    EXPECT_THAT(staying->error().message(), HasSubstr("closed the connection"))
        << "it was told, it did not wait";
    int value = 0;
    const RequestId late = staying->post_send(&value, sizeof value, 1);
    ASSERT_NE(late, RequestId::kNone);
    EXPECT_EQ(wait(*staying, late).status, StatusCode::kPeerLost);
  }
}

struct Secrets {
  const char* connector;
  const char* listener;
};

class WrongSecret : public testing::TestWithParam<Secrets> {};

TEST_P(WrongSecret, IsRefusedInClearWordsAtBothEnds) {
  Config ours = config(), theirs = config();
  ours.secret = GetParam().connector;
  theirs.secret = GetParam().listener;
  LogBook log;
  auto near = make_context(ours), far = make_context(theirs, &log);
  ASSERT_TRUE(near && far);
  auto listener = listen(*far);
  ASSERT_TRUE(listener);
  auto connector = near->connect(listener->address());
  ASSERT_TRUE(connector);
  auto refused = poll_until_settled(**connector);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.status().code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(refused.status().message(), HasSubstr("WEFT_SECRET"));
  EXPECT_THAT(refused.status().message(), HasSubstr("127.0.0.1:"));
  auto nobody = listener->accept();
  ASSERT_TRUE(nobody);
  EXPECT_FALSE(*nobody);
  EXPECT_TRUE(repeat_until([&] { return log.text().find("WEFT_SECRET") != std::string::npos; }));
  for (const char* secret : {GetParam().connector, GetParam().listener}) {
    if (*secret == '\0') continue;
    EXPECT_EQ(refused.status().message().find(secret), std::string::npos) << "a secret is shown";
    EXPECT_EQ(log.text().find(secret), std::string::npos) << "a secret is logged";
  }
}

INSTANTIATE_TEST_SUITE_P(, WrongSecret,
                         testing::Values(Secrets{"open-sesame-1", "open-sesame-2"},
                                         Secrets{"open-sesame-1", ""}, Secrets{"", "open-sesame-2"}));

TEST(RightSecret, ConnectsAllPathsAndRevivesThem) {
  Config secret = config();
  secret.secret = "open-sesame-1";
  auto near = make_context(secret), far = make_context(secret);
  ASSERT_TRUE(near && far);
  auto listener = listen(*far);
  ASSERT_TRUE(listener);
  Pair pair = connect(*near, *listener);
  ASSERT_TRUE(pair.connected && pair.accepted);
  expect_messages_pass(*pair.connected, *pair.accepted, 1000000, 1);
  ASSERT_TRUE(pair.connected->cut_path(1).is_ok());
  EXPECT_TRUE(repeat_until([&] {
    pair.connected->progress();
    return totals(*pair.connected).revivals > 0 && totals(*pair.connected).all_good;
  }));
  expect_messages_pass(*pair.connected, *pair.accepted, 1000000, 3);
}

}  // namespace
}  // namespace weft::loopback
