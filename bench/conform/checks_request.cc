// Requests: what post and test write, how many there may be, and who must be tested.
#include <fmt/format.h>

#include <array>

#include "bench/conform/check.h"
#include "bench/conform/message_queue.h"
#include "bench/conform/plugin_log.h"
#include "bench/conform/session.h"

namespace weft::bench::conform {
namespace {

void* const kStaleRequest = reinterpret_cast<void*>(uintptr_t{0x5EEDFACE0});

// One receive of one buffer; `request` keeps what is on entry.
Result post_receive(const Connection& connection, const SlotBuffer& buffer, size_t slot, size_t bytes,
                    void** request) {
  void* data[1] = {buffer.slot(slot)};
  size_t sizes[1] = {bytes};
  int tags[1] = {0};
  void* mhandles[1] = {buffer.mhandle()};
  void* phandles[1] = {nullptr};
  return connection.session().plugin().irecv(connection.recv(), data, sizes, tags, mhandles, phandles,
                                             request);
}

Result post_send(const Connection& connection, const SlotBuffer& buffer, size_t slot, size_t bytes,
                 void** request) {
  return connection.session().plugin().isend(connection.send(), buffer.slot(slot), bytes, 0, buffer.mhandle(),
                                             nullptr, request);
}

void request_always_written(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  constexpr size_t kBytes = 65536;
  SlotBuffer source(session, connection.send(), 1, kBytes);
  SlotBuffer target(session, connection.recv(), 1, kBytes);
  source.fill(0, kBytes, 1);
  // No receive is posted yet: whatever isend decides, it must write.
  for (int i = 0; i < 20; ++i) {
    void* request = kStaleRequest;
    require_success(post_send(connection, source, 0, kBytes, &request), "isend");
    require(request != kStaleRequest, "isend returned with the stale pointer still in *request");
    if (request) break;
  }
  for (int i = 0; i < 2; ++i) {
    void* request = kStaleRequest;
    require_success(post_receive(connection, target, 0, kBytes, &request), "irecv");
    require(request != kStaleRequest, "irecv returned with the stale pointer still in *request");
  }
  // Left in flight: the close order of an abort.
  connection.close();
}

void done_always_written(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  constexpr size_t kBytes = 65536;
  SlotBuffer target(session, connection.recv(), 1, kBytes);
  void* request = nullptr;
  Patience patience = session.patience();
  while (!request) {
    require_success(post_receive(connection, target, 0, kBytes, &request), "irecv");
    patience.wait([] { return "the first irecv to give a request"; });
  }
  for (int garbage : {0x6B6B6B6B, -1, 1, 0x40000000}) {
    int done = garbage;
    int size = garbage;
    require_success(session.plugin().test(request, &done, &size), "test");
    require(done != garbage, [&] {
      return fmt::format("test left {:#x} in *done for a receive that nothing was sent for", garbage);
    });
    require(done == 0, "test calls a receive done though nothing was sent");
  }
  connection.close();
}

void optional_completion(CheckContext& context) {
  Session session(context);
  if (session.plugin().abi() < 9) throw Skip("NCCL passes 0x1 from v9 on");
  Connection connection(session);
  constexpr size_t kBytes = 10000;
  SlotBuffer source(session, connection.send(), 1, kBytes);
  SlotBuffer target(session, connection.recv(), 1, kBytes);
  void* const optional = reinterpret_cast<void*>(nccl::kOptionalRecvCompletion);
  for (int round = 0; round < 20; ++round) {
    source.fill(0, kBytes, 300 + round);
    target.poison(0);
    void* receive = nullptr;
    void* send = nullptr;
    int received = 0;
    int sent = 0;
    Patience patience = session.patience();
    while (!received || !sent || first_difference(target.slot(0), kBytes, 300 + round) < kBytes) {
      if (!receive) {
        receive = optional;
        require_success(post_receive(connection, target, 0, kBytes, &receive), "irecv");
        require(receive != optional, "irecv left 0x1 in *request");
      }
      if (!send) require_success(post_send(connection, source, 0, kBytes, &send), "isend");
      int size = 0;
      if (send && !sent) require_success(session.plugin().test(send, &sent, &size), "test");
      if (receive && !received) require_success(session.plugin().test(receive, &received, &size), "test");
      patience.wait([&] {
        return fmt::format("message {} of a receive whose completion is optional (send {}, receive {})",
                           round, sent ? "done" : "pending", received ? "done" : "pending");
      });
    }
    target.verify_rest(0, kBytes, fmt::format("message {}", round));
  }
  source.deregister();
  target.deregister();
  connection.close();
}

void head_only(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  const auto plan = uniform(64, 400000);
  SendQueue sends(session, connection.send(), plan);
  RecvQueue receives(session, connection.recv(), plan);
  // Windows are filled first: eight requests on both sides, of which only the oldest is ever tested.
  Patience patience = session.patience();
  while (!sends.finished() || !receives.finished()) {
    bool moved = false;
    while (receives.post()) moved = true;
    while (sends.post()) moved = true;
    moved |= receives.test();
    moved |= sends.test();
    if (moved)
      patience.moved();
    else
      patience.wait([&] { return sends.state() + ", " + receives.state() + ", testing the oldest only"; });
  }
  sends.deregister();
  receives.deregister();
  connection.close();
}

void receives_beyond_limit(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  constexpr int kPosted = nccl::kMaxRequests + 8;
  constexpr size_t kBytes = 3000;
  SlotBuffer source(session, connection.send(), 1, kBytes);
  SlotBuffer target(session, connection.recv(), kPosted, kBytes);
  std::vector<void*> requests;
  for (int i = 0; i < kPosted; ++i) {
    target.poison(i);
    void* request = kStaleRequest;
    const Result result = post_receive(connection, target, i, kBytes, &request);
    require(result == Result::kSuccess, [&] {
      return fmt::format("irecv {} of {} in flight returned {} instead of a NULL request", i + 1, kPosted,
                         result_name(result));
    });
    require(request != kStaleRequest, "irecv did not write *request");
    if (!request) break;
    requests.push_back(request);
  }
  require(requests.size() >= static_cast<size_t>(nccl::kMaxSteps), [&] {
    return fmt::format("only {} receives fit; NCCL keeps {} in flight on every connection", requests.size(),
                       nccl::kMaxSteps);
  });
  if (requests.size() < static_cast<size_t>(nccl::kMaxRequests)) {
    context.remark = fmt::format("takes {} receives at once", requests.size());
  }
  // All of them must still work.
  Patience patience = session.patience();
  size_t sent = 0;
  size_t received = 0;
  void* send = nullptr;
  while (received < requests.size()) {
    if (!send && sent < requests.size()) {
      source.fill(0, kBytes, 40 + sent);
      require_success(post_send(connection, source, 0, kBytes, &send), "isend");
    }
    int done = 0;
    int size = 0;
    if (send) {
      require_success(session.plugin().test(send, &done, &size), "test");
      if (done) {
        send = nullptr;
        ++sent;
        patience.moved();
      }
    }
    require_success(session.plugin().test(requests[received], &done, &size), "test");
    if (done) {
      target.verify(received, kBytes, 40 + received, fmt::format("receive {}", received));
      ++received;
      patience.moved();
    }
    patience.wait([&] { return fmt::format("receive {} of {}", received, requests.size()); });
  }
  while (send) {
    int done = 0;
    require_success(session.plugin().test(send, &done, nullptr), "test");
    if (done) break;
    patience.wait([] { return "the last send"; });
  }
  source.deregister();
  target.deregister();
  connection.close();
}

void sends_beyond_limit(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  constexpr int kPosted = nccl::kMaxRequests + 8;
  constexpr size_t kBytes = 3000;
  SlotBuffer source(session, connection.send(), kPosted, kBytes);
  const auto plan = uniform(kPosted, kBytes);
  RecvQueue receives(session, connection.recv(), plan, {.window = kPosted, .stream = 40});
  while (receives.post()) {
  }
  std::vector<void*> requests;
  int refusals = 0;
  while (requests.size() < kPosted && refusals < 200) {
    const size_t i = requests.size();
    source.fill(i, kBytes, 40 + i);
    void* request = kStaleRequest;
    const Result result = post_send(connection, source, i, kBytes, &request);
    require(result == Result::kSuccess, [&] {
      return fmt::format("isend {} in flight returned {} instead of a NULL request", i + 1,
                         result_name(result));
    });
    require(request != kStaleRequest, "isend did not write *request");
    if (request)
      requests.push_back(request);
    else
      ++refusals;
  }
  Patience patience = session.patience();
  size_t tested = 0;
  while (!receives.finished()) {
    bool moved = receives.progress();
    int done = 0;
    int size = 0;
    if (tested < requests.size()) {
      require_success(session.plugin().test(requests[tested], &done, &size), "test");
      if (done) {
        ++tested;
        moved = true;
      }
    } else if (requests.size() < kPosted) {
      const size_t i = requests.size();
      source.fill(i, kBytes, 40 + i);
      void* request = nullptr;
      require_success(post_send(connection, source, i, kBytes, &request), "isend");
      if (request) requests.push_back(request);
    }
    if (moved)
      patience.moved();
    else
      patience.wait([&] { return fmt::format("send {} of {}, {}", tested, kPosted, receives.state()); });
  }
  while (tested < requests.size()) {
    int done = 0;
    int size = 0;
    require_success(session.plugin().test(requests[tested], &done, &size), "test");
    if (done)
      ++tested;
    else
      patience.wait([] { return "the last sends"; });
  }
  source.deregister();
  receives.deregister();
  connection.close();
}

void send_before_receive(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  const auto plan = uniform(nccl::kMaxSteps, 100000);
  SendQueue sends(session, connection.send(), plan);
  for (int i = 0; i < 2000; ++i) {
    sends.progress();  // throws on any error
  }
  RecvQueue receives(session, connection.recv(), plan);
  Patience patience = session.patience();
  while (!sends.finished() || !receives.finished()) {
    const bool received = receives.progress();
    const bool sent = sends.progress();
    if (received || sent)
      patience.moved();
    else
      patience.wait([&] { return sends.state() + ", " + receives.state(); });
  }
  sends.deregister();
  receives.deregister();
  connection.close();
}

void send_larger_than_receive(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  constexpr size_t kRoom = 10000;
  constexpr size_t kBytes = 30000;
  SlotBuffer source(session, connection.send(), 1, kBytes);
  SlotBuffer target(session, connection.recv(), 1, kRoom);
  source.fill(0, kBytes, 1);
  target.poison(0);
  void* receive = nullptr;
  void* send = nullptr;
  int received = 0;
  int sent = 0;
  bool failed = false;
  Patience patience = session.patience();
  while (!failed) {
    int size = 0;
    if (!receive) failed |= post_receive(connection, target, 0, kRoom, &receive) != Result::kSuccess;
    if (!failed && !send) failed |= post_send(connection, source, 0, kBytes, &send) != Result::kSuccess;
    if (!failed && send && !sent) failed |= session.plugin().test(send, &sent, &size) != Result::kSuccess;
    if (!failed && receive && !received) {
      failed |= session.plugin().test(receive, &received, &size) != Result::kSuccess;
      require(failed || !received, [&] {
        return fmt::format("{} bytes were sent to a receive of {}, which is done with {}", kBytes, kRoom,
                           size);
      });
    }
    patience.wait([] { return "an error: the send is larger than the receive"; });
  }
  target.verify_rest(0, kRoom, "the receive that was too small");
  if (plugin_warnings() == 0) context.remark = "the error comes without a warning in the log";
  connection.close();
}

void flush_without_sizes(CheckContext& context) {
  Session session(context);
  const DeviceProperties properties = session.properties(0);
  Connection connection(session);
  constexpr size_t kBytes = 50000;
  for (int round = 0; round < 10; ++round) {
    exchange(connection, uniform(1, kBytes), {.stream = 10u + round});
    SlotBuffer target(session, connection.recv(), 1, kBytes);
    target.fill(0, kBytes, 7);
    void* data[1] = {target.slot(0)};
    int bytes[1] = {kBytes};
    void* mhandles[1] = {target.mhandle()};
    void* request = nullptr;  // NCCL has cleared it before this call
    const Result result = session.plugin().iflush(connection.recv(), data, bytes, mhandles, &request);
    if (result != Result::kSuccess && !(properties.ptr_support & nccl::kPtrCuda) && !properties.force_flush) {
      throw Skip("the plugin takes host memory only, for which NCCL never calls iflush");
    }
    require_success(result, "iflush");
    Patience patience = session.patience();
    for (int done = 0; request && !done;) {
      done = 0x6B6B6B6B;
      require_success(session.plugin().test(request, &done, nullptr), "test of a flush");
      require(done != 0x6B6B6B6B, "test of a flush did not write *done");
      if (!done) patience.wait([] { return "a flush"; });
    }
    target.verify(0, kBytes, 7, "flushed buffer");
    target.deregister();
  }
  connection.close();
}

}  // namespace

std::vector<Check> request_checks() {
  return {
      {"request_always_written",
       "*request holds a stale pointer on entry: write it, NULL if nothing was posted",
       request_always_written, 60, kNeedsTransfer},
      {"done_always_written", "*done is uninitialised memory: write 0 when the request is not complete",
       done_always_written, 60, kNeedsTransfer},
      {"receive_completion_optional", "for some receives *request is 0x1 on entry, a hint and no pointer",
       optional_completion},
      {"test_head_only", "only the oldest request of a queue is tested: any call must move the others",
       head_only},
      {"receives_beyond_limit", "a receive beyond the limit of 32 gets a NULL request, not an error",
       receives_beyond_limit},
      {"sends_beyond_limit", "a send beyond the limit of 32 gets a NULL request, not an error",
       sends_beyond_limit},
      {"send_before_receive",
       "isend is called before the receive is posted: NULL or a request, never an error",
       send_before_receive},
      {"send_larger_than_receive_fails",
       "a send larger than its receive is an error, never truncated or overrun", send_larger_than_receive},
      {"flush_without_sizes", "a flush is tested with sizes NULL", flush_without_sizes},
  };
}

}  // namespace weft::bench::conform
