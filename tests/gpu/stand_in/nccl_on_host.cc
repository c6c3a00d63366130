// A stand-in for libnccl.so.2 for testing the test program (cuda_on_host.cc says why): moves host memory
// between processes through a shared file, writes the log and counters that the real ones would, and goes
// wrong as STAND_IN_FAULT says: wrong_byte, guard, hang, crash, no_banner, fallback, few_bytes.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "tests/gpu/nccl_api.h"

#define WEFT_STAND_IN_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using weft::gputest::NcclUniqueId;

constexpr int kMaxRanks = 8;
constexpr std::size_t kSlotBytes = std::size_t{1} << 20;  // one rank's input for one peer, or for all
constexpr int kRemoteError = 6;

struct Shared {
  std::atomic<int> arrived[kMaxRanks];
  std::atomic<int> process[kMaxRanks];
  unsigned char slots[kMaxRanks][kMaxRanks][kSlotBytes];
};

struct Part {
  void* data;
  std::size_t bytes;
  int peer;
};

struct Comm {
  Shared* shared = nullptr;
  int rank = 0, ranks = 0, round = 0, error = 0;
  std::uint64_t bytes_sent = 0;
  int operations = 0;
  std::vector<Part> sends, receives;
};
Comm* grouped = nullptr;

bool fault(const char* name) {
  const char* wanted = std::getenv("STAND_IN_FAULT");
  return wanted && std::strcmp(wanted, name) == 0;
}

void hang_stream() {
  if (void* flag = dlsym(RTLD_DEFAULT, "weft_stand_in_stream_hangs")) *static_cast<bool*>(flag) = true;
}

// False when a peer has died.
bool barrier(Comm& comm) {
  comm.shared->arrived[comm.rank].store(++comm.round);
  for (int peer = 0; peer < comm.ranks; ++peer) {
    while (comm.shared->arrived[peer].load() < comm.round) {
      const int process = comm.shared->process[peer].load();
      if (process != 0 && ::kill(process, 0) != 0) {
        comm.error = kRemoteError;
        hang_stream();
        return false;
      }
      const timespec pause{0, 20'000};
      ::nanosleep(&pause, nullptr);
    }
  }
  return true;
}

std::size_t type_bytes(int type) {
  constexpr std::size_t kBytes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
  return kBytes[type];
}

template <typename T>
void add(void* sum, const void* other, std::size_t count) {
  T a, b;
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(&a, static_cast<char*>(sum) + i * sizeof a, sizeof a);
    std::memcpy(&b, static_cast<const char*>(other) + i * sizeof b, sizeof b);
    a = static_cast<T>(a + b);
    std::memcpy(static_cast<char*>(sum) + i * sizeof a, &a, sizeof a);
  }
}

void add(int type, void* sum, const void* other, std::size_t count) {
  switch (type) {
    case 0:
    case 1:
      return add<std::uint8_t>(sum, other, count);
    case 2:
    case 3:
      return add<std::uint32_t>(sum, other, count);
    case 4:
    case 5:
      return add<std::uint64_t>(sum, other, count);
    case 7:
      return add<float>(sum, other, count);
    case 8:
      return add<double>(sum, other, count);
    default:
      std::abort();  // the tests leave the 16-bit types out
  }
}

// What the faults do to a result.
void damage(Comm& comm, void* output, std::size_t bytes) {
  if (++comm.operations != 3 || comm.rank != comm.ranks - 1) return;
  if (fault("wrong_byte")) static_cast<unsigned char*>(output)[bytes / 2] ^= 1;
  if (fault("guard")) static_cast<unsigned char*>(output)[bytes] ^= 1;
  if (fault("hang")) hang_stream();
  if (fault("crash")) ::raise(SIGKILL);
}

void write_counters(const Comm& comm) {
  const char* pattern = std::getenv("WEFT_STATS_FILE");
  if (!pattern) return;
  std::string name = pattern;
  if (const std::size_t at = name.find("%p"); at != std::string::npos)
    name.replace(at, 2, std::to_string(::getpid()));
  std::ofstream(name) << "{\"connections\":[{\"paths\":[{\"bytes_sent\":"
                      << (fault("few_bytes") ? comm.bytes_sent / 2 : comm.bytes_sent) << "}]}]}";
}

void write_log(int rank) {
  const char* name = std::getenv("NCCL_DEBUG_FILE");
  if (!name) return;
  const bool weft = std::strcmp(std::getenv("NCCL_NET"), "Weft") == 0;
  const std::string network = weft && !fault("fallback") ? "Weft" : "Socket";
  std::ofstream log(name);
  if (weft && !fault("no_banner")) log << "NCCL INFO NET/Weft : Weft stand-in\n";
  log << "NCCL INFO Using network " << network << "\nNCCL INFO Channel 00/0 : " << rank
      << "[0] -> 0[0] [send] via NET/" << network << "/0\n";
}

int exchange(Comm& comm) {
  for (const Part& part : comm.sends) {
    if (part.bytes > kSlotBytes) std::abort();
    std::memcpy(comm.shared->slots[comm.rank][part.peer], part.data, part.bytes);
    if (part.peer != comm.rank) comm.bytes_sent += part.bytes;
  }
  if (!barrier(comm)) return 0;
  for (const Part& part : comm.receives) {
    std::memcpy(part.data, comm.shared->slots[part.peer][comm.rank], part.bytes);
    damage(comm, part.data, part.bytes);
  }
  barrier(comm);
  return 0;
}

}  // namespace

WEFT_STAND_IN_EXPORT int ncclGetVersion(int* version) {
  *version = 20000;
  return 0;
}
WEFT_STAND_IN_EXPORT const char* ncclGetErrorString(int result) {
  return result == kRemoteError ? "remote error" : "error";
}
WEFT_STAND_IN_EXPORT const char* ncclGetLastError(void*) {
  return "stand-in";
}

WEFT_STAND_IN_EXPORT int ncclGetUniqueId(NcclUniqueId* id) {
  std::snprintf(id->bytes, sizeof id->bytes, "/tmp/weft-stand-in-XXXXXX");
  const int file = ::mkstemp(id->bytes);
  const int failed = ::ftruncate(file, sizeof(Shared));
  ::close(file);
  return failed;
}

WEFT_STAND_IN_EXPORT int ncclCommInitRank(void** result, int ranks, NcclUniqueId id, int rank) {
  auto* comm = new Comm;
  const int file = ::open(id.bytes, O_RDWR | O_CLOEXEC);
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (memory == MAP_FAILED) return 2;
  comm->shared = static_cast<Shared*>(memory);
  comm->rank = rank;
  comm->ranks = ranks;
  comm->shared->process[rank].store(::getpid());
  barrier(*comm);
  if (rank == 0) ::unlink(id.bytes);
  write_log(rank);
  *result = comm;
  return 0;
}

WEFT_STAND_IN_EXPORT int ncclCommDestroy(void* handle) {
  auto* comm = static_cast<Comm*>(handle);
  write_counters(*comm);
  ::munmap(comm->shared, sizeof(Shared));
  delete comm;
  return 0;
}
WEFT_STAND_IN_EXPORT int ncclCommAbort(void* handle) {
  return ncclCommDestroy(handle);
}
WEFT_STAND_IN_EXPORT int ncclCommGetAsyncError(void* handle, int* error) {
  *error = static_cast<Comm*>(handle)->error;
  return 0;
}

WEFT_STAND_IN_EXPORT int ncclAllReduce(const void* send, void* receive, std::size_t count, int type, int,
                                       void* handle, void*) {
  auto& comm = *static_cast<Comm*>(handle);
  const std::size_t bytes = count * type_bytes(type);
  if (comm.error != 0) return 0;
  if (bytes > kSlotBytes) {
    // Only the run in which a rank dies has such large ones; it does not look at the result.
    barrier(comm);
    return 0;
  }
  std::memcpy(comm.shared->slots[comm.rank][0], send, bytes);
  if (!barrier(comm)) return 0;
  std::memcpy(receive, comm.shared->slots[0][0], bytes);
  for (int peer = 1; peer < comm.ranks; ++peer) add(type, receive, comm.shared->slots[peer][0], count);
  comm.bytes_sent += 2 * bytes;
  damage(comm, receive, bytes);
  barrier(comm);
  return 0;
}

WEFT_STAND_IN_EXPORT int ncclAllGather(const void* send, void* receive, std::size_t count, int type,
                                       void* handle, void*) {
  auto& comm = *static_cast<Comm*>(handle);
  const std::size_t bytes = count * type_bytes(type);
  std::memcpy(comm.shared->slots[comm.rank][0], send, bytes);
  if (!barrier(comm)) return 0;
  for (int peer = 0; peer < comm.ranks; ++peer) {
    std::memcpy(static_cast<char*>(receive) + static_cast<std::size_t>(peer) * bytes,
                comm.shared->slots[peer][0], bytes);
  }
  comm.bytes_sent += bytes * static_cast<std::size_t>(comm.ranks - 1);
  barrier(comm);
  return 0;
}

WEFT_STAND_IN_EXPORT int ncclGroupStart() {
  return 0;
}
WEFT_STAND_IN_EXPORT int ncclSend(const void* data, std::size_t count, int type, int peer, void* handle,
                                  void*) {
  grouped = static_cast<Comm*>(handle);
  grouped->sends.push_back({const_cast<void*>(data), count * type_bytes(type), peer});
  return 0;
}
WEFT_STAND_IN_EXPORT int ncclRecv(void* data, std::size_t count, int type, int peer, void* handle, void*) {
  grouped = static_cast<Comm*>(handle);
  grouped->receives.push_back({data, count * type_bytes(type), peer});
  return 0;
}
WEFT_STAND_IN_EXPORT int ncclGroupEnd() {
  Comm* comm = grouped;
  grouped = nullptr;
  if (!comm) return 0;
  const int result = exchange(*comm);
  comm->sends.clear();
  comm->receives.clear();
  return result;
}
