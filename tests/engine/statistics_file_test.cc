// WEFT_STATS_FILE: refused at the start where it cannot be written, whole whenever somebody reads it, and
// without power over the rest of Weft when the file system hangs.
#include "transport/engine/statistics_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/engine/loopback.h"

namespace {

// A file system that hangs: the last step of every write waits until it is told to go on.
class Hang {
 public:
  void begin() { set(true); }
  void end() { set(false); }
  bool has_victim() {
    std::lock_guard lock(mutex_);
    return has_victim_;
  }
  void pass() {
    std::unique_lock lock(mutex_);
    has_victim_ = hangs_;
    changed_.wait(lock, [this] { return !hangs_; });
  }

 private:
  void set(bool hangs) {
    std::lock_guard lock(mutex_);
    hangs_ = hangs;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool hangs_ = false;
  bool has_victim_ = false;
};
Hang hang;

}  // namespace

// In place of the C library's.
extern "C" int rename(const char* from, const char* to) noexcept {
  hang.pass();
  return ::renameat(AT_FDCWD, from, AT_FDCWD, to);
}

namespace weft {
namespace {

using loopback::LogBook;
using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A folder that is empty at first and gone at the end.
class StatisticsFile : public ::testing::Test {
 protected:
  StatisticsFile() : folder_(testing::TempDir() + "weft_statistics_" + std::to_string(::getpid())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
  }
  ~StatisticsFile() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ / name; }
  std::string text_of(const std::string& name) const {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }
  static engine::StatisticsFile open(const std::string& pattern) {
    auto file = engine::StatisticsFile::open(pattern);
    EXPECT_TRUE(file.is_ok()) << file.status().message();
    return std::move(*file);
  }

  const std::filesystem::path folder_;
};

TEST_F(StatisticsFile, NamesKnowTheProcessTheHostAndThePercentSign) {
  const std::string pid = std::to_string(getpid());
  char host[256] = {};
  ASSERT_EQ(gethostname(host, sizeof host - 1), 0);
  EXPECT_EQ(engine::expand_file_name("/tmp/plain.json"), "/tmp/plain.json");
  EXPECT_EQ(engine::expand_file_name("%h-%p"), host + ("-" + pid));
  EXPECT_EQ(engine::expand_file_name("100%%.json"), "100%.json");
  EXPECT_EQ(engine::expand_file_name("%%p"), "%p") << "an escaped percent sign begins no other escape";
  EXPECT_EQ(engine::expand_file_name("%%%p"), "%" + pid);
}

TEST_F(StatisticsFile, ThatCannotBeWrittenIsRefusedAtTheStart) {
  const struct {
    std::string name;
    const char* reason;
  } refused[] = {{path("no/folder/x.json"), "No such file or directory"},
                 {path(""), "not accepted"},
                 {folder_, "not an ordinary file"},
                 {"/dev/null", "not an ordinary file"},
                 {path(std::string(300, 'x')), "File name too long"}};
  for (const auto& [name, reason] : refused) {
    Config settings = loopback::config();
    settings.stats_file = name;
    for (const Status& status : {Context::check(settings), Context::create(settings, {}).status()}) {
      EXPECT_EQ(status.code(), StatusCode::kBadConfiguration) << name;
      EXPECT_THAT(status.message(), AllOf(HasSubstr("WEFT_STATS_FILE"), HasSubstr(reason)));
    }
  }
  EXPECT_EQ(files(), 0u) << "trying leaves nothing behind";
}

TEST_F(StatisticsFile, IsReplacedAndLeavesNothingElse) {
  engine::StatisticsFile file = open(path("%p.json"));
  ASSERT_TRUE(file.write(std::string(100000, 'x')).is_ok());
  ASSERT_TRUE(file.write("short").is_ok());
  EXPECT_EQ(text_of(std::to_string(::getpid()) + ".json"), "short");
  EXPECT_EQ(files(), 1u);
  EXPECT_FALSE(file.has_other_writer());
}

TEST_F(StatisticsFile, OfAnEarlierRunIsReplacedInSilence) {
  std::ofstream(path("a.json")) << "earlier";
  engine::StatisticsFile file = open(path("a.json"));
  ASSERT_TRUE(file.write("now").is_ok());
  EXPECT_FALSE(file.has_other_writer());
}

TEST_F(StatisticsFile, OfTwoWritersIsNoticedByBoth) {
  engine::StatisticsFile one = open(path("a.json"));
  engine::StatisticsFile other = open(path("a.json"));
  ASSERT_TRUE(one.write("one").is_ok());
  EXPECT_FALSE(one.has_other_writer());
  ASSERT_TRUE(other.write("other").is_ok());
  EXPECT_TRUE(other.has_other_writer());
  ASSERT_TRUE(one.write("one").is_ok());
  EXPECT_TRUE(one.has_other_writer());
}

TEST_F(StatisticsFile, OfTwoProcessesIsWarnedOfOnce) {
  Config settings = loopback::config();
  settings.stats_file = path("a.json");
  settings.stats_interval = milliseconds(2);
  LogBook log;
  {
    auto one = loopback::make_context(settings, &log);
    auto other = loopback::make_context(settings);
    ASSERT_TRUE(one && other);
    ASSERT_TRUE(loopback::repeat_until([&] { return log.text().find("put %p") != std::string::npos; }));
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_EQ(log.text().find("put %p"), log.text().rfind("put %p")) << log.text();
  EXPECT_FALSE(nlohmann::json::parse(text_of("a.json"), nullptr, false).is_discarded());
}

TEST_F(StatisticsFile, HoldsTheLastCountersWhenTheContextHasClosed) {
  for (const milliseconds interval : {milliseconds(0), milliseconds(1), milliseconds(3600000)}) {
    Config settings = loopback::config();
    settings.stats_file = path("last.json");
    settings.stats_interval = interval;
    {
      auto context = loopback::make_context(settings);
      ASSERT_TRUE(context);
      auto listener = loopback::listen(*context);
      loopback::Pair pair = loopback::connect(*context, *listener);
      ASSERT_TRUE(pair.connected && pair.accepted);
      loopback::expect_messages_pass(*pair.connected, *pair.accepted, 1000, 1);
    }
    const auto json = nlohmann::json::parse(text_of("last.json"), nullptr, false);
    ASSERT_FALSE(json.is_discarded()) << interval.count();
    EXPECT_EQ(json.at("totals").at("messages_sent"), 2) << interval.count();
    EXPECT_EQ(json.at("connections").at(0).at("open"), false);
  }
}

// Nobody calls progress(): the housekeeping thread alone brings the path back.
TEST_F(StatisticsFile, OnAFileSystemThatHangsHoldsUpNoHousekeeping) {
  Config settings = loopback::config();
  settings.stats_file = path("hung.json");
  settings.stats_interval = milliseconds(1);
  hang.begin();
  auto context = loopback::make_context(settings);
  ASSERT_TRUE(context);
  EXPECT_TRUE(loopback::repeat_until([] { return hang.has_victim(); }));
  {
    auto listener = loopback::listen(*context);
    loopback::Pair pair = loopback::connect(*context, *listener);
    ASSERT_TRUE(pair.connected && pair.accepted);
    loopback::expect_messages_pass(*pair.connected, *pair.accepted, 1 << 20, 1);
    ASSERT_TRUE(pair.connected->cut_path(0).is_ok());
    EXPECT_TRUE(loopback::repeat_until([&] {
      std::this_thread::sleep_for(milliseconds(1));
      const loopback::PathTotals one = loopback::totals(*pair.connected);
      return one.revivals > 0 && one.all_good && loopback::totals(*pair.accepted).all_good;
    }));
  }
  hang.end();
  context.reset();
  EXPECT_THAT(text_of("hung.json"), HasSubstr("revivals"));
}

}  // namespace
}  // namespace weft
