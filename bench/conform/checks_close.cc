// Closing, in every order and in the middle of everything: an abort closes with requests in flight.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "bench/conform/check.h"
#include "bench/conform/message_queue.h"
#include "bench/conform/session.h"

namespace weft::bench::conform {
namespace {

// After an abort in one connection the plugin must be as good as new.
void still_works(const Session& session) {
  step("a new connection after the abort");
  Connection connection(session);
  exchange(connection, uniform(16, 30000), {.stream = 9000});
  connection.close();
}

void every_order(CheckContext& context) {
  Session session(context);
  for (const bool send_first : {true, false}) {
    for (const bool listener_last : {true, false}) {
      step(fmt::format("{} first, listener {}", send_first ? "send" : "receive",
                       listener_last ? "last" : "first"));
      Listener listener = listen(session);
      Handle handle = listener.handle;
      void* send = nullptr;
      void* recv = nullptr;
      Patience patience = session.patience();
      while (!send || !recv) {
        if (!send) poll_connect(session, 0, handle, send);
        if (!recv) poll_accept(session, listener, recv);
        patience.wait([] { return "a connection"; });
      }
      if (!listener_last) close_listen(session, listener);
      Connection connection(session, send, recv);
      exchange(connection, uniform(10, 10000));
      if (send_first) connection.close_send();
      connection.close_recv();
      if (!send_first) connection.close_send();
      close_listen(session, listener);
    }
  }
  session.close();
}

void with_receives_posted(CheckContext& context) {
  Session session(context);
  for (const bool send_first : {true, false}) {
    Connection connection(session);
    RecvQueue receives(session, connection.recv(), uniform(nccl::kMaxSteps, 100000));
    while (receives.post()) {
    }
    receives.test();
    receives.deregister();  // NCCL gives its buffers back first, whatever is in flight
    if (send_first) connection.close_send();
    connection.close_recv();
    connection.close();
  }
  still_works(session);
  session.close();
}

void with_sends_posted(CheckContext& context) {
  Session session(context);
  for (const bool send_first : {true, false}) {
    Connection connection(session);
    SendQueue sends(session, connection.send(), uniform(nccl::kMaxSteps, 1 << 20));
    for (int i = 0; i < 100; ++i) sends.progress();
    sends.deregister();
    if (send_first) connection.close_send();
    connection.close_recv();
    connection.close();
  }
  still_works(session);
  session.close();
}

void in_mid_transfer(CheckContext& context) {
  Session session(context);
  for (const bool send_first : {true, false}) {
    Connection connection(session);
    const auto plan = uniform(8, 8 << 20);
    SendQueue sends(session, connection.send(), plan, {.window = 4});
    RecvQueue receives(session, connection.recv(), plan, {.window = 4});
    Patience patience = session.patience();
    while (receives.done() < 1) {
      bool moved = receives.progress();
      moved |= sends.progress();
      if (moved)
        patience.moved();
      else
        patience.wait([&] { return receives.state(); });
    }
    if (send_first) connection.close_send();
    connection.close_recv();
    connection.close();
  }
  still_works(session);
  session.close();
}

void memory_is_free_after_close(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  constexpr size_t kBytes = 4 << 20;
  SlotBuffer target(session, connection.recv(), 2, kBytes);
  const auto plan = uniform(4, kBytes);
  SendQueue sends(session, connection.send(), plan, {.window = 2});
  void* requests[2] = {nullptr, nullptr};
  Patience patience = session.patience();
  for (int i = 0; i < 2; ++i) {
    target.poison(i);
    void* data[1] = {target.slot(i)};
    size_t bytes[1] = {kBytes};
    int tags[1] = {0};
    void* mhandles[1] = {target.mhandle()};
    void* phandles[1] = {nullptr};
    while (!requests[i]) {
      require_success(
          session.plugin().irecv(connection.recv(), data, bytes, tags, mhandles, phandles, &requests[i]),
          "irecv");
      patience.wait([] { return "irecv"; });
    }
  }
  for (int i = 0; i < 200; ++i) {
    sends.progress();
    int done = 0;
    int size = 0;
    if (i < 20) {
      require_success(session.plugin().test(requests[0], &done, &size), "test");
      if (done) break;
    }
  }
  connection.close_recv();
  // The receiver's memory belongs to somebody else from here on.
  for (size_t i = 0; i < 2; ++i) target.fill(i, kBytes, 60 + i);
  for (int i = 0; i < 200; ++i) {
    // The peer is gone: an error is fine here, a write into the memory is not.
    try {
      sends.progress();
    } catch (const Failure&) {
      break;
    }
  }
  usleep(20000);
  for (size_t i = 0; i < 2; ++i)
    target.verify(i, kBytes, 60 + i, fmt::format("buffer {} after closeRecv", i));
  connection.close();
  still_works(session);
}

void many_in_flight(CheckContext& context) {
  Session session(context);
  std::vector<Connection> connections;
  std::vector<std::unique_ptr<SendQueue>> sends;
  std::vector<std::unique_ptr<RecvQueue>> receives;
  const auto plan = uniform(20, 500000);
  for (int i = 0; i < 8; ++i) connections.emplace_back(session);
  for (int i = 0; i < 8; ++i) {
    const QueueOptions options{.stream = 1000u * i};
    sends.push_back(std::make_unique<SendQueue>(session, connections[i].send(), plan, options));
    receives.push_back(std::make_unique<RecvQueue>(session, connections[i].recv(), plan, options));
  }
  for (int round = 0; round < 30; ++round) {
    for (int i = 0; i < 8; ++i) {
      receives[i]->progress();
      sends[i]->progress();
    }
  }
  for (int i = 0; i < 8; ++i) {
    sends[i]->deregister();
    receives[i]->deregister();
    if (i % 2) connections[i].close_send();
    connections[i].close_recv();
    connections[i].close();
  }
  session.close();
  step("a new session after the abort of eight connections");
  Session again(context, 77);
  still_works(again);
  again.close();
}

void finalize_reclaims(CheckContext& context) {
  Session keeper(context, 1);
  if (!keeper.plugin().inits_each_communicator()) throw Skip("before v11 there is no finalize");
  for (uint64_t round = 0; round < 3; ++round) {
    Session session(keeper, 10 + round);
    // What an abort leaves behind: a listener, and a connection that neither side finished.
    listen(session);  // and forgotten
    Listener half_open = listen(session);
    Handle handle = half_open.handle;
    void* send = nullptr;
    poll_connect(session, 0, handle, send);
    session.close();
    usleep(5000);
  }
  still_works(keeper);
  keeper.close();
}

}  // namespace

std::vector<Check> close_checks() {
  return {
      {"close_in_every_order", "either end closes first; the listener may outlive or precede them",
       every_order},
      {"close_with_receives_posted", "an abort closes with receives posted that nothing was sent for",
       with_receives_posted},
      {"close_with_sends_posted", "an abort closes with sends that nobody will receive", with_sends_posted},
      {"close_in_mid_transfer", "an abort closes while messages are half way", in_mid_transfer},
      {"close_frees_memory", "after closeRecv the receive buffers are somebody else's memory",
       memory_is_free_after_close},
      {"close_many_in_flight", "an abort closes every connection, then finalizes", many_in_flight},
      {"finalize_reclaims_half_open", "nobody closes half-open connections: finalize must reclaim them",
       finalize_reclaims},
  };
}

}  // namespace weft::bench::conform
