// Two processes, as real ranks are, and what each may rely on when the other one does not poll.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>

#include "bench/conform/check.h"
#include "bench/conform/message_queue.h"
#include "bench/conform/two_processes.h"

namespace weft::bench::conform {
namespace {

void close_receiver(const Session& session, void* comm) {
  require_success(session.plugin().close_recv(comm), "closeRecv");
}

void close_sender(const Session& session, void* comm) {
  require_success(session.plugin().close_send(comm), "closeSend");
}

// One direction, both ends polling until they have finished.
void one_way(CheckContext& context, const std::vector<Message>& plan, QueueOptions options = {}) {
  run_two_processes(
      context,
      [&](SideChannel& channel) {
        Session session(context);
        void* comm = accept_from_peer(session, channel);
        RecvQueue receives(session, comm, plan, options);
        work_off(session, receives);
        receives.deregister();
        channel.barrier();
        close_receiver(session, comm);
        session.close();
      },
      [&](SideChannel& channel) {
        Session session(context);
        void* comm = connect_to_peer(session, channel);
        SendQueue sends(session, comm, plan, options);
        work_off(session, sends);
        sends.deregister();
        channel.barrier();
        close_sender(session, comm);
        session.close();
      });
}

void transfer(CheckContext& context) {
  std::vector<Message> plan = uniform(100, 100000, 131072);
  plan.push_back({0, 4096});
  plan.push_back({16 << 20});
  one_way(context, plan);
}

void both_ways(CheckContext& context) {
  const auto plan = uniform(60, 200000, 262144);
  auto side = [&](SideChannel& channel, bool accepts_first, uint64_t send_stream, uint64_t recv_stream) {
    Session session(context);
    void* recv = nullptr;
    void* send = nullptr;
    if (accepts_first) recv = accept_from_peer(session, channel);
    send = connect_to_peer(session, channel);
    if (!accepts_first) recv = accept_from_peer(session, channel);
    SendQueue sends(session, send, plan, {.stream = send_stream});
    RecvQueue receives(session, recv, plan, {.stream = recv_stream});
    Patience patience = session.patience();
    while (!sends.finished() || !receives.finished()) {
      bool moved = sends.progress();
      moved |= receives.progress();
      if (moved)
        patience.moved();
      else
        patience.wait([&] { return sends.state() + ", " + receives.state(); });
    }
    sends.deregister();
    receives.deregister();
    channel.barrier();
    close_sender(session, send);
    close_receiver(session, recv);
    session.close();
  };
  run_two_processes(
      context, [&](SideChannel& channel) { side(channel, true, 1, 5000); },
      [&](SideChannel& channel) { side(channel, false, 5000, 1); });
}

// The receiver has all it waits for and calls nothing any more; the sender must learn of it nevertheless.
void receiver_stops_polling(CheckContext& context) {
  const auto plan = uniform(20, 300000);
  run_two_processes(
      context,
      [&](SideChannel& channel) {
        Session session(context);
        void* comm = accept_from_peer(session, channel);
        RecvQueue receives(session, comm, plan);
        work_off(session, receives);
        step("the receiver has everything and sleeps; the sender waits for its last sends");
        channel.barrier();
        receives.deregister();
        close_receiver(session, comm);
      },
      [&](SideChannel& channel) {
        Session session(context);
        void* comm = connect_to_peer(session, channel);
        SendQueue sends(session, comm, plan);
        work_off(session, sends);
        channel.barrier();
        sends.deregister();
        close_sender(session, comm);
      });
}

// The sender's sends are done and it calls nothing any more; all bytes must reach the receiver.
void sender_stops_polling(CheckContext& context) {
  const auto plan = uniform(20, 300000);
  run_two_processes(
      context,
      [&](SideChannel& channel) {
        Session session(context);
        void* comm = accept_from_peer(session, channel);
        RecvQueue receives(session, comm, plan);
        work_off(session, receives);
        channel.barrier();
        receives.deregister();
        close_receiver(session, comm);
      },
      [&](SideChannel& channel) {
        Session session(context);
        void* comm = connect_to_peer(session, channel);
        SendQueue sends(session, comm, plan);
        work_off(session, sends);
        step("the sender is done and sleeps; the receiver waits for the last bytes");
        channel.barrier();
        sends.deregister();
        close_sender(session, comm);
      });
}

void pause_between_operations(CheckContext& context) {
  const int kRounds = 3;
  auto side = [&](SideChannel& channel, bool receives_side) {
    Session session(context);
    void* comm = receives_side ? accept_from_peer(session, channel) : connect_to_peer(session, channel);
    for (int round = 0; round < kRounds; ++round) {
      const auto plan = uniform(10, 50000);
      const QueueOptions options{.stream = 100u * round};
      if (receives_side) {
        RecvQueue receives(session, comm, plan, options);
        work_off(session, receives);
        receives.deregister();
      } else {
        SendQueue sends(session, comm, plan, options);
        work_off(session, sends);
        sends.deregister();
      }
      channel.barrier();
      usleep(400000);  // NCCL's progress thread sleeps between operations
    }
    if (receives_side)
      close_receiver(session, comm);
    else
      close_sender(session, comm);
  };
  run_two_processes(
      context, [&](SideChannel& channel) { side(channel, true); },
      [&](SideChannel& channel) { side(channel, false); });
}

// Ranks reach the same operation at different times: the receive is posted long before or after the send.
void one_side_late(CheckContext& context) {
  for (const bool receiver_late : {true, false}) {
    const auto plan = uniform(12, 200000);
    run_two_processes(
        context,
        [&](SideChannel& channel) {
          Session session(context);
          void* comm = accept_from_peer(session, channel);
          if (receiver_late) usleep(300000);
          RecvQueue receives(session, comm, plan);
          work_off(session, receives);
          receives.deregister();
          channel.barrier();
          close_receiver(session, comm);
        },
        [&](SideChannel& channel) {
          Session session(context);
          void* comm = connect_to_peer(session, channel);
          if (!receiver_late) usleep(300000);
          SendQueue sends(session, comm, plan);
          work_off(session, sends);
          sends.deregister();
          channel.barrier();
          close_sender(session, comm);
        });
  }
}

void peer_closes_first(CheckContext& context) {
  for (const bool sender_first : {true, false}) {
    const auto plan = uniform(10, 100000);
    run_two_processes(
        context,
        [&](SideChannel& channel) {
          Session session(context);
          void* comm = accept_from_peer(session, channel);
          RecvQueue receives(session, comm, plan);
          work_off(session, receives);
          receives.deregister();
          channel.barrier();
          if (sender_first) channel.barrier();
          close_receiver(session, comm);
          session.close();
          if (!sender_first) channel.barrier();
        },
        [&](SideChannel& channel) {
          Session session(context);
          void* comm = connect_to_peer(session, channel);
          SendQueue sends(session, comm, plan);
          work_off(session, sends);
          sends.deregister();
          channel.barrier();
          if (!sender_first) channel.barrier();
          close_sender(session, comm);
          session.close();
          if (sender_first) channel.barrier();
        });
  }
}

// Whether and when an error comes is the plugin's affair; that its calls return and close works is not.
void peer_killed(CheckContext& context) {
  bool error_seen = false;
  run_two_processes(
      context,
      [&](SideChannel& channel) {
        Session session(context);
        void* comm = accept_from_peer(session, channel);
        RecvQueue receives(session, comm, uniform(400, 1 << 20));
        Patience patience = session.patience();
        while (receives.done() < 4) {
          if (receives.progress())
            patience.moved();
          else
            patience.wait([&] { return receives.state(); });
        }
        pid_t peer = 0;
        channel.receive(&peer, sizeof(peer));
        kill(peer, SIGKILL);
        step("the peer was killed");
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
        while (!receives.finished() && !error_seen && std::chrono::steady_clock::now() < end) {
          try {
            receives.progress();
          } catch (const Failure& failure) {
            const std::string text = failure.what();
            require(text.find("returned") != std::string::npos, text);  // wrong data is never an answer
            error_seen = true;
          }
        }
        require(!receives.finished(), "every receive is done though the sender died early");
        close_receiver(session, comm);
        step("a new connection after the peer's death");
        Connection connection(session);
        exchange(connection, uniform(4, 10000));
        connection.close();
        session.close();
      },
      [&](SideChannel& channel) {
        Session session(context);
        void* comm = connect_to_peer(session, channel);
        SendQueue sends(session, comm, uniform(400, 1 << 20));
        const pid_t self = getpid();
        channel.send(&self, sizeof(self));
        while (sends.done() < 399) sends.progress();
        for (;;) usleep(100000);
      },
      true);
  context.remark = error_seen ? "the loss was reported" : "the loss was not reported within 2 s";
}

}  // namespace

std::vector<Check> process_checks() {
  return {
      {"process_transfer", "ranks are processes: messages of every kind from one to another", transfer, 60,
       kNeedsTransfer},
      {"process_both_ways", "two processes send to each other at the same time", both_ways, 60,
       kNeedsTransfer},
      {"process_receiver_stops_polling",
       "a receiver that is done calls nothing; the sender's sends still complete", receiver_stops_polling, 60,
       kNeedsTransfer},
      {"process_sender_stops_polling", "a sender that is done calls nothing; its bytes still arrive",
       sender_stops_polling, 60, kNeedsTransfer},
      {"process_pause_between_operations", "between operations nobody polls; the next one works all the same",
       pause_between_operations, 60, kNeedsTransfer},
      {"process_one_side_late", "ranks reach the same operation at different times", one_side_late, 60,
       kNeedsTransfer},
      {"process_peer_closes_first",
       "one rank closes, finalizes and unloads while the other still is connected", peer_closes_first, 60,
       kNeedsTransfer},
      {"process_peer_killed", "a peer's death never blocks a call nor breaks other connections", peer_killed,
       60, kNeedsTransfer},
  };
}

}  // namespace weft::bench::conform
