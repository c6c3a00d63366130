// A plugin in use as one NCCL communicator uses it (Session) and one connection through it (Connection).
//
// Both close what they hold when they go out of scope, unless an exception is on its way: then the process is
// about to end, and a close might hang. The explicit close() throws Failure when the plugin reports an error.
// Creating throws Failure, too.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "bench/conform/check.h"
#include "bench/conform/net_plugin.h"
#include "bench/conform/plugin_library.h"

namespace weft::bench::conform {

using Handle = std::array<std::byte, nccl::kHandleBytes>;

class Session {
 public:
  // Loads the plugin and initialises its first communicator.
  explicit Session(const CheckContext& context, uint64_t comm_id = 0x5EED);
  // A further communicator on the same loaded plugin.
  Session(const Session& first, uint64_t comm_id);
  ~Session();
  Session& operator=(const Session&) = delete;

  NetPlugin& plugin() const { return *shared_->table; }
  const CheckContext& context() const { return *check_; }
  void* communicator() const { return communicator_; }
  int devices() const { return devices_; }
  DeviceProperties properties(int device) const;
  int max_recvs(int device = 0) const { return properties(device).max_recvs; }
  // Closes the library too when this was its last session.
  void close();
  Patience patience() const { return Patience(*check_); }

 private:
  struct Shared {
    std::unique_ptr<PluginLibrary> library;
    std::unique_ptr<NetPlugin> table;
  };
  void init(uint64_t comm_id);

  const CheckContext* check_;
  std::shared_ptr<Shared> shared_;
  void* communicator_ = nullptr;
  int devices_ = 0;
  bool open_ = false;
  int exceptions_;
};

// A listening object and the handle that the peer needs.
struct Listener {
  void* comm = nullptr;
  Handle handle{};
};
// The handle is filled with `garbage` before the call.
Listener listen(const Session& session, int device = 0, unsigned char garbage = 0);
void close_listen(const Session& session, Listener& listener);

// One poll each; the communicator stays null until the call has done its work. Failure on an error.
void poll_connect(const Session& session, int device, Handle& handle, void*& send_comm);
void poll_accept(const Session& session, Listener& listener, void*& recv_comm);

class Connection {
 public:
  // Polls connect and accept in turn on this thread, then closes the listener, as NCCL does.
  explicit Connection(const Session& session, int device = 0);
  Connection(const Session& session, void* send_comm, void* recv_comm);
  Connection(Connection&& other) noexcept;
  ~Connection();

  const Session& session() const { return *session_; }
  void* send() const { return send_; }
  void* recv() const { return recv_; }
  void close();
  void close_send();
  void close_recv();

 private:
  const Session* session_;
  void* send_ = nullptr;
  void* recv_ = nullptr;
  int exceptions_;
};

}  // namespace weft::bench::conform
