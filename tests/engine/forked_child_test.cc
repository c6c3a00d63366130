// A child that the application forks while connections are open: it has no part in them, and neither its life
// nor its end is noticed at either end.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "tests/engine/loopback.h"

namespace weft::loopback {
namespace {

bool has_sockets() {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    std::string what = std::filesystem::read_symlink(entry.path(), gone).string();
    if (what.starts_with("socket:") || what.ends_with("[eventpoll]")) return true;
  }
  return false;
}

// The child's exit status, or -1.
template <typename Life>
int status_of_child(Life&& life) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(static_cast<unsigned>(kPatience.count()));  // only ends a child that hangs
    life();
    std::abort();
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

class ForkedChild : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_FALSE(has_sockets()) << "the test was started with open sockets";
    Config with_statistics = config_without_silence_limit();
    with_statistics.stats_file = testing::TempDir() + "weft-forked-child-%p.json";
    near_ = make_context(with_statistics, &log_);
    far_ = make_context(config_without_silence_limit(), &log_);
    ASSERT_TRUE(near_ && far_);
    listener_ = listen(*far_);
    ASSERT_TRUE(listener_);
    pair_ = connect(*near_, *listener_);
    ASSERT_TRUE(pair_.connected && pair_.accepted);
  }
  void TearDown() override {
    for (const Connection* end : {pair_.connected.get(), pair_.accepted.get()}) {
      EXPECT_TRUE(end->error().is_ok()) << end->error().message();
      EXPECT_EQ(totals(*end).failures, 0u);
    }
    auto nobody = listener_->accept();
    EXPECT_TRUE(nobody && !*nobody);
    EXPECT_EQ(log_.text(), "");
    pair_.connected.reset();
    near_.reset();
    EXPECT_TRUE(std::filesystem::remove(testing::TempDir() + "weft-forked-child-" + std::to_string(getpid()) +
                                        ".json"));
  }

  LogBook log_;
  std::unique_ptr<Context> near_, far_;
  std::unique_ptr<Listener> listener_;
  Pair pair_;
};

TEST_F(ForkedChild, HasNoneOfTheSockets) {
  ASSERT_TRUE(has_sockets());
  EXPECT_EQ(status_of_child([] { _exit(has_sockets() ? 1 : 0); }), 0);
  expect_messages_pass(*pair_.connected, *pair_.accepted, 1 << 20, 1);
}

TEST_F(ForkedChild, ThatExitsInMidTransferDisturbsNothing) {
  constexpr std::size_t kBytes = 4 << 20;
  const Bytes out = pattern(kBytes, 3);
  for (int round = 0; round < 20; ++round) {
    Bytes in(kBytes);
    const RequestId receive = pair_.accepted->post_receive(in.data(), kBytes, 1);
    const RequestId send = pair_.connected->post_send(out.data(), kBytes, 1);
    pair_.accepted->progress();
    EXPECT_EQ(status_of_child([] { _exit(3); }), 3);
    ASSERT_EQ(wait(*pair_.accepted, receive, *pair_.connected).status, StatusCode::kOk);
    ASSERT_EQ(wait(*pair_.connected, send, *pair_.accepted).status, StatusCode::kOk);
    ASSERT_TRUE(in == out);
  }
}

// As where main() returns in the child. What has the numbers of the parent's sockets is the child's own by
// then.
TEST_F(ForkedChild, MayDestroyEverything) {
  for (int round = 0; round < 20; ++round) {
    const int status = status_of_child([&] {
      int ends[2], opened = 0;
      for (; opened < 8; ++opened)
        if (pipe(ends) != 0) _exit(1);
      pair_.connected.reset();
      pair_.accepted.reset();
      listener_.reset();
      near_.reset();
      far_.reset();
      _exit(write(ends[1], "x", 1) == 1 ? 3 : 2);
    });
    EXPECT_EQ(status, 3);
    expect_messages_pass(*pair_.connected, *pair_.accepted, 300000, static_cast<unsigned>(round));
  }
}

TEST_F(ForkedChild, MayBeginAnew) {
  if (WEFT_SANITIZED)
    GTEST_SKIP() << "ThreadSanitizer allows no threads in a child of a process that has some";
  const int status = status_of_child([&] {
    auto near = make_context(config()), far = make_context(config());
    if (!near || !far) _exit(1);
    auto listener = listen(*far);
    Pair pair = connect(*near, *listener);
    pair_.connected.reset();
    near_.reset();
    if (!pair.connected || !pair.accepted) _exit(1);
    expect_messages_pass(*pair.connected, *pair.accepted, 300000, 1);
    _exit(testing::Test::HasFailure() ? 1 : 3);
  });
  EXPECT_EQ(status, 3);
  expect_messages_pass(*pair_.connected, *pair_.accepted, 300000, 2);
}

}  // namespace
}  // namespace weft::loopback
