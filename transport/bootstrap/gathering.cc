#include "transport/bootstrap/gathering.h"

#include <poll.h>

#include <algorithm>
#include <string>
#include <utility>

#include "transport/bootstrap/rank_list.h"

namespace weft::bootstrap {
namespace {

// A connection that has not joined yet.
struct Candidate {
  TimedSocket socket;
  Deadline deadline;
  std::array<std::byte, Hello::kBytes> received{};
  std::size_t received_bytes = 0;
  bool has_said_hello = false;
  Hello hello;
  Nonce nonce{};
};

constexpr std::size_t kProofBytes = sizeof(Mac);
static_assert(kProofBytes <= Hello::kBytes);

class Gathering {
 public:
  explicit Gathering(const BootstrapOptions& options)
      : options_(options),
        job_(hash_of_job(options.place.job_id)),
        members_(static_cast<std::size_t>(options.place.size)),
        missing_(options.place.size - 1) {}

  Result<std::vector<Member>> run(Deadline deadline) {
    if (Status status = listen(); !status) return status;
    while (missing_ > 0) {
      if (milliseconds_until(deadline) == 0) return Status(StatusCode::kUnreachable, describe_missing());
      if (milliseconds_until(next_word_) == 0) say_whom_it_waits_for();
      wait(std::min(deadline, next_word_));
      for (TimedSocket socket = accept_from(listener_); socket.is_open(); socket = accept_from(listener_)) {
        // More strangers than ranks: the newest has to come again.
        if (candidates_.size() >= members_.size() + kStrangers) continue;
        candidates_.push_back({.socket = std::move(socket),
                               .deadline = std::chrono::steady_clock::now() + kHandshakeTime,
                               .hello = {},
                               .nonce = {}});
      }
      std::erase_if(candidates_, [this](Candidate& candidate) { return !keep(candidate); });
    }
    return std::move(members_);
  }

 private:
  static constexpr std::size_t kStrangers = 64;
  static constexpr std::chrono::seconds kBetweenWords{5};

  Status listen() {
    if (options_.listen_socket >= 0) {
      listener_ = TimedSocket(options_.listen_socket);
      return Status::ok();
    }
    const JobPlace& place = options_.place;
    auto endpoints = resolve(place.host, place.port);
    if (!endpoints) return endpoints.status();
    if (!is_own_address(endpoints->front()))
      foreign_address_ = place.host + " (" + endpoints->front().text + ") is no address of this host";
    Status last;
    for (int attempt = 0; attempt < kBootstrapPorts; ++attempt) {
      const std::uint16_t port = candidate_port(place.port, attempt);
      auto listener = listen_at(endpoints->front(), port);
      if (listener) {
        listener_ = std::move(*listener);
        return Status::ok();
      }
      last = listener.status();
      if (last.code() != StatusCode::kResourceExhausted) break;
      if (Status status = check_not_taken(port); !status) return status;
    }
    return {last.code(), "rank 0 cannot listen at " + place.host + ", port " + std::to_string(place.port) +
                             " or the " + std::to_string(kBootstrapPorts - 1) +
                             " after it: " + last.message() +
                             "; set MASTER_PORT (or WEFT_BOOTSTRAP=host:port) to a free one"};
  }

  // Who else holds the port: a stranger, or another process that takes itself for rank 0 of this job? The
  // second would wait in vain for ranks that have found the first.
  Status check_not_taken(std::uint16_t port) const {
    const auto deadline = std::chrono::steady_clock::now() + kHandshakeTime / 2;
    const std::string where = options_.place.host + ":" + std::to_string(port);
    const auto verdict = answer_to_rank_zero(options_.place, port, deadline);
    if (verdict != Verdict::kRankOutOfRange && verdict != Verdict::kOtherSize) return Status::ok();
    return {StatusCode::kBadConfiguration,
            "rank 0: another process is rank 0 of the same job already and listens at " + where +
                "; is RANK different on each, or does an earlier run wait there still?"};
  }

  void wait(Deadline deadline) {
    polled_.assign(1, {.fd = listener_.descriptor(), .events = POLLIN, .revents = 0});
    for (const Candidate& candidate : candidates_) {
      polled_.push_back({.fd = candidate.socket.descriptor(), .events = POLLIN, .revents = 0});
      deadline = std::min(deadline, candidate.deadline);
    }
    ::poll(polled_.data(), polled_.size(), milliseconds_until(deadline));
  }

  // Moves a handshake on; false when it is over, one way or the other.
  bool keep(Candidate& candidate) {
    const std::size_t expected = candidate.has_said_hello ? kProofBytes : Hello::kBytes;
    auto got = candidate.socket.receive_available(
        std::span(candidate.received).subspan(candidate.received_bytes, expected - candidate.received_bytes));
    if (!got) {
      if (candidate.has_said_hello) {
        turned_away("rank " + std::to_string(candidate.hello.rank) +
                    " left during the handshake; has it the same WEFT_SECRET?");
      }
      return false;
    }
    candidate.received_bytes += *got;
    if (candidate.received_bytes < expected) return std::chrono::steady_clock::now() < candidate.deadline;
    candidate.received_bytes = 0;
    if (candidate.has_said_hello) {
      admit(candidate);
      return false;
    }
    return answer_hello(candidate);
  }

  bool answer_hello(Candidate& candidate) {
    const auto hello = Hello::decode(candidate.received);
    if (!hello) return false;
    candidate.hello = *hello;
    candidate.nonce = random_nonce();
    Answer answer;
    answer.verdict = verdict_on(*hello);
    answer.size = static_cast<std::uint32_t>(options_.place.size);
    answer.nonce = candidate.nonce;
    answer.proof = proof_of(Role::kRankZero, options_.secret, *hello, candidate.nonce);
    candidate.has_said_hello = true;
    const bool sent = bool{candidate.socket.send(answer.encode(), candidate.deadline)};
    if (answer.verdict == Verdict::kOtherSize) {
      turned_away("a process came that takes the job for one of " + std::to_string(hello->size) + " ranks");
    } else if (answer.verdict == Verdict::kRankTaken || answer.verdict == Verdict::kRankOutOfRange) {
      turned_away("a second process came as rank " + std::to_string(hello->rank));
    }
    return sent && answer.verdict == Verdict::kJoined;
  }

  Verdict verdict_on(const Hello& hello) const {
    if (hello.job != job_) return Verdict::kOtherJob;
    if (hello.size != members_.size()) return Verdict::kOtherSize;
    if (hello.rank == 0 || hello.rank >= members_.size()) return Verdict::kRankOutOfRange;
    return members_[hello.rank].socket.is_open() ? Verdict::kRankTaken : Verdict::kJoined;
  }

  void admit(Candidate& candidate) {
    Mac proof;
    std::copy_n(candidate.received.begin(), proof.size(), proof.begin());
    Welcome welcome;
    if (!equal(proof, proof_of(Role::kRank, options_.secret, candidate.hello, candidate.nonce))) {
      welcome.verdict = Verdict::kWrongSecret;
      turned_away("a process at " + candidate.socket.peer_name() + " has another WEFT_SECRET");
    } else if (members_[candidate.hello.rank].socket.is_open()) {
      welcome.verdict = Verdict::kRankTaken;  // two came at the same time
    }
    const bool sent = bool{candidate.socket.send(welcome.encode(), candidate.deadline)};
    if (!sent || welcome.verdict != Verdict::kJoined) return;
    members_[candidate.hello.rank] = {std::move(candidate.socket),
                                      session_key(options_.secret, candidate.hello, candidate.nonce)};
    --missing_;
  }

  // Who should perhaps have joined, and did not.
  void turned_away(const std::string& why) {
    if (options_.news && refused_ != why) options_.news("rank 0: " + why);
    refused_ = why;
  }

  void say_whom_it_waits_for() {
    next_word_ = std::chrono::steady_clock::now() + kBetweenWords;
    if (options_.news) {
      options_.news("rank 0 waits at " + options_.place.host + ":" + std::to_string(options_.place.port) +
                    " for ranks " + missing_ranks() + " of " + std::to_string(members_.size()));
    }
  }

  std::string missing_ranks() const {
    std::vector<int> missing;
    for (std::size_t rank = 1; rank < members_.size(); ++rank) {
      if (!members_[rank].socket.is_open()) missing.push_back(static_cast<int>(rank));
    }
    return rank_list(missing);
  }

  std::string describe_missing() const {
    std::string text = "rank 0 waited " + std::to_string(options_.timeout.count()) + " ms; missing of " +
                       std::to_string(members_.size()) + " ranks: " + missing_ranks();
    if (!refused_.empty()) text += "; " + refused_;
    if (!foreign_address_.empty()) text += "; " + foreign_address_;
    return text + "; were they started, with the same MASTER_ADDR and MASTER_PORT, and can they reach " +
           options_.place.host + ":" + std::to_string(options_.place.port) +
           "? (WEFT_BOOTSTRAP_TIMEOUT_MS is the time they have)";
  }

  const BootstrapOptions& options_;
  std::array<std::byte, 32> job_;
  TimedSocket listener_;
  std::vector<Member> members_;
  int missing_;
  std::vector<Candidate> candidates_;
  std::vector<pollfd> polled_;
  std::string foreign_address_;  // where the ranks look for this one, if it seems to be elsewhere
  Deadline next_word_ = std::chrono::steady_clock::now() + kBetweenWords;
  std::string refused_;  // why the last one that should perhaps have joined did not
};

}  // namespace

std::uint16_t candidate_port(std::uint16_t first, int attempt) {
  constexpr int kPorts = 65536;
  constexpr int kUnprivileged = 1024;
  const int port = first + attempt;
  return static_cast<std::uint16_t>(port < kPorts ? port : kUnprivileged + port - kPorts);
}

Result<std::vector<Member>> gather_ranks(const BootstrapOptions& options, Deadline deadline) {
  return Gathering(options).run(deadline);
}

}  // namespace weft::bootstrap
