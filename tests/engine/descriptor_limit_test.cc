// A process that runs out of file descriptors while a connection comes up: it goes on over the paths that
// there are, says what is short, and names every path.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/engine/loopback.h"

namespace weft::loopback {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Lets the process have so many descriptors more, until it goes.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(int more) {
    getrlimit(RLIMIT_NOFILE, &before_);
    // Their numbers need not follow one another. What must not be opened any more is one more.
    std::vector<int> free;
    for (int i = 0; i <= more; ++i) free.push_back(open("/dev/null", O_RDONLY));
    for (int descriptor : free) close(descriptor);
    rlimit limit = before_;
    limit.rlim_cur = limit_ = static_cast<rlim_t>(free.back());
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~DescriptorLimit() { setrlimit(RLIMIT_NOFILE, &before_); }
  rlim_t limit() const { return limit_; }

 private:
  rlimit before_{};
  rlim_t limit_;
};

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(DescriptorLimit, LeavesAConnectionOverFewerPathsThatAreAllNamed) {
  LogBook near_log, far_log;
  auto near = make_context(config(), &near_log), far = make_context(config(), &far_log);
  ASSERT_TRUE(near && far);
  auto listener = listen(*far);
  ASSERT_TRUE(listener);
  Pair pair;
  {
    // The first path's two sockets, an epoll set for each end, and one socket of the second path.
    const DescriptorLimit scarce(5);
    pair = connect(*near, *listener);
    ASSERT_TRUE(pair.connected && pair.accepted);
    const std::string limit = "RLIMIT_NOFILE is " + std::to_string(scarce.limit());
    EXPECT_TRUE(repeat_until([&] { return far_log.text().find(limit) != std::string::npos; }));
    for (const LogBook* log : {&near_log, &far_log}) {
      EXPECT_THAT(log->text(), AllOf(HasSubstr(limit), HasSubstr("ulimit -n"), HasSubstr("device lo")));
      EXPECT_EQ(count(log->text(), "RLIMIT_NOFILE"), 1u) << "once is enough: " << log->text();
    }
    for (const Connection* end : {pair.connected.get(), pair.accepted.get()}) {
      int down = 0;
      for (const PathStatistics& path : end->statistics().paths) {
        down += std::string(path.state) != "GOOD";
        EXPECT_EQ(path.local_device, "lo");
        EXPECT_THAT(path.local_address, HasSubstr("127.0.0.1"));
        EXPECT_THAT(path.peer_address, HasSubstr("127.0.0.1"));
      }
      EXPECT_GE(down, 2) << "there was room for all: this test has tested nothing";
    }
    expect_messages_pass(*pair.connected, *pair.accepted, 300000, 1);
  }
  // With room again the others come up by themselves.
  EXPECT_TRUE(repeat_until([&] {
    pair.connected->progress();
    pair.accepted->progress();
    return totals(*pair.connected).all_good && totals(*pair.accepted).all_good;
  }));
  expect_messages_pass(*pair.connected, *pair.accepted, 300000, 3);
}

// Not even the link's own descriptor can be had: an error, no crash.
TEST(DescriptorLimit, WithoutRoomForALinkConnectingFailsInWords) {
  LogBook near_log, far_log;
  Config config = loopback::config();
  config.connect_timeout = std::chrono::milliseconds(500);
  for (const int room : {0, 1, 2, 3}) {
    auto near = make_context(config, &near_log), far = make_context(config, &far_log);
    ASSERT_TRUE(near && far);
    auto listener = listen(*far);
    ASSERT_TRUE(listener);
    const DescriptorLimit scarce(room);
    auto connector = near->connect(listener->address());
    ASSERT_TRUE(connector) << connector.status().message();
    auto polled = poll_until_settled(**connector);
    if (polled) continue;  // the other end is the one that went without
    EXPECT_THAT(polled.status().message() + near_log.text() + far_log.text(), HasSubstr("RLIMIT_NOFILE"));
  }
}

}  // namespace
}  // namespace weft::loopback
