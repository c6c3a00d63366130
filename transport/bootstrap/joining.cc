// The side of the ranks above 0: find the port where rank 0 of this job listens, and join it.
#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include "transport/bootstrap/gathering.h"

namespace weft::bootstrap {
namespace {

// What came of one attempt at one port.
struct Attempt {
  Result<Member> member;
  bool is_final = false;  // another port, or another time, would not help
};

class Joining {
 public:
  explicit Joining(const BootstrapOptions& options) : options_(options) {
    hello_.rank = static_cast<std::uint32_t>(options.place.rank);
    hello_.size = static_cast<std::uint32_t>(options.place.size);
    hello_.job = hash_of_job(options.place.job_id);
  }

  // Rank 0 may not listen yet, and foreign servers may hold any of the ports: go round them until the
  // deadline.
  Result<Member> run(Deadline deadline) {
    const JobPlace& place = options_.place;
    std::vector<std::string> answers(kBootstrapPorts);
    auto pause = std::chrono::milliseconds(5);
    for (;;) {
      for (int i = 0; i < kBootstrapPorts; ++i) {
        const std::uint16_t port = candidate_port(place.port, i);
        auto endpoints = resolve(place.host, port);
        if (!endpoints) {
          answers[0] = endpoints.status().message();
          break;
        }
        for (const Endpoint& endpoint : *endpoints) {
          Attempt attempt =
              try_at(endpoint, std::min(deadline, std::chrono::steady_clock::now() + kHandshakeTime));
          if (attempt.member) return std::move(attempt.member);
          const Status status = attempt.member.status();
          const std::string text =
              "rank " + std::to_string(place.rank) + ": " + endpoint.text + ": " + status.message();
          if (attempt.is_final) return Status(status.code(), text);
          answers[static_cast<std::size_t>(i)] = endpoint.text + ": " + status.message();
        }
        if (milliseconds_until(deadline) == 0) return not_found(answers);
      }
      if (milliseconds_until(deadline) == 0) return not_found(answers);
      std::this_thread::sleep_for(std::min(pause, std::chrono::milliseconds(milliseconds_until(deadline))));
      pause = std::min(pause * 2, std::chrono::milliseconds(200));
    }
  }

 private:
  static Attempt failed(StatusCode code, std::string text, bool is_final) {
    return {Status(code, std::move(text)), is_final};
  }

  Attempt try_at(const Endpoint& endpoint, Deadline deadline) {
    auto connected = connect_to(endpoint, deadline);
    if (!connected) return {connected.status()};
    TimedSocket socket = std::move(*connected);
    hello_.nonce = random_nonce();
    std::array<std::byte, Answer::kBytes> bytes;
    Status status = socket.send(hello_.encode(), deadline);
    if (status) status = socket.receive(bytes, deadline);
    const auto answer = Answer::decode(bytes);
    if (!status || !answer)
      return failed(StatusCode::kUnreachable, "a server that is not rank 0 of a Weft job", false);
    if (answer->verdict != Verdict::kJoined) return refused(*answer);

    if (!equal(answer->proof, proof_of(Role::kRankZero, options_.secret, hello_, answer->nonce))) {
      return failed(StatusCode::kPermissionDenied,
                    "rank 0 has another WEFT_SECRET; set the same on all ranks", true);
    }
    std::array<std::byte, Welcome::kBytes> welcome_bytes;
    status = socket.send(proof_of(Role::kRank, options_.secret, hello_, answer->nonce), deadline);
    if (status) status = socket.receive(welcome_bytes, deadline);
    const auto welcome = Welcome::decode(welcome_bytes);
    if (!status || !welcome) return failed(StatusCode::kUnreachable, "rank 0 broke off the handshake", false);
    if (welcome->verdict != Verdict::kJoined) return refused({welcome->verdict, hello_.size});
    return {Member{std::move(socket), session_key(options_.secret, hello_, answer->nonce)}};
  }

  Attempt refused(const Answer& answer) const {
    switch (answer.verdict) {
      case Verdict::kOtherSize:
        return failed(StatusCode::kBadConfiguration,
                      "rank 0 was started for " + std::to_string(answer.size) + " ranks, this process for " +
                          std::to_string(hello_.size),
                      true);
      case Verdict::kRankTaken:
        return failed(StatusCode::kBadConfiguration, "another process has joined with the same rank", true);
      case Verdict::kWrongSecret:
        return failed(StatusCode::kPermissionDenied,
                      "rank 0 has another WEFT_SECRET; set the same on all ranks", true);
      case Verdict::kRankOutOfRange:
        return failed(StatusCode::kBadConfiguration, "rank 0 refuses this rank", true);
      default:
        return failed(StatusCode::kUnreachable, "rank 0 of another Weft job", false);
    }
  }

  Status not_found(const std::vector<std::string>& answers) const {
    const JobPlace& place = options_.place;
    std::string text = "rank " + std::to_string(place.rank) + " did not find rank 0 at " + place.host +
                       ", port " + std::to_string(place.port) + " or the " +
                       std::to_string(kBootstrapPorts - 1) + " after it, within " +
                       std::to_string(options_.timeout.count()) +
                       " ms; is it running, and are MASTER_ADDR and MASTER_PORT the same on all ranks?";
    // Sixteen times "refused" says no more than once.
    std::string last;
    for (const std::string& answer : answers) {
      const std::string reason = answer.substr(answer.find(": ") + 1);
      if (answer.empty() || reason == last) continue;
      text += " [" + answer + "]";
      last = reason;
    }
    return {StatusCode::kUnreachable, text};
  }

  const BootstrapOptions& options_;
  Hello hello_;
};

}  // namespace

std::optional<Verdict> answer_to_rank_zero(const JobPlace& place, std::uint16_t port, Deadline deadline) {
  auto endpoints = resolve(place.host, port);
  if (!endpoints) return std::nullopt;
  auto socket = connect_to(endpoints->front(), deadline);
  if (!socket) return std::nullopt;
  Hello hello;
  hello.size = static_cast<std::uint32_t>(place.size);
  hello.job = hash_of_job(place.job_id);
  hello.nonce = random_nonce();
  std::array<std::byte, Answer::kBytes> bytes;
  if (!socket->send(hello.encode(), deadline) || !socket->receive(bytes, deadline)) return std::nullopt;
  const auto answer = Answer::decode(bytes);
  return answer ? std::optional(answer->verdict) : std::nullopt;
}

Result<Member> join_rank_zero(const BootstrapOptions& options, Deadline deadline) {
  return Joining(options).run(deadline);
}

}  // namespace weft::bootstrap
