// Loading, initialising and unloading: what NCCL does once per process or once per communicator.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "bench/conform/blackbox.h"
#include "bench/conform/check.h"
#include "bench/conform/message_queue.h"
#include "bench/conform/session.h"
#include "bench/conform/slot_buffer.h"

namespace weft::bench::conform {
namespace {

// Runs `work` in a forked process and returns its exit status; the plugin must not be loaded here.
template <class Work>
int exit_status_of(Work work) {
  const pid_t child = fork();
  require(child >= 0, "fork failed");
  if (child == 0) {
    Blackbox::after_fork();
    work();
    std::exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

void tables_complete(CheckContext& context) {
  PluginLibrary library(context.plugin_path);
  for (int version : library.versions()) {
    const auto table = library.table(version);
    const auto missing = table->missing_functions();
    require(missing.empty(), [&] { return fmt::format("v{} has no {}", version, fmt::join(missing, ", ")); });
    require(table->name()[0] != '\0', [&] { return fmt::format("v{} has an empty name", version); });
  }
}

void versions_share_name(CheckContext& context) {
  PluginLibrary library(context.plugin_path);
  const std::vector<int> versions = library.versions();
  if (versions.size() < 2) throw Skip("the plugin exports one version only");
  const std::string name = library.table(versions.front())->name();
  for (int version : versions) {
    const std::string other = library.table(version)->name();
    require(other == name,
            [&] { return fmt::format("v{} is \"{}\", v{} \"{}\"", versions.front(), name, version, other); });
  }
}

// A friendly caller: clean handles, NULL requests, zeroed *done, no buffer reused, bytes not judged. What is
// left to fail here leaves nothing to check in most others.
void connect_and_transfer(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  constexpr size_t kBytes = 4096;
  SlotBuffer source(session, connection.send(), 4, kBytes);
  SlotBuffer target(session, connection.recv(), 4, kBytes);
  Patience patience = session.patience();
  for (int i = 0; i < 4; ++i) {
    source.fill(i, kBytes, i);
    void* data[1] = {target.slot(i)};
    size_t bytes[1] = {kBytes};
    int tags[1] = {0};
    void* mhandles[1] = {target.mhandle()};
    void* phandles[1] = {nullptr};
    void* receive = nullptr;
    void* send = nullptr;
    int received = 0;
    int sent = 0;
    // The sender's completion after the receiver's last call is a matter of its own.
    for (int extra = 0; extra < 1000 && !(received && sent); extra += received) {
      int size = 0;
      if (!receive) {
        require_success(
            session.plugin().irecv(connection.recv(), data, bytes, tags, mhandles, phandles, &receive),
            "irecv");
      }
      if (!send) {
        require_success(session.plugin().isend(connection.send(), source.slot(i), kBytes, 0, source.mhandle(),
                                               nullptr, &send),
                        "isend");
      }
      if (receive && !received) require_success(session.plugin().test(receive, &received, &size), "test");
      if (send && !sent) require_success(session.plugin().test(send, &sent, &size), "test");
      patience.wait([&] { return fmt::format("message {} of 4, 4096 bytes", i); });
    }
  }
  source.deregister();
  target.deregister();
  connection.close();
  session.close();
}

void window(CheckContext& context) {
  Session session(context);
  Connection connection(session);
  exchange(connection, uniform(64, 65536));
  connection.close();
  session.close();
}

void every_version_transfers(CheckContext& context) {
  const std::vector<int> versions = PluginLibrary(context.plugin_path).versions();
  if (versions.size() < 2) throw Skip("the plugin exports one version only");
  for (int version : versions) {
    step(fmt::format("v{}", version));
    const int status = exit_status_of([&] {
      CheckContext one = context;
      one.abi = version;
      try {
        window(one);
      } catch (const std::exception& error) {
        fmt::print(stderr, "v{}: {}\n", version, error.what());
        _exit(1);
      }
      _exit(0);  // how a process ends is another check's affair
    });
    require(status == 0,
            [&] { return fmt::format("v{} does not move data (wait status {})", version, status); });
  }
}

void communicators_share_plugin(CheckContext& context) {
  Session first(context, 1);
  if (!first.plugin().inits_each_communicator()) throw Skip("before v11 init comes once per process");
  Session second(first, 2);
  Connection of_first(first);
  Connection of_second(second);
  exchange(of_first, uniform(8, 10000), {.stream = 100});
  exchange(of_second, uniform(8, 10000), {.stream = 200});
  step("finalize of the first of two communicators");
  of_first.close();
  first.close();
  exchange(of_second, uniform(32, 100000), {.stream = 300});
  Connection late(second);
  exchange(late, uniform(8, 10000), {.stream = 400});
  late.close();
  of_second.close();
  second.close();
}

void init_again_after_finalize(CheckContext& context) {
  Session keeper(context, 1);
  if (!keeper.plugin().inits_each_communicator()) throw Skip("before v11 there is no finalize");
  for (uint64_t id = 2; id < 22; ++id) {
    step(fmt::format("communicator {} of 20", id - 1));
    Session session(keeper, id);
    Connection connection(session);
    exchange(connection, uniform(2, 5000));
    connection.close();
    session.close();
  }
  keeper.close();
}

void reload_after_last_communicator(CheckContext& context) {
  for (int round = 0; round < 4; ++round) {
    step(fmt::format("load {} of 4", round + 1));
    Session session(context, round + 1);
    Connection connection(session);
    exchange(connection, uniform(8, 100000));
    connection.close();
    session.close();
    // A thread that outlives its library crashes in its next time slice.
    usleep(30000);
  }
}

void exit_without_finalize(CheckContext& context) {
  const int status = exit_status_of([&] {
    // As a program that ends without ncclCommDestroy.
    static Session* const session = new Session(context);
    static Connection* const connection = new Connection(*session);
    exchange(*connection, uniform(8, 100000));
  });
  require(WIFEXITED(status) && WEXITSTATUS(status) == 0, [&] {
    return fmt::format("a process that ends with a communicator open fails, wait status {}", status);
  });
}

void attributes_taken(CheckContext& context) {
  Session session(context);
  if (!session.plugin().has_attributes()) throw Skip("the plugin has no setNetAttr");
  require_success(session.plugin().set_undefined_attributes(session.communicator()), "setNetAttr");
  Connection connection(session);
  require_success(session.plugin().set_undefined_attributes(session.communicator()), "setNetAttr");
  exchange(connection, uniform(8, 5000));
  connection.close();
}

}  // namespace

std::vector<Check> loading_checks() {
  return {
      {"load_tables_complete", "NCCL calls every mandatory function without asking whether it is there",
       tables_complete, 30, nullptr},
      {"load_versions_share_name", "NCCL_NET=name selects the plugin whichever version NCCL reads",
       versions_share_name, 30, nullptr},
      {"connect_and_transfer", "listen, connect, accept, regMr, isend, irecv, test and close work at all",
       connect_and_transfer, 60, nullptr},
      {"message_window",
       "eight steps in flight, stale requests on entry, buffers reused at once, bytes verified", window, 60,
       kNeedsTransfer},
      {"load_every_version_transfers", "an older NCCL takes an older table: each that is exported must work",
       every_version_transfers, 120},
      {"init_communicators_share_plugin",
       "from v11 init comes per communicator; finalize ends one and no other", communicators_share_plugin},
      {"init_again_after_finalize", "communicators come and go for as long as a job runs",
       init_again_after_finalize},
      {"reload_after_last_communicator",
       "NCCL 2.28 closes the library after the last communicator and may reopen",
       reload_after_last_communicator, 120},
      {"exit_without_finalize", "programs end without destroying communicators; that must not crash",
       exit_without_finalize},
      {"attributes_undefined_taken", "setNetAttr may come at any time with every hint undefined",
       attributes_taken},
  };
}

}  // namespace weft::bench::conform
