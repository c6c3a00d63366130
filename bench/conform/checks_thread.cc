// Threads: NCCL's service thread sets up and closes, its progress threads move data, all at the same time.
#include <fmt/format.h>

#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "bench/conform/check.h"
#include "bench/conform/message_queue.h"
#include "bench/conform/session.h"

namespace weft::bench::conform {
namespace {

// Runs every function on a thread of its own; the first exception is thrown here after all have ended.
void run_together(const std::vector<std::function<void()>>& bodies) {
  std::mutex lock;
  std::exception_ptr first;
  std::vector<std::thread> threads;
  for (const auto& body : bodies) {
    threads.emplace_back([&, body] {
      try {
        body();
      } catch (...) {
        const std::lock_guard guard(lock);
        if (!first) first = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

void ends_on_two_threads(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  const auto plan = uniform(300, 60000, 65536);
  SendQueue sends(session, connection.send(), plan);
  RecvQueue receives(session, connection.recv(), plan);
  run_together({[&] { work_off(session, sends); }, [&] { work_off(session, receives); }});
  sends.deregister();
  receives.deregister();
  connection.close();
}

void comms_on_many_threads(CheckContext& context) {
  Session session(context);
  std::vector<std::function<void()>> bodies;
  for (int i = 0; i < 4; ++i) {
    bodies.push_back([&session, i] {
      for (int round = 0; round < 5; ++round) {
        Connection connection(session, i % session.devices());
        exchange(connection, uniform(40, 30000), {.stream = 10000u * (i + 1) + 100u * round});
        connection.close();
      }
    });
  }
  run_together(bodies);
  session.close();
}

void service_beside_progress(CheckContext& context) {
  Session session(context);
  Connection busy(session);
  std::atomic<bool> progress_done{false};
  run_together({[&] {
                  exchange(busy, uniform(400, 60000, 131072));
                  progress_done.store(true);
                },
                [&] {
                  // At least a few rounds, and no more than the progress thread has work for.
                  for (int round = 0; round < 8 || (!progress_done.load() && round < 200); ++round) {
                    Listener unused = listen(session);
                    Connection connection(session);
                    exchange(connection, uniform(2, 5000), {.stream = 7000u + round});
                    connection.close();
                    close_listen(session, unused);
                  }
                }});
  busy.close();
  session.close();
}

void comm_changes_threads(CheckContext& context) {
  Session session(context);
  for (int round = 0; round < 10; ++round) {
    std::unique_ptr<Connection> connection;
    run_together({[&] { connection = std::make_unique<Connection>(session); }});
    run_together({[&] { exchange(*connection, uniform(20, 20000), {.stream = 100u * round}); }});
    run_together({[&] { exchange(*connection, uniform(20, 20000), {.stream = 50u + 100u * round}); }});
    run_together({[&] { connection->close(); }});
  }
  session.close();
}

void init_on_many_threads(CheckContext& context) {
  Session first(context, 1);
  if (!first.plugin().inits_each_communicator()) throw Skip("before v11 init comes once per process");
  std::vector<std::function<void()>> bodies;
  for (uint64_t i = 0; i < 4; ++i) {
    bodies.push_back([&first, i] {
      for (uint64_t round = 0; round < 5; ++round) {
        Session session(first, 100 * (i + 1) + round);
        Connection connection(session);
        exchange(connection, uniform(10, 10000), {.stream = 1000 * (i + 1) + 100 * round});
        connection.close();
        session.close();
      }
    });
  }
  run_together(bodies);
  first.close();
}

}  // namespace

std::vector<Check> thread_checks() {
  return {
      {"threads_send_and_receive", "the two ends are worked by two progress threads", ends_on_two_threads},
      {"threads_many_connections", "different connections are used by different threads at the same time",
       comms_on_many_threads},
      {"threads_service_beside_progress", "the service thread connects and closes while messages move",
       service_beside_progress},
      {"threads_connection_changes_hands", "one thread connects, another moves data, a third closes",
       comm_changes_threads},
      {"threads_init_communicators", "a process with several GPUs creates its communicators in parallel",
       init_on_many_threads},
  };
}

}  // namespace weft::bench::conform
