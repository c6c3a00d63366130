// What the tests of the public API over real sockets share: Contexts on the loopback device, a connected pair
// of connections, and the driving of both ends from one thread.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "weft/context.h"

namespace weft::loopback {

using Bytes = std::vector<std::byte>;

// Only ends a test that hangs.
inline constexpr std::chrono::seconds kPatience{90};

// One device, four paths, chunks small enough for messages to be cut up, and time limits that a busy machine
// keeps.
Config config();
// The same, for a test that counts path failures: on a busy machine a process may get no turn for longer than
// the default limit, and a path's silence is not what such a test is about.
Config config_without_silence_limit();

// Keeps what a Context says. Any thread; must outlive the Context.
class LogBook {
 public:
  LogSink sink();
  std::string text() const;

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

std::unique_ptr<Context> make_context(const Config& config, LogBook* log = nullptr);
std::unique_ptr<Listener> listen(Context& context);

struct Pair {
  std::unique_ptr<Connection> connected;
  std::unique_ptr<Connection> accepted;
};
// Fails the test, and gives nulls, where there is no connection.
Pair connect(Context& from, Listener& to);

// Two contexts, and a connection between them that start() makes, or makes anew.
class ConnectedContexts : public testing::Test {
 protected:
  void start(const Config& first, const Config& second);
  Connection& one() { return *pair_.connected; }
  Connection& other() { return *pair_.accepted; }

  std::unique_ptr<Context> first_, second_;
  std::unique_ptr<Listener> listener_;
  Pair pair_;
};

// Polls until there is a connection or an error; kUnreachable where patience ends.
Result<std::unique_ptr<Connection>> poll_until_settled(Connector& connector);
std::unique_ptr<Connection> accept_one(Listener& listener);

// Calls `step` until it says true. False when patience ends.
bool repeat_until(const std::function<bool()>& step);

// Tests a request while the other end is kept moving.
Completion wait(Connection& connection, RequestId request, Connection& other);
// Where the other end is in another process.
Completion wait(Connection& connection, RequestId request);

Bytes pattern(std::size_t bytes, unsigned seed);

// A message each way, compared.
void expect_messages_pass(Connection& one, Connection& other, std::size_t bytes, unsigned seed);

struct PathTotals {
  std::uint64_t failures = 0, revivals = 0, resent = 0, received_bytes = 0;
  bool all_good = true;
};
PathTotals totals(const Connection& connection);

}  // namespace weft::loopback
