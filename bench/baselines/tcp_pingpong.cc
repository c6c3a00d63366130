// The yardstick for small messages: one TCP connection, two processes, --bytes to and fro. Four ways of
// waiting are tried, and the best is the yardstick:
//
//     blocking    recv() sleeps until the bytes are there
//     spinning    recv(MSG_DONTWAIT) again and again
//     yielding    the same with sched_yield() in between: spins that share a core let the other end run
//     polling     poll() in front of every recv(), as event loops do
//
// Two patterns: in "pingpong" one end answers what the other has sent, and half a round trip is the time; in
// "exchange" both ends send and then both receive, as the sendrecv benchmark of collective libraries does.

#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/baselines/socket.h"

namespace {

using weft::baselines::Socket;
using weft::baselines::SocketOptions;
using Clock = std::chrono::steady_clock;

enum class Wait { kBlocking, kSpinning, kYielding, kPolling };
constexpr const char* kWaitNames[] = {"blocking", "spinning", "yielding", "polling"};
constexpr Wait kWaits[] = {Wait::kBlocking, Wait::kSpinning, Wait::kYielding, Wait::kPolling};

struct Options {
  std::string listen, connect, family = "4";
  SocketOptions socket;
  std::size_t bytes = 8;
  int round_trips = 20000, warmup = 2000, repetitions = 5;
};

void send_one(int fd, const std::vector<std::byte>& message) {
  weft::baselines::send_all(fd, message.data(), message.size(), message.size(), message.size());
}

void receive_one(int fd, std::vector<std::byte>& message, Wait wait) {
  std::size_t have = 0;
  while (have < message.size()) {
    if (wait == Wait::kPolling) {
      pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
      if (poll(&ready, 1, -1) < 0) weft::baselines::fail("poll");
    }
    const int flags = wait == Wait::kBlocking ? 0 : MSG_DONTWAIT;
    const ssize_t got = recv(fd, message.data() + have, message.size() - have, flags);
    if (got > 0) {
      have += static_cast<std::size_t>(got);
    } else if (got == 0) {
      errno = ECONNRESET;
      weft::baselines::fail("recv");
    } else if (errno != EAGAIN && errno != EINTR) {
      weft::baselines::fail("recv");
    } else if (wait == Wait::kYielding) {
      sched_yield();
    }
  }
}

// Microseconds for one message to get across: half a round trip, or one exchange.
double run_once(int fd, const Options& options, Wait wait, bool exchange, bool first) {
  std::vector<std::byte> message(options.bytes, std::byte{1});
  const auto trip = [&](int trips) {
    for (int i = 0; i < trips; ++i) {
      if (first || exchange) send_one(fd, message);
      receive_one(fd, message, wait);
      if (!first && !exchange) send_one(fd, message);
    }
  };
  trip(options.warmup);
  const Clock::time_point start = Clock::now();
  trip(options.round_trips);
  const std::chrono::duration<double, std::micro> took = Clock::now() - start;
  return took.count() / options.round_trips / (exchange ? 1 : 2);
}

nlohmann::json run_end(int fd, const Options& options, bool first) {
  nlohmann::json result = {
      {"program", "tcp_pingpong"}, {"bytes", options.bytes}, {"round_trips", options.round_trips}};
  for (const bool exchange : {false, true}) {
    std::vector<std::vector<double>> times_us(std::size(kWaits));
    // The ways of waiting take turns, so that a noisy second does not hit one of them alone.
    for (int repetition = 0; repetition < options.repetitions; ++repetition) {
      for (std::size_t w = 0; w < std::size(kWaits); ++w) {
        times_us[w].push_back(run_once(fd, options, kWaits[w], exchange, first));
      }
    }
    nlohmann::json pattern;
    double best = 0;
    for (std::size_t w = 0; w < std::size(kWaits); ++w) {
      std::vector<double> sorted = times_us[w];
      std::sort(sorted.begin(), sorted.end());
      const double median = sorted[sorted.size() / 2];
      pattern[kWaitNames[w]] = {{"us", times_us[w]}, {"median_us", median}};
      if (best == 0 || median < best) {
        best = median;
        pattern["best"] = kWaitNames[w];
        pattern["best_median_us"] = median;
      }
    }
    result[exchange ? "exchange" : "pingpong"] = pattern;
  }
  return result;
}

int run_both_over_loopback(const Options& options) {
  const std::string address = options.family == "6" ? "[::1]:" : "127.0.0.1:";
  const Socket listener = weft::baselines::listen_on(address + "0", options.socket);
  const std::string endpoint = address + std::to_string(weft::baselines::port_of(listener));
  const pid_t child = fork();
  if (child < 0) weft::baselines::fail("fork");
  if (child == 0) {
    run_end(weft::baselines::connect_to(endpoint, options.socket).fd(), options, false);
    return 0;
  }
  const Socket accepted = weft::baselines::accept_one(listener, options.socket);
  std::puts(run_end(accepted.fd(), options, true).dump().c_str());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.socket.no_delay = true;
  CLI::App app{"Small messages to and fro over one plain TCP connection: the yardstick for latency."};
  auto* listen = app.add_option("--listen", options.listen, "the end that prints, ADDRESS:PORT");
  app.add_option("--connect", options.connect, "the other end, ADDRESS:PORT")->excludes(listen);
  app.add_option("--family", options.family, "of loopback")->check(CLI::IsMember({"4", "6"}));
  app.add_option("--bytes", options.bytes)->check(CLI::PositiveNumber);
  app.add_option("--round-trips", options.round_trips)->check(CLI::PositiveNumber);
  app.add_option("--warmup", options.warmup)->check(CLI::NonNegativeNumber);
  app.add_option("--repetitions", options.repetitions)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);

  if (!options.listen.empty()) {
    const Socket listener = weft::baselines::listen_on(options.listen, options.socket);
    const Socket accepted = weft::baselines::accept_one(listener, options.socket);
    std::puts(run_end(accepted.fd(), options, true).dump().c_str());
    return 0;
  }
  if (!options.connect.empty()) {
    run_end(weft::baselines::connect_to(options.connect, options.socket).fd(), options, false);
    return 0;
  }
  return run_both_over_loopback(options);
}
