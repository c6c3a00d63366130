// Ranks as threads, over real sockets on the loopback: joining, exchanging, and every way in which that can
// fail.
#include "weft/bootstrap.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <thread>

#include "transport/bootstrap/handshake.h"
#include "transport/bootstrap/rank_list.h"
#include "transport/bootstrap/timed_socket.h"

namespace weft {
namespace {

using bootstrap::Endpoint;
using bootstrap::is_own_address;
using bootstrap::resolve;
using std::chrono::milliseconds;
using testing::HasSubstr;

// A server that is not Weft: holds a port, and treats callers as `behaviour` says.
class ForeignServer {
 public:
  enum class Behaviour { kSilent, kCloses, kTalks };

  ForeignServer(std::uint16_t port, Behaviour behaviour) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    bound_ = ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
             ::listen(listener_, 16) == 0;
    socklen_t length = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    if (behaviour == Behaviour::kSilent) return;
    thread_ = std::thread([this, behaviour] {
      for (;;) {
        const int caller = ::accept(listener_, nullptr, nullptr);
        if (caller < 0) return;
        ++callers_;
        const std::string banner(500, 'x');
        if (behaviour == Behaviour::kTalks) (void)!::write(caller, banner.data(), banner.size());
        ::close(caller);
      }
    });
  }
  ~ForeignServer() {
    ::shutdown(listener_, SHUT_RDWR);
    ::close(listener_);
    if (thread_.joinable()) thread_.join();
  }
  bool bound() const { return bound_; }
  std::uint16_t port() const { return port_; }
  int callers() const { return callers_; }

 private:
  int listener_ = -1;
  bool bound_ = false;
  std::uint16_t port_ = 0;
  std::thread thread_;
  std::atomic<int> callers_{0};
};

// A port that nobody has, most likely still when it is used.
std::uint16_t free_port() {
  ForeignServer probe(0, ForeignServer::Behaviour::kSilent);
  return probe.port();
}

BootstrapOptions options_for(int rank, int size, std::uint16_t port) {
  BootstrapOptions options;
  options.place = {
      .rank = rank, .size = size, .host = "127.0.0.1", .port = port, .job_id = "test", .launcher = ""};
  options.timeout = milliseconds(20000);
  return options;
}

std::vector<std::byte> blob_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

void on_ranks(int size, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) threads.emplace_back(body, rank);
  for (std::thread& thread : threads) thread.join();
}

void expect_that_all_meet(int size, std::uint16_t port) {
  std::atomic<int> met{0};
  on_ranks(size, [&](int rank) {
    auto bootstrap = Bootstrap::create(options_for(rank, size, port));
    ASSERT_TRUE(bootstrap) << bootstrap.status().message();
    for (int round = 0; round < 3; ++round) {
      // Sizes differ; some are empty.
      auto blobs =
          (*bootstrap)->all_gather(blob_of(std::string(static_cast<std::size_t>(rank * 1000 * round), 'a')));
      ASSERT_TRUE(blobs) << blobs.status().message();
      ASSERT_EQ(blobs->size(), static_cast<std::size_t>(size));
      for (int from = 0; from < size; ++from) {
        EXPECT_EQ((*blobs)[static_cast<std::size_t>(from)].size(),
                  static_cast<std::size_t>(from * 1000 * round));
      }
      ASSERT_TRUE((*bootstrap)->barrier());
    }
    ++met;
  });
  EXPECT_EQ(met, size);
}

TEST(Bootstrap, OneRankNeedsNobody) {
  auto bootstrap = Bootstrap::create({});
  ASSERT_TRUE(bootstrap);
  auto blobs = (*bootstrap)->all_gather(blob_of("me"));
  ASSERT_TRUE(blobs);
  EXPECT_EQ(blobs->at(0), blob_of("me"));
}

TEST(Bootstrap, RanksMeetAndExchange) {
  for (int size : {2, 5, 16}) expect_that_all_meet(size, free_port());
}

TEST(Bootstrap, FindsAWayRoundAPortThatAForeignServerHolds) {
  using Behaviour = ForeignServer::Behaviour;
  for (Behaviour behaviour : {Behaviour::kCloses, Behaviour::kTalks, Behaviour::kSilent}) {
    ForeignServer foreign(0, behaviour);
    ASSERT_TRUE(foreign.bound());
    expect_that_all_meet(3, foreign.port());
    if (behaviour != Behaviour::kSilent) {
      EXPECT_GE(foreign.callers(), 1);
    }
  }
}

TEST(Bootstrap, TwoJobsThatTryTheSamePortsDoNotMix) {
  const std::uint16_t port = free_port();
  std::atomic<int> met{0};
  std::vector<std::thread> threads;
  for (int job = 0; job < 2; ++job) {
    for (int rank = 0; rank < 3; ++rank) {
      threads.emplace_back([&, job, rank] {
        BootstrapOptions options = options_for(rank, 3, port);
        options.place.job_id = "job " + std::to_string(job);
        auto bootstrap = Bootstrap::create(options);
        ASSERT_TRUE(bootstrap) << bootstrap.status().message();
        auto blobs = (*bootstrap)->all_gather(blob_of(options.place.job_id));
        ASSERT_TRUE(blobs);
        for (const auto& blob : *blobs) EXPECT_EQ(blob, blob_of(options.place.job_id));
        ++met;
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(met, 6);
}

TEST(Bootstrap, NamesTheRanksThatDidNotCome) {
  const std::uint16_t port = free_port();
  on_ranks(3, [&](int rank) {
    BootstrapOptions options = options_for(rank, 7, port);
    options.timeout = milliseconds(1500);
    auto bootstrap = Bootstrap::create(options);
    if (rank == 0) {
      ASSERT_FALSE(bootstrap);
      EXPECT_EQ(bootstrap.status().code(), StatusCode::kUnreachable);
      EXPECT_THAT(bootstrap.status().message(), HasSubstr("missing of 7 ranks: 3-6"));
      return;
    }
    // These were let in, and learn at their first call that rank 0 has given up.
    ASSERT_TRUE(bootstrap) << bootstrap.status().message();
    EXPECT_THAT((*bootstrap)->barrier().message(), HasSubstr("rank 0"));
  });
}

TEST(Bootstrap, SaysWhereItLookedForRankZero) {
  BootstrapOptions options = options_for(2, 4, free_port());
  options.timeout = milliseconds(100);
  auto bootstrap = Bootstrap::create(options);
  ASSERT_FALSE(bootstrap);
  EXPECT_THAT(bootstrap.status().message(), HasSubstr("rank 2 did not find rank 0 at 127.0.0.1"));
  EXPECT_THAT(bootstrap.status().message(), HasSubstr("refused"));
  options.place.host = "no-such-host.invalid";
  bootstrap = Bootstrap::create(options);
  ASSERT_FALSE(bootstrap);
  EXPECT_THAT(bootstrap.status().message(), HasSubstr("no-such-host.invalid"));
}

TEST(Bootstrap, AllLearnWhichRankHasLeft) {
  const std::uint16_t port = free_port();
  std::atomic<int> named{0};
  on_ranks(4, [&](int rank) {
    auto bootstrap = Bootstrap::create(options_for(rank, 4, port));
    ASSERT_TRUE(bootstrap);
    ASSERT_TRUE((*bootstrap)->barrier());
    if (rank == 2) return;
    const Status status = (*bootstrap)->barrier();
    ASSERT_FALSE(status);
    if (status.message().find("rank 2 (") != std::string::npos) ++named;
    EXPECT_EQ((*bootstrap)->barrier().message(), status.message());  // and stays so
  });
  EXPECT_EQ(named, 3);
}

TEST(Bootstrap, NamesTheRanksThatAreLate) {
  const std::uint16_t port = free_port();
  std::atomic<bool> over{false};
  on_ranks(3, [&](int rank) {
    BootstrapOptions options = options_for(rank, 3, port);
    if (rank == 0) options.timeout = milliseconds(2000);
    auto bootstrap = Bootstrap::create(options);
    ASSERT_TRUE(bootstrap) << bootstrap.status().message();
    if (rank == 1) {
      while (!over) std::this_thread::sleep_for(milliseconds(5));
      return;
    }
    const Status status = (*bootstrap)->barrier();
    EXPECT_THAT(status.message(), HasSubstr("missing of 3 ranks: 1"));
    if (rank == 2) over = true;
  });
}

TEST(Bootstrap, AWrongSecretIsRefusedAndTheRightOneStillJoins) {
  const std::uint16_t port = free_port();
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    BootstrapOptions options = options_for(0, 2, port);
    options.secret = "right";
    auto bootstrap = Bootstrap::create(options);
    EXPECT_TRUE(bootstrap) << bootstrap.status().message();
  });
  for (const char* wrong : {"wrong", ""}) {
    BootstrapOptions options = options_for(1, 2, port);
    options.secret = wrong;
    auto bootstrap = Bootstrap::create(options);
    ASSERT_FALSE(bootstrap);
    EXPECT_EQ(bootstrap.status().code(), StatusCode::kPermissionDenied);
    EXPECT_THAT(bootstrap.status().message(), HasSubstr("WEFT_SECRET"));
  }
  BootstrapOptions options = options_for(1, 2, port);
  options.secret = "right";
  EXPECT_TRUE(Bootstrap::create(options));
  for (std::thread& thread : threads) thread.join();
}

TEST(Bootstrap, RefusesAnotherSizeAndARankThatIsTaken) {
  const std::uint16_t port = free_port();
  std::thread zero([&] {
    auto bootstrap = Bootstrap::create(options_for(0, 3, port));
    ASSERT_TRUE(bootstrap) << bootstrap.status().message();
    EXPECT_TRUE((*bootstrap)->barrier());
  });
  auto other_size = Bootstrap::create(options_for(1, 4, port));
  ASSERT_FALSE(other_size);
  EXPECT_THAT(other_size.status().message(), HasSubstr("for 3 ranks, this process for 4"));
  auto first = Bootstrap::create(options_for(1, 3, port));
  ASSERT_TRUE(first);
  auto twin = Bootstrap::create(options_for(1, 3, port));
  ASSERT_FALSE(twin);
  EXPECT_THAT(twin.status().message(), HasSubstr("same rank"));
  std::thread last([&] {
    auto bootstrap = Bootstrap::create(options_for(2, 3, port));
    ASSERT_TRUE(bootstrap);
    EXPECT_TRUE((*bootstrap)->barrier());
  });
  EXPECT_TRUE((*first)->barrier());
  zero.join();
  last.join();
}

TEST(Bootstrap, OfTwoProcessesThatAreRankZeroOneIsRefused) {
  const std::uint16_t port = free_port();
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      auto bootstrap = Bootstrap::create(options_for(0, 2, port));
      if (bootstrap) return;
      EXPECT_EQ(bootstrap.status().code(), StatusCode::kBadConfiguration);
      EXPECT_THAT(bootstrap.status().message(), HasSubstr("another process is rank 0 of the same job"));
      ++refused;
    });
  }
  while (refused == 0) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_TRUE(Bootstrap::create(options_for(1, 2, port)));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 1);
}

TEST(Bootstrap, SaysWhenRankZeroIsElsewhereAndWhoCameTwice) {
  BootstrapOptions options = options_for(0, 3, free_port());
  options.place.host = "198.51.100.7";  // an address for documentation, that no host has
  options.timeout = milliseconds(1500);
  std::string message;
  std::thread zero([&message, options] { message = Bootstrap::create(options).status().message(); });
  options.place.host = "127.0.0.1";
  options.place.rank = 2;
  // Rank 0 listens at all addresses, if its own is not the loopback. Both may come too late on a busy
  // machine: then only what does not depend on them is expected.
  auto first = Bootstrap::create(options);
  auto second = Bootstrap::create(options);
  zero.join();
  EXPECT_THAT(message, HasSubstr("198.51.100.7:" + std::to_string(options.place.port)));
  EXPECT_THAT(message, HasSubstr("is no address of this host"));
  EXPECT_THAT(message, HasSubstr("WEFT_BOOTSTRAP_TIMEOUT_MS"));
  if (first && second.status().code() == StatusCode::kBadConfiguration) {
    EXPECT_THAT(message, HasSubstr("missing of 3 ranks: 1"));
    EXPECT_THAT(message, HasSubstr("a second process came as rank 2"));
  }
}

TEST(Bootstrap, RankZeroSaysAtOnceWhomItTurnedAway) {
  BootstrapOptions options = options_for(0, 2, free_port());
  std::vector<std::string> news;
  Status zero_joined;
  std::thread zero([&news, &zero_joined, options]() mutable {
    options.news = [&news](const std::string& line) { news.push_back(line); };
    zero_joined = Bootstrap::create(options).status();
  });
  BootstrapOptions other_size = options;
  other_size.place.rank = 1;
  other_size.place.size = 3;
  EXPECT_EQ(Bootstrap::create(other_size).status().code(), StatusCode::kBadConfiguration);
  options.place.rank = 1;
  EXPECT_TRUE(Bootstrap::create(options));
  zero.join();
  EXPECT_TRUE(zero_joined) << zero_joined.message();
  EXPECT_THAT(news, testing::Contains(HasSubstr("a process came that takes the job for one of 3 ranks")));
}

TEST(TimedSocket, ANameOfThisHostIsNotOnlyHere) {
  // Even where /etc/hosts gives it a loopback address: for other hosts it stands for another one.
  char name[256] = {};
  ASSERT_EQ(::gethostname(name, sizeof name - 1), 0);
  if (auto named = resolve(name, 5); named && std::string(name) != "localhost") {
    for (const Endpoint& endpoint : *named) EXPECT_FALSE(endpoint.is_only_here) << endpoint.text;
  }
  for (const char* here : {"127.0.0.1", "127.3.2.1", "localhost"}) {
    auto endpoints = resolve(here, 5);
    ASSERT_TRUE(endpoints);
    EXPECT_TRUE(endpoints->front().is_only_here) << here;
    EXPECT_TRUE(is_own_address(endpoints->front())) << here;
  }
  EXPECT_FALSE(is_own_address(resolve("198.51.100.7", 5)->front()));
}

TEST(Bootstrap, StrangersThatSayNothingOrNonsenseDoNoHarm) {
  const std::uint16_t port = free_port();
  std::thread zero([&] {
    auto bootstrap = Bootstrap::create(options_for(0, 2, port));
    ASSERT_TRUE(bootstrap) << bootstrap.status().message();
    EXPECT_TRUE((*bootstrap)->barrier());
  });
  std::vector<int> strangers;
  for (int i = 0; i < 40; ++i) {
    const int stranger = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    while (::connect(stranger, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      std::this_thread::yield();
    const std::string nonsense(static_cast<std::size_t>(i * 7), static_cast<char>(i));
    (void)!::send(stranger, nonsense.data(), nonsense.size(), MSG_NOSIGNAL);
    strangers.push_back(stranger);
  }
  auto bootstrap = Bootstrap::create(options_for(1, 2, port));
  ASSERT_TRUE(bootstrap) << bootstrap.status().message();
  EXPECT_TRUE((*bootstrap)->barrier());
  zero.join();
  for (int stranger : strangers) ::close(stranger);
}

TEST(Handshake, DecodesOnlyWhatItEncodes) {
  using namespace bootstrap;
  Hello hello{.rank = 3, .size = 9, .job = hash_of_job("x"), .nonce = random_nonce()};
  auto bytes = hello.encode();
  const auto decoded = Hello::decode(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->rank, 3u);
  EXPECT_EQ(decoded->size, 9u);
  EXPECT_EQ(decoded->nonce, hello.nonce);
  bytes[0] ^= std::byte{1};
  EXPECT_FALSE(Hello::decode(bytes));
  EXPECT_FALSE(Hello::decode(std::span(bytes).first(79)));
  Answer answer{.verdict = Verdict::kOtherSize, .size = 5, .nonce = random_nonce(), .proof = {}};
  auto answer_bytes = answer.encode();
  EXPECT_EQ(Answer::decode(answer_bytes)->verdict, Verdict::kOtherSize);
  answer_bytes[8] = std::byte{77};
  EXPECT_FALSE(Answer::decode(answer_bytes));
  FrameHeader header{.kind = FrameHeader::Kind::kError, .call = 1ull << 40, .payload_bytes = 12, .mac = {}};
  EXPECT_EQ(FrameHeader::decode(header.encode())->call, 1ull << 40);
}

TEST(Handshake, AProofDependsOnEverything) {
  using namespace bootstrap;
  Hello hello{.rank = 3, .size = 9, .job = hash_of_job("x"), .nonce = random_nonce()};
  const Nonce nonce = random_nonce();
  const Mac proof = proof_of(Role::kRank, "secret", hello, nonce);
  EXPECT_TRUE(equal(proof, proof_of(Role::kRank, "secret", hello, nonce)));
  EXPECT_FALSE(equal(proof, proof_of(Role::kRankZero, "secret", hello, nonce)));
  EXPECT_FALSE(equal(proof, proof_of(Role::kRank, "Secret", hello, nonce)));
  EXPECT_FALSE(equal(proof, proof_of(Role::kRank, "secret", hello, random_nonce())));
  Hello other = hello;
  other.rank = 4;
  EXPECT_FALSE(equal(proof, proof_of(Role::kRank, "secret", other, nonce)));
}

TEST(RankList, InWords) {
  using bootstrap::rank_list;
  EXPECT_EQ(rank_list({3}), "3");
  EXPECT_EQ(rank_list({1, 4, 7, 8, 9, 12}), "1, 4, 7-9, 12");
  EXPECT_EQ(rank_list({1, 2}), "1, 2");
}

}  // namespace
}  // namespace weft
