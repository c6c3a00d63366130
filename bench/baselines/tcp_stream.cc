// The yardstick for large messages: one TCP (or MPTCP) connection that does nothing but carry bytes one way,
// or both ways at once. Both ends hold a message in memory of its own and move it from there and to there, as
// any user of a network does; --message-bytes that fit into a cache show what the copies alone cost.
//
//     tcp_stream                                      both ends over loopback
//     tcp_stream --listen 10.0.0.2:7000               receives and prints the result
//     tcp_stream --connect 10.0.0.2:7000              sends
//
// The receiver takes the time, from the end of the warm-up to the last byte of a repetition: what has arrived
// counts.

#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "bench/baselines/socket.h"

namespace {

using weft::baselines::Socket;
using weft::baselines::SocketOptions;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string listen, connect, family = "4";
  SocketOptions socket;
  std::size_t message_bytes = 64 << 20;
  std::size_t call_bytes = 1 << 20;
  int messages = 20, warmup_messages = 4, repetitions = 5;
  bool wait_all = false;
  std::string duplex = "no";  // or with "threads", one for each direction, or "one-thread"
};

std::vector<double> receive_repetitions(int fd, const Options& options) {
  std::vector<std::byte> memory(options.message_bytes, std::byte{1});
  const bool exchanges = options.duplex == "one-thread";
  const std::vector<std::byte> outgoing(exchanges ? options.message_bytes : 0, std::byte{1});
  const auto receive = [&](int messages) {
    const std::size_t total = memory.size() * static_cast<std::size_t>(messages);
    if (exchanges) {
      weft::baselines::exchange_all(fd, outgoing.data(), memory.data(), memory.size(), total,
                                    options.call_bytes);
    } else {
      weft::baselines::receive_all(fd, memory.data(), memory.size(), total, options.call_bytes,
                                   options.wait_all);
    }
  };
  receive(options.warmup_messages);
  std::vector<double> gigabytes_per_s;
  for (int repetition = 0; repetition < options.repetitions; ++repetition) {
    const Clock::time_point start = Clock::now();
    receive(options.messages);
    const std::chrono::duration<double> took = Clock::now() - start;
    gigabytes_per_s.push_back(static_cast<double>(options.message_bytes) * options.messages / took.count() /
                              1e9);
  }
  return gigabytes_per_s;
}

void send_repetitions(int fd, const Options& options) {
  const std::vector<std::byte> memory(options.message_bytes, std::byte{1});
  const int messages = options.warmup_messages + options.messages * options.repetitions;
  weft::baselines::send_all(fd, memory.data(), memory.size(),
                            memory.size() * static_cast<std::size_t>(messages), options.call_bytes);
}

// One byte back says that all has arrived: closing earlier could cut the end off.
void run_receiver(const Socket& socket, const Options& options) {
  std::thread sender;
  if (options.duplex == "threads") sender = std::thread([&] { send_repetitions(socket.fd(), options); });
  const std::vector<double> rates = receive_repetitions(socket.fd(), options);
  if (sender.joinable()) sender.join();
  const int subflows = options.socket.mptcp ? weft::baselines::mptcp_subflows(socket.fd()) : 0;
  const std::byte done{1};
  weft::baselines::send_all(socket.fd(), &done, 1, 1, 1);

  std::vector<double> sorted = rates;
  std::sort(sorted.begin(), sorted.end());
  nlohmann::json result = {{"program", "tcp_stream"},
                           {"protocol", options.socket.mptcp ? "mptcp" : "tcp"},
                           {"duplex", options.duplex},
                           {"message_bytes", options.message_bytes},
                           {"messages", options.messages},
                           {"call_bytes", options.call_bytes},
                           {"wait_all", options.wait_all},
                           {"send_buffer_bytes", options.socket.send_buffer_bytes},
                           {"receive_buffer_bytes", options.socket.receive_buffer_bytes},
                           {"congestion_control", weft::baselines::congestion_control_of(socket.fd())},
                           {"gigabytes_per_s", rates},
                           {"median_gigabytes_per_s", sorted[sorted.size() / 2]}};
  if (options.socket.mptcp) result["subflows"] = subflows;
  std::puts(result.dump().c_str());
}

void run_sender(const Socket& socket, const Options& options) {
  std::thread receiver;
  if (options.duplex == "threads") receiver = std::thread([&] { receive_repetitions(socket.fd(), options); });
  if (options.duplex == "one-thread") {
    receive_repetitions(socket.fd(), options);
  } else {
    send_repetitions(socket.fd(), options);
  }
  if (receiver.joinable()) receiver.join();
  std::byte done{};
  weft::baselines::receive_all(socket.fd(), &done, 1, 1, 1, false);
}

int run_both_over_loopback(const Options& options) {
  const std::string address = options.family == "6" ? "[::1]:" : "127.0.0.1:";
  const Socket listener = weft::baselines::listen_on(address + "0", options.socket);
  const std::string endpoint = address + std::to_string(weft::baselines::port_of(listener));
  const pid_t child = fork();
  if (child < 0) weft::baselines::fail("fork");
  if (child == 0) {
    run_sender(weft::baselines::connect_to(endpoint, options.socket), options);
    return 0;
  }
  run_receiver(weft::baselines::accept_one(listener, options.socket), options);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"One plain TCP or MPTCP stream, as fast as it goes: the yardstick for large messages."};
  auto* listen = app.add_option("--listen", options.listen, "receive here, ADDRESS:PORT");
  app.add_option("--connect", options.connect, "send there, ADDRESS:PORT")->excludes(listen);
  app.add_option("--family", options.family, "of loopback")->check(CLI::IsMember({"4", "6"}));
  app.add_flag("--mptcp", options.socket.mptcp, "IPPROTO_MPTCP");
  app.add_option("--duplex", options.duplex, "carry as much the other way at the same time")
      ->check(CLI::IsMember({"no", "threads", "one-thread"}));
  app.add_option("--message-bytes", options.message_bytes)->transform(CLI::AsSizeValue(false));
  app.add_option("--messages", options.messages, "in each repetition")->check(CLI::PositiveNumber);
  app.add_option("--warmup-messages", options.warmup_messages)->check(CLI::NonNegativeNumber);
  app.add_option("--repetitions", options.repetitions)->check(CLI::PositiveNumber);
  app.add_option("--call-bytes", options.call_bytes, "of each send and recv")
      ->transform(CLI::AsSizeValue(false));
  app.add_flag("--wait-all", options.wait_all, "MSG_WAITALL");
  app.add_option("--send-buffer", options.socket.send_buffer_bytes, "SO_SNDBUF, 0: the kernel grows it");
  app.add_option("--receive-buffer", options.socket.receive_buffer_bytes,
                 "SO_RCVBUF, 0: the kernel grows it");
  app.add_option("--congestion-control", options.socket.congestion_control);
  CLI11_PARSE(app, argc, argv);
  if (options.message_bytes == 0 || options.call_bytes == 0) {
    std::fputs("--message-bytes and --call-bytes must be at least 1\n", stderr);
    return 2;
  }

  if (!options.listen.empty()) {
    run_receiver(weft::baselines::accept_one(weft::baselines::listen_on(options.listen, options.socket),
                                             options.socket),
                 options);
    return 0;
  }
  if (!options.connect.empty()) {
    run_sender(weft::baselines::connect_to(options.connect, options.socket), options);
    return 0;
  }
  return run_both_over_loopback(options);
}
