#include "tests/engine/loopback.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <thread>

namespace weft::loopback {

namespace {

// WEFT_TEST_VERBS=DEVICES/DEVICES lets these tests run over RDMA: the devices of the first and of the second
// Context that a test makes, in the syntax of WEFT_IB_HCA, as many as there are planes.
std::optional<std::array<std::string, 2>> verbs_devices() {
  const char* text = std::getenv("WEFT_TEST_VERBS");
  if (text == nullptr) return std::nullopt;
  const std::string both(text);
  const std::size_t slash = both.find('/');
  return std::array<std::string, 2>{both.substr(0, slash), both.substr(slash + 1)};
}

}  // namespace

Config config() {
  Config config;
  config.transport = TransportChoice::kTcp;
  config.interfaces = "=lo";
  config.address_family = 4;
  config.paths_per_plane = 4;
  config.chunk_bytes = 64 * 1024;
  config.peer_timeout = std::chrono::seconds(30);
  if (auto devices = verbs_devices()) {
    const auto planes = 1 + std::count(devices->front().begin(), devices->front().end(), ',');
    config.transport = TransportChoice::kVerbs;
    config.paths_per_plane = 4 / static_cast<int>(planes);
    if (std::getenv("WEFT_TEST_MRC") != nullptr) config.rdma.mrc = MrcChoice::kOn;
  }
  // WEFT_TEST_TRANSPORT=ucx: over UCX, by what UCX_NET_DEVICES names, a plane each.
  if (const char* name = std::getenv("WEFT_TEST_TRANSPORT");
      name != nullptr && name == std::string_view("ucx")) {
    const char* text = std::getenv("UCX_NET_DEVICES");
    const std::string_view devices = text == nullptr ? "" : text;
    config.transport = TransportChoice::kUcx;
    config.paths_per_plane = 4 / static_cast<int>(1 + std::count(devices.begin(), devices.end(), ','));
  }
  return config;
}

Config config_without_silence_limit() {
  Config patient = config();
  patient.path_timeout = std::chrono::seconds(10);
  return patient;
}

LogSink LogBook::sink() {
  return [this](LogLevel, const std::string& message) {
    std::lock_guard lock(mutex_);
    text_ += message + "\n";
  };
}

std::string LogBook::text() const {
  std::lock_guard lock(mutex_);
  return text_;
}

std::unique_ptr<Context> make_context(const Config& wanted, LogBook* log) {
  static std::size_t made = 0;
  Config config = wanted;
  if (auto devices = verbs_devices(); devices && config.transport == TransportChoice::kVerbs)
    config.rdma.devices = (*devices)[made++ % 2];
  auto context = Context::create(config, log ? log->sink() : LogSink());
  if (!context) {
    ADD_FAILURE() << context.status().message();
    return nullptr;
  }
  return std::move(*context);
}

std::unique_ptr<Listener> listen(Context& context) {
  auto listener = context.listen();
  if (!listener) {
    ADD_FAILURE() << listener.status().message();
    return nullptr;
  }
  return std::move(*listener);
}

bool repeat_until(const std::function<bool()>& step) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!step()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
  }
  return true;
}

Pair connect(Context& from, Listener& to) {
  Pair pair;
  auto connector = from.connect(to.address());
  if (!connector) {
    ADD_FAILURE() << connector.status().message();
    return pair;
  }
  const bool settled = repeat_until([&] {
    if (!pair.connected) {
      auto polled = (*connector)->poll();
      if (!polled) {
        ADD_FAILURE() << polled.status().message();
        return true;
      }
      pair.connected = std::move(*polled);
    }
    if (!pair.accepted) {
      auto accepted = to.accept();
      if (!accepted) {
        ADD_FAILURE() << accepted.status().message();
        return true;
      }
      pair.accepted = std::move(*accepted);
    }
    return pair.connected && pair.accepted;
  });
  EXPECT_TRUE(settled) << "no connection";
  return pair;
}

void ConnectedContexts::start(const Config& first, const Config& second) {
  pair_ = {};
  listener_.reset();
  first_ = make_context(first);
  second_ = make_context(second);
  ASSERT_TRUE(first_ && second_);
  listener_ = listen(*second_);
  ASSERT_TRUE(listener_);
  pair_ = connect(*first_, *listener_);
  ASSERT_TRUE(pair_.connected && pair_.accepted);
}

Result<std::unique_ptr<Connection>> poll_until_settled(Connector& connector) {
  Result<std::unique_ptr<Connection>> polled{Status(StatusCode::kUnreachable, "patience ended")};
  repeat_until([&] {
    polled = connector.poll();
    return !polled || *polled;
  });
  return polled;
}

std::unique_ptr<Connection> accept_one(Listener& listener) {
  std::unique_ptr<Connection> connection;
  repeat_until([&] {
    auto accepted = listener.accept();
    if (!accepted) {
      ADD_FAILURE() << accepted.status().message();
      return true;
    }
    connection = std::move(*accepted);
    return connection != nullptr;
  });
  return connection;
}

Completion wait(Connection& connection, RequestId request, Connection& other) {
  Completion completion;
  const bool done = repeat_until([&] {
    completion = connection.test(request);
    if (!completion.done) other.progress();
    return completion.done;
  });
  EXPECT_TRUE(done) << "a request does not complete";
  return completion;
}

Completion wait(Connection& connection, RequestId request) {
  Completion completion;
  const bool done = repeat_until([&] {
    completion = connection.test(request);
    if (!completion.done) std::this_thread::yield();
    return completion.done;
  });
  EXPECT_TRUE(done) << "a request does not complete";
  return completion;
}

Bytes pattern(std::size_t bytes, unsigned seed) {
  Bytes data(bytes);
  std::uint32_t state = seed * 2654435761u + 1;
  for (std::byte& byte : data) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return data;
}

void expect_messages_pass(Connection& one, Connection& other, std::size_t bytes, unsigned seed) {
  const Bytes there = pattern(bytes, seed), back = pattern(bytes, seed + 1);
  Bytes at_other(bytes), at_one(bytes);
  const RequestId receive_there = other.post_receive(at_other.data(), bytes, 7);
  const RequestId receive_back = one.post_receive(at_one.data(), bytes, 7);
  const RequestId send_there = one.post_send(there.data(), bytes, 7);
  const RequestId send_back = other.post_send(back.data(), bytes, 7);
  struct {
    Connection& at;
    RequestId request;
    Connection& far;
  } const requests[] = {{other, receive_there, one},
                        {one, receive_back, other},
                        {one, send_there, other},
                        {other, send_back, one}};
  for (const auto& each : requests) {
    ASSERT_NE(each.request, RequestId::kNone);
    const Completion completion = wait(each.at, each.request, each.far);
    ASSERT_TRUE(completion.done);
    ASSERT_EQ(completion.status, StatusCode::kOk) << each.at.error().message();
    ASSERT_EQ(completion.bytes, bytes);
  }
  ASSERT_TRUE(at_other == there) << "seed " << seed;
  ASSERT_TRUE(at_one == back) << "seed " << seed;
}

PathTotals totals(const Connection& connection) {
  PathTotals sum;
  for (const PathStatistics& path : connection.statistics().paths) {
    sum.failures += path.failures;
    sum.revivals += path.revivals;
    sum.resent += path.chunks_resent;
    sum.received_bytes += path.bytes_received;
    sum.all_good = sum.all_good && std::string_view(path.state) == "GOOD";
  }
  return sum;
}

}  // namespace weft::loopback
