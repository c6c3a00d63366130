// What all communicators of this process share: one Context, made by the first init and destroyed, its
// threads joined, by the last finalize; and everything that NCCL holds a pointer to.
//
// Versions before v11 have no finalize: once one of them has called init, the Context stays until the process
// ends. It is never destroyed at exit, because NCCL's threads may still be using it then.
//
// Threads: every call from any thread, and none blocks but init and finalize; what is destroyed is destroyed
// outside the locks. An object is used by one thread at a time, as NCCL does.
// Ownership: NCCL gets plain pointers; the objects belong to this class until their close call or, for those
// that an abort left behind, the last finalize.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>

#include "plugins/nccl_net/abi/types.h"
#include "plugins/nccl_net/comm.h"
#include "plugins/nccl_net/connect_state.h"
#include "plugins/nccl_net/device_properties.h"
#include "weft/context.h"

namespace weft::nccl_net {

// One communicator of NCCL from init to finalize (v11 and later); NCCL knows it as its context. Before v11
// the owner of everything is null.
struct Owner {};

class PluginState {
 public:
  // Never destroyed, see above.
  static PluginState& instance();

  // Makes the Context if there is none. `abi_version` is that of the table whose init was called.
  Result<Owner*> init(int abi_version, nccl::LogFunction log);
  Status finalize(void* owner);

  // Valid between init and finalize.
  const DeviceProperties& device() const { return device_; }

  Result<void*> listen(void* owner, void* handle);
  // Null: not yet, call again with the same handle.
  Result<Comm*> connect(void* owner, void* handle);
  Result<Comm*> accept(void* listen_comm);
  Status close_listen(void* listen_comm);
  // Never null: NCCL takes that for "not registered".
  Result<void*> register_memory(const void* data, std::size_t bytes);
  // Memory of a GPU, for messages of this communicator; -1: no dmabuf.
  Result<void*> register_device_memory(const Comm& comm, const void* data, std::size_t bytes, int dmabuf,
                                       std::uint64_t offset);
  void deregister_memory(void* memory);
  // Pending requests are dropped.
  Status close_comm(void* comm);

 private:
  struct ListenComm {
    std::unique_ptr<Listener> listener;  // null once its owner is finalized
    const void* owner = nullptr;
  };

  PluginState() = default;

  Status create_context(int abi_version);
  void reclaim_half_open(const void* owner);
  void reclaim_everything();
  Comm* keep(std::unique_ptr<Connection> connection);
  void* keep(std::unique_ptr<LastingMemory> memory, MemoryKind kind);

  std::mutex lifecycle_mutex_;  // one init or finalize at a time, to its end
  std::set<std::unique_ptr<Owner>> owners_;
  bool pinned_ = false;  // a version without finalize is in use
  // A version is in use that cannot ask NCCL for flushes (before v9).
  std::atomic<bool> flushes_receives_{false};
  std::unique_ptr<Context> context_;
  DeviceProperties device_;
  PendingConnects connects_;

  std::mutex objects_mutex_;
  std::unordered_map<void*, std::unique_ptr<ListenComm>> listen_comms_;
  std::unordered_map<void*, std::unique_ptr<Comm>> comms_;
  std::unordered_map<void*, std::unique_ptr<LastingMemory>> memories_;
};

}  // namespace weft::nccl_net
