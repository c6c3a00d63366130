// Connecting: non-blocking calls that one service thread repeats for many connections at once.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "bench/conform/check.h"
#include "bench/conform/message_queue.h"
#include "bench/conform/session.h"

namespace weft::bench::conform {
namespace {

constexpr int kManyPolls = 3000;

// Both ends of a connection that is still being set up.
struct Pending {
  Listener listener;
  Handle handle;
  void* send = nullptr;
  void* recv = nullptr;
  bool done() const { return send && recv; }
};

Pending begin(const Session& session, int device = 0) {
  Pending pending;
  pending.listener = listen(session, device);
  pending.handle = pending.listener.handle;
  return pending;
}

Connection finish(const Session& session, Pending& pending, int device = 0) {
  Patience patience = session.patience();
  while (!pending.done()) {
    if (!pending.send) poll_connect(session, device, pending.handle, pending.send);
    if (!pending.recv) poll_accept(session, pending.listener, pending.recv);
    patience.wait([&] { return pending.send ? "accept" : "connect"; });
  }
  close_listen(session, pending.listener);
  return Connection(session, pending.send, pending.recv);
}

void works(const Connection& connection, uint64_t stream) {
  exchange(connection, uniform(10, 3000, 5000), {.stream = stream});
}

void accept_returns_without_peer(CheckContext& context) {
  Session session(context);
  Pending pending = begin(session);
  for (int i = 0; i < kManyPolls; ++i) {
    poll_accept(session, pending.listener, pending.recv);
    require(pending.recv == nullptr, "accept gave a communicator though nobody had called connect");
  }
  Connection connection = finish(session, pending);
  connection.close();
}

void connect_returns_without_accept(CheckContext& context) {
  Session session(context);
  Pending pending = begin(session);
  for (int i = 0; i < kManyPolls; ++i) {
    if (!pending.send) poll_connect(session, 0, pending.handle, pending.send);
  }
  Connection connection = finish(session, pending);
  connection.close();
}

void polls_interleaved(CheckContext& context) {
  Session session(context);
  std::mt19937 random(7);
  for (int round = 0; round < 16; ++round) {
    Pending pending = begin(session);
    Patience patience = session.patience();
    while (!pending.done()) {
      const bool connect_next = random() % 5 < 2;
      if (connect_next && !pending.send) poll_connect(session, 0, pending.handle, pending.send);
      if (!connect_next && !pending.recv) poll_accept(session, pending.listener, pending.recv);
      patience.wait([] { return "connect and accept, polled in a random order"; });
    }
    Connection connection = finish(session, pending);
    works(connection, round);
    connection.close();
  }
}

void many_at_once(CheckContext& context) {
  Session session(context);
  constexpr int kConnections = 64;
  std::vector<Pending> pending;
  for (int i = 0; i < kConnections; ++i) pending.push_back(begin(session, i % session.devices()));
  std::mt19937 random(11);
  Patience patience = session.patience();
  int left = kConnections;
  std::vector<size_t> order(kConnections);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  while (left > 0) {
    std::shuffle(order.begin(), order.end(), random);
    const int before = left;
    for (size_t i : order) {
      Pending& one = pending[i];
      if (one.done()) continue;
      if (!one.send) poll_connect(session, i % session.devices(), one.handle, one.send);
      if (!one.recv) poll_accept(session, one.listener, one.recv);
      if (one.done()) --left;
    }
    if (left < before) patience.moved();
    patience.wait([&] { return fmt::format("{} of {} connections", left, kConnections); });
  }
  std::vector<Connection> connections;
  for (Pending& one : pending) {
    close_listen(session, one.listener);
    connections.emplace_back(session, one.send, one.recv);
  }
  // Every connection carries other bytes: a mix-up shows.
  std::vector<std::unique_ptr<SendQueue>> sends;
  std::vector<std::unique_ptr<RecvQueue>> receives;
  for (int i = 0; i < kConnections; ++i) {
    const QueueOptions options{.stream = 1000u * (i + 1)};
    sends.push_back(std::make_unique<SendQueue>(session, connections[i].send(), uniform(12, 4096), options));
    receives.push_back(
        std::make_unique<RecvQueue>(session, connections[i].recv(), uniform(12, 4096), options));
  }
  for (bool all = false; !all;) {
    all = true;
    bool moved = false;
    for (int i = 0; i < kConnections; ++i) {
      moved |= receives[i]->progress();
      moved |= sends[i]->progress();
      all = all && sends[i]->finished() && receives[i]->finished();
    }
    if (moved)
      patience.moved();
    else
      patience.wait([] { return "messages on 64 connections"; });
  }
  for (int i = 0; i < kConnections; ++i) {
    sends[i]->deregister();
    receives[i]->deregister();
    connections[i].close();
  }
}

void garbage_handle(CheckContext& context) {
  Session session(context);
  for (unsigned char garbage : {0x00, 0xFF, 0x01, 0xA5}) {
    step(fmt::format("listen into a handle full of {:#04x}", garbage));
    Pending pending;
    pending.listener = listen(session, 0, garbage);
    pending.handle = pending.listener.handle;
    Connection connection = finish(session, pending);
    works(connection, garbage);
    connection.close();
  }
  // As above, over a handle that another connection has used up.
  step("listen into a handle that carried an earlier connection");
  Pending first = begin(session);
  Connection earlier = finish(session, first);
  Pending second;
  second.handle = first.handle;
  require_success(
      session.plugin().listen(session.communicator(), 0, second.handle.data(), &second.listener.comm),
      "listen");
  Connection connection = finish(session, second);
  works(connection, 5);
  connection.close();
  earlier.close();
}

void handle_travels(CheckContext& context) {
  Session session(context);
  Pending pending;
  pending.listener = listen(session);
  pending.handle = pending.listener.handle;
  pending.listener.handle.fill(std::byte{0xEE});  // the listener's own copy does not live on
  // An odd address: NCCL's handle lies inside messages of its bootstrap.
  std::vector<std::byte> memory(sizeof(Handle) + 64);
  Handle& moved = *reinterpret_cast<Handle*>(memory.data() + 8);
  std::memcpy(moved.data(), pending.handle.data(), moved.size());
  pending.handle.fill(std::byte{0xEE});
  Patience patience = session.patience();
  while (!pending.done()) {
    if (!pending.send) poll_connect(session, 0, moved, pending.send);
    if (!pending.recv) poll_accept(session, pending.listener, pending.recv);
    patience.wait([] { return "a connection over a copied handle"; });
  }
  close_listen(session, pending.listener);
  Connection connection(session, pending.send, pending.recv);
  works(connection, 1);
  connection.close();
}

void null_device_handle(CheckContext& context) {
  Session session(context);
  if (session.plugin().abi() < 7) throw Skip("device handles came with v7");
  Pending pending = begin(session);
  Patience patience = session.patience();
  while (!pending.done()) {
    if (!pending.send) {
      require_success(
          session.plugin().connect(session.communicator(), 0, pending.handle.data(), &pending.send, nullptr),
          "connect");
    }
    if (!pending.recv) {
      require_success(session.plugin().accept(pending.listener.comm, &pending.recv, nullptr), "accept");
    }
    patience.wait([] { return "a connection without device handles"; });
  }
  Connection connection = finish(session, pending);
  works(connection, 1);
  connection.close();
}

void foreign_device_handle(CheckContext& context) {
  Session session(context);
  if (session.plugin().abi() < 7) throw Skip("device handles came with v7");
  if (session.properties(0).net_device_type != nccl::NetDeviceType::kHost) {
    throw Skip("the plugin offloads to the device and uses the argument");
  }
  std::array<std::byte, 256> foreign;
  foreign.fill(std::byte{0xA5});
  const auto untouched = foreign;
  auto* argument = reinterpret_cast<nccl::NetDeviceHandle*>(foreign.data());
  Pending pending = begin(session);
  Patience patience = session.patience();
  while (!pending.done()) {
    if (!pending.send) {
      require_success(session.plugin().connect(session.communicator(), 0, pending.handle.data(),
                                               &pending.send, &argument),
                      "connect");
    }
    if (!pending.recv) {
      require_success(session.plugin().accept(pending.listener.comm, &pending.recv, &argument), "accept");
    }
    patience.wait([] { return "a connection"; });
  }
  require(foreign == untouched, "the plugin wrote into the struct behind the device handle argument");
  Connection connection = finish(session, pending);
  works(connection, 1);
  connection.close();
}

void listener_never_used(CheckContext& context) {
  Session session(context);
  for (int i = 0; i < 100; ++i) {
    Listener listener = listen(session, i % session.devices());
    close_listen(session, listener);
  }
  Connection connection(session);
  works(connection, 1);
  connection.close();
  session.close();
}

void half_open_dropped(CheckContext& context) {
  Session session(context);
  // The connecting side gives up: its handle is never polled again.
  for (int polls : {1, 5, 200}) {
    step(fmt::format("connect given up after {} polls", polls));
    Pending pending = begin(session);
    for (int i = 0; i < polls && !pending.send; ++i) poll_connect(session, 0, pending.handle, pending.send);
    if (pending.send) require_success(session.plugin().close_send(pending.send), "closeSend");
    close_listen(session, pending.listener);
  }
  // The listening side goes away while connect is being polled; connect may then say so with an error.
  step("listener closed before accept");
  Pending pending = begin(session);
  if (!pending.send) poll_connect(session, 0, pending.handle, pending.send);
  close_listen(session, pending.listener);
  for (int i = 0; i < kManyPolls && !pending.send; ++i) {
    nccl::NetDeviceHandle* no_offload = nullptr;
    if (session.plugin().connect(session.communicator(), 0, pending.handle.data(), &pending.send,
                                 &no_offload) != nccl::Result::kSuccess) {
      pending.send = nullptr;
      break;
    }
  }
  if (pending.send) session.plugin().close_send(pending.send);
  // The accepting side gives up in the middle.
  step("accept given up in the middle");
  Pending accepting = begin(session);
  for (int i = 0; i < 3 && !accepting.done(); ++i) {
    if (!accepting.send) poll_connect(session, 0, accepting.handle, accepting.send);
    if (!accepting.recv) poll_accept(session, accepting.listener, accepting.recv);
  }
  if (accepting.recv) require_success(session.plugin().close_recv(accepting.recv), "closeRecv");
  close_listen(session, accepting.listener);
  if (accepting.send) session.plugin().close_send(accepting.send);

  step("a connection after half-open ones");
  Connection connection(session);
  works(connection, 1);
  connection.close();
  session.close();
}

void every_device(CheckContext& context) {
  Session session(context);
  for (int device = 0; device < session.devices(); ++device) {
    step(fmt::format("device {}", device));
    Connection connection(session, device);
    exchange(connection, uniform(16, 50000), {.stream = 100u * device});
    connection.close();
  }
  session.close();
}

}  // namespace

std::vector<Check> connection_checks() {
  return {
      {"accept_returns_without_peer", "accept must return at once, with no communicator, thousands of times",
       accept_returns_without_peer, 60, nullptr},
      {"connect_returns_without_accept", "connect must return at once while nobody accepts",
       connect_returns_without_accept, 60, nullptr},
      {"connect_polls_interleaved", "one service thread polls connect and accept in any order",
       polls_interleaved},
      {"connect_many_at_once", "a service thread sets up all its connections side by side", many_at_once},
      {"connect_every_device", "NCCL uses every device that the plugin shows", every_device, 120},
      {"listen_into_garbage_handle",
       "the handle's memory is not zeroed; connect's state in it must start clean", garbage_handle, 60,
       kNeedsTransfer},
      {"handle_travels_as_bytes", "the handle reaches connect as 128 copied bytes; the original is gone",
       handle_travels},
      {"connect_null_device_handle", "NCCL's own probe passes no device handle at all", null_device_handle},
      {"connect_foreign_device_handle", "RCCL passes a struct of its own there: leave it alone",
       foreign_device_handle},
      {"listen_closed_unused", "listening objects are closed without ever being connected to",
       listener_never_used},
      {"half_open_connections_dropped", "after an abort half-open connections are dropped without a call",
       half_open_dropped},
  };
}

}  // namespace weft::bench::conform
