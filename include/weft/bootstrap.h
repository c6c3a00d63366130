// Where the processes of a job find each other before there is a fabric: each knows its rank, the number of
// ranks and one address, and small blobs can be exchanged among all of them. Slow and simple; not for data.
//
// Threads: one at a time. Every call is collective: all ranks make the same calls in the same order, and each
// call ends within the deadline, if need be with an error that names the ranks that are missing.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "weft/status.h"

namespace weft {

// A process's place in its job.
struct JobPlace {
  int rank = 0;
  int size = 1;
  // Where rank 0 listens; the others connect to it. If a foreign server holds the port, the next ones are
  // tried, up to kBootstrapPorts, by all ranks in the same order.
  std::string host;
  std::uint16_t port = 0;
  // Tells jobs apart that try the same ports. The same on all ranks; any text.
  std::string job_id;
  // What told this process its place: "torchrun", "srun", "mpirun", "RANK/WORLD_SIZE"; empty if nothing did.
  std::string launcher;

  // Reads the variables that launchers set: RANK and WORLD_SIZE with MASTER_ADDR and MASTER_PORT (torchrun,
  // or by hand), those of Open MPI, MPICH and PMI, and those of srun. WEFT_BOOTSTRAP=host:port says where
  // rank 0 listens, whatever the launcher. A process that nothing has launched is rank 0 of 1. A process that
  // is one of several, but has no way to find the others, is an error that says what to set: it never runs
  // alone by mistake. kUnreachable: within a Slurm allocation of several tasks, but not started by srun; such
  // a process may be the only one. Everything else is kBadConfiguration.
  static Result<JobPlace> from_environment();
};
inline constexpr int kBootstrapPorts = 16;

struct BootstrapOptions {
  JobPlace place;
  // Processes that do not know it cannot join (HMAC-SHA256 in both directions). Empty: not asked for.
  std::string secret;
  // For all ranks to join, and for each call afterwards.
  std::chrono::milliseconds timeout{60000};
  // What a user who waits may want to know, a line at a time: which ranks rank 0 still waits for, now and
  // then, and whom it turned away. Called by create() on its caller's thread. Empty: nobody is told.
  std::function<void(const std::string&)> news;
  // A listening socket for rank 0 to use instead of opening one; taken over. -1: none.
  int listen_socket = -1;
};

class Bootstrap {
 public:
  static constexpr std::size_t kMaxBlobBytes = 1 << 20;
  static constexpr int kMaxRanks = 65536;

  // Returns when all ranks have joined. kUnreachable: rank 0 was not found, or ranks did not come.
  // kPermissionDenied: another secret.
  static Result<std::unique_ptr<Bootstrap>> create(BootstrapOptions options);
  virtual ~Bootstrap() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Gives every rank the blobs of all ranks, by rank. Blobs may differ in size.
  virtual Result<std::vector<std::vector<std::byte>>> all_gather(std::span<const std::byte> blob) = 0;
  // Nobody leaves before everybody has come.
  virtual Status barrier() = 0;
};

}  // namespace weft
