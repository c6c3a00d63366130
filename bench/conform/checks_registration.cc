// Registering memory: often, in pieces, twice, and while messages move.
#include <fmt/format.h>
#include <sys/mman.h>

#include <atomic>
#include <exception>
#include <thread>

#include "bench/conform/check.h"
#include "bench/conform/message_queue.h"
#include "bench/conform/session.h"

namespace weft::bench::conform {
namespace {

void many_times(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  std::vector<std::byte> memory(1 << 20);
  for (int i = 0; i < 500; ++i) {
    for (void* comm : {connection.send(), connection.recv()}) {
      void* mhandle = nullptr;
      require_success(
          session.plugin().reg_mr(comm, memory.data() + i, 1 + 1999 * i, nccl::kPtrHost, &mhandle), "regMr");
      require_success(session.plugin().dereg_mr(comm, mhandle), "deregMr");
    }
  }
  exchange(connection, uniform(8, 1000));
  connection.close();
}

void overlapping(CheckContext& context) {
  Session session(context);
  Connection first(session);
  Connection second(session);
  constexpr size_t kBytes = 200000;
  std::vector<std::byte> source(kBytes);
  std::vector<std::byte> target(kBytes);
  struct Registration {
    void* comm;
    void* data;
    void* mhandle = nullptr;
  };
  std::vector<Registration> registrations = {{first.send(), source.data()},  {first.recv(), target.data()},
                                             {second.send(), source.data()}, {second.recv(), target.data()},
                                             {first.send(), source.data()},  {first.recv(), target.data()}};
  for (Registration& one : registrations) {
    require_success(session.plugin().reg_mr(one.comm, one.data, kBytes, nccl::kPtrHost, &one.mhandle),
                    "regMr");
  }
  auto deregister = [&](size_t i) {
    require_success(session.plugin().dereg_mr(registrations[i].comm, registrations[i].mhandle), "deregMr");
  };
  auto move = [&](const Connection& connection, size_t send_registration, size_t recv_registration,
                  uint64_t seed) {
    fill_pattern(source.data(), kBytes, seed);
    std::fill(target.begin(), target.end(), std::byte{0});
    void* data[1] = {target.data()};
    size_t bytes[1] = {kBytes};
    int tags[1] = {0};
    void* mhandles[1] = {registrations[recv_registration].mhandle};
    void* phandles[1] = {nullptr};
    void* receive = nullptr;
    void* send = nullptr;
    int received = 0;
    int sent = 0;
    Patience patience = session.patience();
    while (!received || !sent) {
      int size = 0;
      if (!receive) {
        require_success(
            session.plugin().irecv(connection.recv(), data, bytes, tags, mhandles, phandles, &receive),
            "irecv");
      }
      if (!send) {
        require_success(session.plugin().isend(connection.send(), source.data(), kBytes, 0,
                                               registrations[send_registration].mhandle, nullptr, &send),
                        "isend");
      }
      if (receive && !received) require_success(session.plugin().test(receive, &received, &size), "test");
      if (send && !sent) require_success(session.plugin().test(send, &sent, &size), "test");
      patience.wait([] { return "a message between buffers that are registered more than once"; });
    }
    require(first_difference(target.data(), kBytes, seed) == kBytes, "wrong bytes");
  };
  move(first, 0, 1, 1);
  deregister(4);
  deregister(5);
  move(first, 0, 1, 2);
  deregister(0);
  deregister(1);
  move(second, 2, 3, 3);
  deregister(2);
  deregister(3);
  first.close();
  second.close();
}

void large(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  constexpr size_t kBytes = size_t{256} << 20;
  void* memory =
      mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  require(memory != MAP_FAILED, "no address space for 256 MiB");
  for (void* comm : {connection.send(), connection.recv()}) {
    void* mhandle = nullptr;
    require_success(session.plugin().reg_mr(comm, memory, kBytes, nccl::kPtrHost, &mhandle),
                    "regMr of 256 MiB");
    require_success(session.plugin().dereg_mr(comm, mhandle), "deregMr");
  }
  connection.close();
  munmap(memory, kBytes);
}

void races_with_traffic(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  std::atomic<bool> stop{false};
  std::exception_ptr error;
  std::thread service([&] {
    try {
      std::vector<std::byte> memory(1 << 18);
      for (int i = 0; !stop.load(std::memory_order_relaxed); ++i) {
        void* comm = i % 2 ? connection.send() : connection.recv();
        void* mhandle = nullptr;
        require_success(session.plugin().reg_mr(comm, memory.data(), 1 + (i * 997) % memory.size(),
                                                nccl::kPtrHost, &mhandle),
                        "regMr on another thread");
        require_success(session.plugin().dereg_mr(comm, mhandle), "deregMr on another thread");
      }
    } catch (...) {
      error = std::current_exception();
    }
  });
  std::exception_ptr main_error;
  try {
    exchange(connection, uniform(400, 50000, 65536));
  } catch (...) {
    main_error = std::current_exception();
  }
  stop.store(true);
  service.join();
  if (main_error) std::rethrow_exception(main_error);
  if (error) std::rethrow_exception(error);
  connection.close();
}

}  // namespace

std::vector<Check> registration_checks() {
  return {
      {"register_many_times", "user buffers are registered and given back for as long as a job runs",
       many_times},
      {"register_overlapping", "one buffer may be registered twice and on several connections", overlapping},
      {"register_large", "NCCL registers whole user allocations", large},
      {"register_while_messages_move", "regMr on the service thread races with isend on the same connection",
       races_with_traffic},
  };
}

}  // namespace weft::bench::conform
