// Two ranks that send to each other through few buffers, each used again as soon as it may be: what a path
// that is slow to die could spoil. A receive buffer that was reported complete is checked, written over by
// its owner, left alone while others are filled, and read again before it is posted anew (I2). A send buffer
// is written over when its send completes (I3).
//
//     reused_buffers MESSAGES [CAPACITY]
//
// Status 0: every byte of all messages, both ways, was right, and nobody else wrote. 1: else, and what it
// was.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "bench/perf/pattern.h"
#include "weft/bootstrap.h"
#include "weft/communicator.h"
#include "weft/context.h"

namespace weft {
namespace {

constexpr std::uint64_t kUnderWay = 4;             // receives posted, and sends
constexpr std::uint64_t kReceiveBuffers = 8;       // the others are left alone, and watched
constexpr std::size_t kDefaultCapacity = 1 << 20;  // two chunks
constexpr std::uint32_t kTag = 7;
constexpr int kOwners = 2;  // rank r's own words are those of "rank" r + 2 in the pattern

struct Buffer {
  std::vector<std::uint64_t> words;
  RequestId request = RequestId::kNone;
  std::uint64_t message = 0;
  bool is_posted = false;
  bool is_owned = false;  // its owner has written over the message
};

[[noreturn]] void fail(int rank, const std::string& words) {
  std::fprintf(stderr, "rank %d: %s\n", rank, words.c_str());
  std::exit(1);
}

class Exchange {
 public:
  Exchange(int rank, Connection& connection, std::uint64_t messages, std::size_t capacity)
      : rank_(rank),
        connection_(connection),
        messages_(messages),
        receives_(kReceiveBuffers),
        sends_(kUnderWay) {
    for (std::vector<Buffer>* buffers : {&receives_, &sends_})
      for (Buffer& buffer : *buffers) buffer.words.resize(capacity / sizeof(std::uint64_t));
  }

  void run() {
    while (received_ < messages_ || sent_ < messages_) {
      // One that waits for a failed path's data may complete behind those posted after it.
      while (posted_receives_ < messages_ && posted_receives_ < received_ + kUnderWay &&
             !next_receive().is_posted)
        post_receive();
      while (posted_sends_ < messages_ && posted_sends_ < sent_ + kUnderWay) post_send();
      for (Buffer& buffer : receives_)
        if (buffer.is_posted) test_receive(buffer);
      for (Buffer& buffer : sends_)
        if (buffer.is_posted) test_send(buffer);
    }
  }
  void check_all_again() {
    for (const Buffer& buffer : receives_) check_owned(buffer);
  }

 private:
  // All sizes near the capacity, so that chunks end in different places.
  std::size_t words_of(std::uint64_t message) const { return receives_[0].words.size() - message % 5 * 1000; }

  void fill(Buffer& buffer, std::size_t words, std::uint64_t message, int writer) {
    bench::fill_bits(buffer.words.data(), words, DataType::kUint64, message, writer, 0);
  }
  void check(const Buffer& buffer, std::size_t first, std::size_t end, std::uint64_t message, int writer,
             const char* what) {
    const std::size_t wrong = bench::count_wrong_bits(buffer.words.data() + first, end - first,
                                                      DataType::kUint64, message, writer, first);
    if (wrong != 0)
      fail(rank_, std::to_string(wrong) + " words are wrong of " + what + " " + std::to_string(message) +
                      ", of which " + std::to_string(received_) + " have come");
  }
  void check_owned(const Buffer& buffer) {
    if (buffer.is_owned)
      check(buffer, 0, buffer.words.size(), buffer.message, rank_ + kOwners,
            "what was written over a complete message in its buffer,");
  }

  Buffer& next_receive() { return receives_[posted_receives_ % kReceiveBuffers]; }
  void post_receive() {
    Buffer& buffer = next_receive();
    check_owned(buffer);
    buffer.message = posted_receives_;
    fill(buffer, buffer.words.size(), buffer.message, rank_ + kOwners);
    post(buffer,
         connection_.post_receive(buffer.words.data(), buffer.words.size() * sizeof(std::uint64_t), kTag));
    ++posted_receives_;
  }
  void post_send() {
    Buffer* buffer = nullptr;
    for (Buffer& candidate : sends_)
      if (!candidate.is_posted) buffer = &candidate;
    buffer->message = posted_sends_;
    fill(*buffer, words_of(buffer->message), buffer->message, rank_);
    post(*buffer, connection_.post_send(buffer->words.data(),
                                        words_of(buffer->message) * sizeof(std::uint64_t), kTag));
    ++posted_sends_;
  }
  void post(Buffer& buffer, RequestId request) {
    if (request == RequestId::kNone) fail(rank_, "there is no room for a request, though few are pending");
    buffer.request = request;
    buffer.is_posted = true;
  }

  bool is_done(Buffer& buffer, std::size_t words, const char* what) {
    const Completion completion = connection_.test(buffer.request);
    if (!completion.done) return false;
    buffer.is_posted = false;
    if (completion.status != StatusCode::kOk)
      fail(rank_,
           std::string(what) + " " + std::to_string(buffer.message) + ": " + connection_.error().message());
    if (completion.bytes != words * sizeof(std::uint64_t))
      fail(rank_, std::string(what) + " " + std::to_string(buffer.message) + " had " +
                      std::to_string(completion.bytes) + " bytes, not " +
                      std::to_string(words * sizeof(std::uint64_t)));
    return true;
  }
  void test_receive(Buffer& buffer) {
    const std::size_t words = words_of(buffer.message);
    if (!is_done(buffer, words, "receive")) return;
    check(buffer, 0, words, buffer.message, 1 - rank_, "message");
    check(buffer, words, buffer.words.size(), buffer.message, rank_ + kOwners, "the buffer behind message");
    // Other words than the message's: a second copy of it would not hide.
    fill(buffer, buffer.words.size(), buffer.message, rank_ + kOwners);
    buffer.is_owned = true;
    ++received_;
  }
  void test_send(Buffer& buffer) {
    if (!is_done(buffer, words_of(buffer.message), "send")) return;
    fill(buffer, buffer.words.size(), buffer.message, rank_ + kOwners);
    ++sent_;
  }

  const int rank_;
  Connection& connection_;
  const std::uint64_t messages_;
  std::vector<Buffer> receives_, sends_;
  std::uint64_t posted_receives_ = 0, posted_sends_ = 0, received_ = 0, sent_ = 0;
};

template <typename T>
T required(int rank, Result<T> result) {
  if (!result) fail(rank, result.status().message());
  return std::move(result.value());
}

int run(std::uint64_t messages, std::size_t capacity) {
  const Config config = required(-1, Config::from_environment());
  BootstrapOptions options;
  options.place = required(-1, JobPlace::from_environment());
  options.timeout = config.bootstrap_timeout;
  const int rank = options.place.rank;
  if (options.place.size != 2) fail(rank, "this takes two ranks");
  const auto log = [rank](LogLevel, const std::string& line) {
    std::fprintf(stderr, "rank %d: %s\n", rank, line.c_str());
  };
  const auto bootstrap = required(rank, Bootstrap::create(options));
  const auto context = required(rank, Context::create(config, log));
  const auto communicator = required(rank, Communicator::create(*context, *bootstrap));

  Exchange exchange(rank, *communicator->connection(1 - rank), messages, capacity);
  exchange.run();
  const Status all_done = communicator->barrier();
  if (!all_done.is_ok()) fail(rank, all_done.message());
  exchange.check_all_again();
  std::printf(
      "rank %d: %llu messages of up to %zu bytes each way: every byte right, nothing written after "
      "completion\n",
      rank, static_cast<unsigned long long>(messages), capacity);
  return 0;
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) {
  const long long messages = argc > 1 ? std::atoll(argv[1]) : 0;
  const long long capacity = argc > 2 ? std::atoll(argv[2]) : static_cast<long long>(weft::kDefaultCapacity);
  if (argc > 3 || messages < 1 || capacity < 65536 || capacity % 8 != 0) {
    std::fprintf(
        stderr, "usage: reused_buffers MESSAGES [CAPACITY], in bytes: a multiple of 8, 65536 at the least\n");
    return 2;
  }
  return weft::run(static_cast<std::uint64_t>(messages), static_cast<std::size_t>(capacity));
}
