// Messages: sizes, capacities, order, and what *done promises to either side.
#include <fmt/format.h>

#include <random>

#include "bench/conform/check.h"
#include "bench/conform/message_queue.h"
#include "bench/conform/session.h"

namespace weft::bench::conform {
namespace {

// A fresh connection for one plan.
void move_messages(CheckContext& context, const std::vector<Message>& plan, QueueOptions options = {}) {
  Session session(context);
  Connection connection(session);
  exchange(connection, plan, options);
  connection.close();
  session.close();
}

void small_sizes(CheckContext& context) {
  std::vector<Message> plan;
  for (size_t bytes = 1; bytes <= 520; ++bytes) plan.push_back({bytes});
  move_messages(context, plan);
}

void sizes_around_powers(CheckContext& context) {
  std::vector<Message> plan;
  for (size_t power = 1024; power <= size_t{1} << 20; power *= 2) {
    for (size_t bytes : {power - 1, power, power + 1}) plan.push_back({bytes});
  }
  move_messages(context, plan);
}

void size_64_mib(CheckContext& context) {
  move_messages(context, {{64u << 20}, {4u << 20}, {(64u << 20) - 3}}, {.window = 1});
}

void ring_slices(CheckContext& context) {
  move_messages(context, uniform(48, 512 << 10, 1 << 20));
}

void p2p_slices(CheckContext& context) {
  move_messages(context, uniform(200, 128 << 10, 128 << 10));
}

void long_run_small(CheckContext& context) {
  move_messages(context, uniform(5000, 2048, 4096));
}

void zero_bytes(CheckContext& context) {
  std::vector<Message> plan;
  for (int i = 0; i < 100; ++i) {
    plan.push_back({0, 65536});
    plan.push_back({i % 3 == 0 ? size_t{0} : size_t(i * 37), 65536});
  }
  plan.push_back({0, 0});  // and a receive that has no room either
  move_messages(context, plan);
}

void zero_bytes_only(CheckContext& context) {
  move_messages(context, uniform(64, 0, 1 << 20));
}

void capacity_larger(CheckContext& context) {
  std::vector<Message> plan;
  for (size_t bytes : {1u, 7u, 8u, 100u, 4095u, 4096u, 65537u, 262143u}) {
    for (size_t capacity : {bytes + 1, bytes + 4096, size_t{1} << 19}) plan.push_back({bytes, capacity});
  }
  move_messages(context, plan);
}

void order_kept(CheckContext& context) {
  std::mt19937 random(3);
  std::vector<Message> plan;
  for (int i = 0; i < 400; ++i) {
    const size_t bytes = random() % 4 == 0 ? random() % 300000 : random() % 600;
    plan.push_back({bytes, 300000});
  }
  move_messages(context, plan);
}

void odd_addresses(CheckContext& context) {
  for (size_t misalign : {1u, 3u, 8u, 513u}) {
    step(fmt::format("buffers {} bytes off a page", misalign));
    move_messages(context, {{1}, {64}, {1000}, {65535}, {300001}}, {.misalign = misalign});
  }
}

void tags_passed_through(CheckContext& context) {
  std::vector<Message> plan;
  for (int tag : {0, 1, 7, 255, 256, 65535, 1 << 20, 0x7FFFFFFF}) plan.push_back({5000, 8000, tag});
  move_messages(context, plan);
}

void send_done_frees_buffer(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  // The receiver looks only after every send is done and its buffer overwritten (SendQueue does so at once).
  constexpr int kMessages = nccl::kMaxSteps;
  for (size_t bytes : {16u, 20000u, 1u << 20}) {
    const auto plan = uniform(kMessages, bytes);
    SendQueue sends(session, connection.send(), plan, {.stream = bytes});
    RecvQueue receives(session, connection.recv(), plan, {.stream = bytes});
    while (receives.post()) {
    }
    Patience patience = session.patience();
    while (!receives.finished()) {
      bool moved = sends.progress();
      // Without the receiver's tests a plugin without threads cannot move; the sender goes first for as long
      // as it can.
      if (!moved) moved = receives.test();
      if (moved)
        patience.moved();
      else
        patience.wait([&] { return sends.state() + ", " + receives.state(); });
    }
    while (!sends.finished()) {
      if (sends.progress())
        patience.moved();
      else
        patience.wait([&] { return sends.state(); });
    }
    sends.deregister();
    receives.deregister();
  }
  connection.close();
}

void done_means_data(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  // One message at a time: the bytes are looked at in the moment of completion, with nothing else to push
  // them.
  for (size_t bytes : {1u, 5000u, 100000u, 3u << 20}) {
    exchange(connection, uniform(4, bytes), {.window = 1, .stream = bytes});
  }
  connection.close();
}

void nothing_lands_after_done(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  constexpr size_t kBytes = 300000;
  SlotBuffer watched(session, connection.recv(), 4, kBytes);
  const auto plan = uniform(4, kBytes);
  {
    SlotBuffer source(session, connection.send(), 4, kBytes);
    Patience patience = session.patience();
    for (int i = 0; i < 4; ++i) {
      watched.poison(i);
      source.fill(i, kBytes, 70 + i);
      void* data[1] = {watched.slot(i)};
      size_t bytes[1] = {kBytes};
      int tags[1] = {0};
      void* mhandles[1] = {watched.mhandle()};
      void* phandles[1] = {nullptr};
      void* receive = nullptr;
      void* send = nullptr;
      int received = 0;
      int sent = 0;
      while (!received || !sent) {
        if (!receive && !received) {
          require_success(
              session.plugin().irecv(connection.recv(), data, bytes, tags, mhandles, phandles, &receive),
              "irecv");
        }
        if (!send && !sent) {
          require_success(session.plugin().isend(connection.send(), source.slot(i), kBytes, 0,
                                                 source.mhandle(), nullptr, &send),
                          "isend");
        }
        int size = 0;
        if (send && !sent) require_success(session.plugin().test(send, &sent, &size), "test");
        if (receive && !received) {
          require_success(session.plugin().test(receive, &received, &size), "test");
          if (received) {
            watched.verify(i, kBytes, 70 + i, fmt::format("receive {}", i));
            watched.fill(i, kBytes, 900 + i);  // NCCL's GPU kernel takes the buffer over now
          }
        }
        patience.wait([] { return "one message"; });
      }
    }
    source.deregister();
  }
  step("more traffic while the finished buffers are watched");
  exchange(connection, uniform(40, 100000), {.stream = 5000});
  for (int i = 0; i < 4; ++i) {
    watched.verify(i, kBytes, 900 + i, fmt::format("buffer {}, after its receive was done", i));
  }
  watched.deregister();
  connection.close();
}

void both_directions(CheckContext& context) {
  Session session(context);
  Connection there(session);
  Connection back(session);
  const auto plan = uniform(60, 200000, 262144);
  SendQueue sends_there(session, there.send(), plan, {.stream = 1});
  RecvQueue receives_there(session, there.recv(), plan, {.stream = 1});
  SendQueue sends_back(session, back.send(), plan, {.stream = 5000});
  RecvQueue receives_back(session, back.recv(), plan, {.stream = 5000});
  Patience patience = session.patience();
  while (!sends_there.finished() || !receives_there.finished() || !sends_back.finished() ||
         !receives_back.finished()) {
    bool moved = sends_there.progress();
    moved |= sends_back.progress();
    moved |= receives_there.progress();
    moved |= receives_back.progress();
    if (moved)
      patience.moved();
    else
      patience.wait([&] { return receives_there.state() + "; back: " + receives_back.state(); });
  }
  sends_there.deregister();
  receives_there.deregister();
  sends_back.deregister();
  receives_back.deregister();
  there.close();
  back.close();
}

}  // namespace

std::vector<Check> message_checks() {
  return {
      {"message_small_sizes", "messages of every small size arrive whole", small_sizes},
      {"message_sizes_around_powers", "sizes next to powers of two meet no off-by-one", sizes_around_powers},
      {"message_64_mib", "with registered user buffers one message may be as large as maxP2pBytes",
       size_64_mib},
      {"message_ring_slices", "rings send slices of up to 1 MiB, eight steps in flight", ring_slices},
      {"message_p2p_slices", "point-to-point sends slices of 128 to 512 KiB back to back", p2p_slices},
      {"message_long_run", "a connection carries thousands of messages through the same eight slots",
       long_run_small, 120},
      {"message_zero_bytes_mixed", "zero-byte sends are normal, complete a receive and keep their place",
       zero_bytes},
      {"message_zero_bytes_only", "a connection may carry nothing but zero-byte sends", zero_bytes_only},
      {"message_capacity_larger",
       "a receive's size is a capacity; the true size is reported, the rest untouched", capacity_larger},
      {"message_order_kept", "sends match receives in the order of posting, whatever their sizes",
       order_kept},
      {"message_odd_addresses", "user buffers start anywhere", odd_addresses},
      {"message_tags_passed_through", "a tag is any int and the same on both sides", tags_passed_through},
      {"send_done_frees_buffer", "NCCL overwrites a send's buffer as soon as it is done",
       send_done_frees_buffer, 60, kNeedsTransfer},
      {"receive_done_means_data", "a receive is done when every byte is visible, not when it was announced",
       done_means_data, 60, kNeedsTransfer},
      {"nothing_lands_after_done", "a finished receive belongs to the GPU: no late byte may land in it",
       nothing_lands_after_done},
      {"message_both_directions", "two ranks send to each other at the same time", both_directions},
  };
}

}  // namespace weft::bench::conform
