#include "plugins/nccl_net/plugin_state.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "plugins/nccl_net/banner.h"
#include "plugins/nccl_net/log.h"
#include "plugins/nccl_net/memory_handle.h"
#include "plugins/nccl_net/simple_protocol.h"

namespace weft::nccl_net {
namespace {

constexpr int kFirstVersionWithFinalize = 11;
constexpr int kFirstVersionWithForceFlush = 9;

template <typename Table>
typename Table::mapped_type take_out(Table& table, void* key, std::mutex& mutex) {
  std::lock_guard lock(mutex);
  auto node = table.extract(key);
  return node ? std::move(node.mapped()) : nullptr;
}

Status unknown_object(const char* what) {
  return {
      StatusCode::kInvalidArgument,
      std::string("this ") + what + " is not open: it was closed before, or its communicator was finalized"};
}

}  // namespace

PluginState& PluginState::instance() {
  static PluginState& state = *new PluginState();
  return state;
}

Result<Owner*> PluginState::init(int abi_version, nccl::LogFunction log) {
  std::lock_guard lifecycle(lifecycle_mutex_);
  set_log_function(log);
  if (!context_) {
    if (Status created = create_context(abi_version); !created) return created;
  }
  if (abi_version < kFirstVersionWithForceFlush) flushes_receives_ = true;
  if (abi_version < kFirstVersionWithFinalize) {
    pinned_ = true;
    return static_cast<Owner*>(nullptr);
  }
  return owners_.insert(std::make_unique<Owner>()).first->get();
}

Status PluginState::create_context(int abi_version) {
  Result<Config> config = Config::from_environment();
  if (!config) return config.status();
  // NCCL_DEBUG decides what is shown, unless the user asked Weft for something else.
  if (std::getenv("WEFT_DEBUG") == nullptr) config->log_level = LogLevel::kInfo;
  Result<std::unique_ptr<Context>> context = Context::create(*config, context_log_sink());
  if (!context) return context.status();
  context_ = std::move(*context);
  device_ = describe_device(context_->devices(), context_->device_memory());
  log_info(nccl::kLogInit | nccl::kLogNet, banner(abi_version, context_->config(), context_->devices(),
                                                  context_->transport(), context_->device_memory()));
  ensure_simple_protocol();
  return Status::ok();
}

Status PluginState::finalize(void* owner) {
  if (owner == nullptr) return Status::ok();  // its init failed
  std::lock_guard lifecycle(lifecycle_mutex_);
  const auto found =
      std::find_if(owners_.begin(), owners_.end(), [&](const auto& o) { return o.get() == owner; });
  if (found == owners_.end()) {
    return {StatusCode::kInvalidArgument, "this communicator was finalized before, or never initialised"};
  }
  reclaim_half_open(owner);
  owners_.erase(found);
  if (owners_.empty() && !pinned_) {
    reclaim_everything();
    context_.reset();
  }
  return Status::ok();
}

void PluginState::reclaim_half_open(const void* owner) {
  connects_.remove_all_of(owner);
  std::vector<std::unique_ptr<Listener>> listeners;
  std::lock_guard lock(objects_mutex_);
  for (auto& [key, listen_comm] : listen_comms_) {
    if (listen_comm->owner == owner) listeners.push_back(std::move(listen_comm->listener));
  }
}

void PluginState::reclaim_everything() {
  connects_.remove_all();
  std::unordered_map<void*, std::unique_ptr<ListenComm>> listen_comms;
  std::unordered_map<void*, std::unique_ptr<LastingMemory>> memories;
  std::unordered_map<void*, std::unique_ptr<Comm>> comms;
  std::lock_guard lock(objects_mutex_);
  listen_comms.swap(listen_comms_);
  comms.swap(comms_);
  memories.swap(memories_);
}

Result<void*> PluginState::listen(void* owner, void* handle) {
  if (!context_) return Status(StatusCode::kInvalidArgument, "called before init");
  Result<std::unique_ptr<Listener>> listener = context_->listen();
  if (!listener) return listener.status();
  write_handle((*listener)->address(), handle);
  auto listen_comm = std::make_unique<ListenComm>(ListenComm{std::move(*listener), owner});
  void* key = listen_comm.get();
  std::lock_guard lock(objects_mutex_);
  listen_comms_.emplace(key, std::move(listen_comm));
  return key;
}

Result<Comm*> PluginState::connect(void* owner, void* handle) {
  if (!context_) return Status(StatusCode::kInvalidArgument, "called before init");
  const auto now = PendingConnects::Clock::now();
  ConnectTicket ticket = ticket_of(handle);
  Connector* connector = connects_.find(ticket, now);
  if (!connector) {
    connects_.remove_abandoned(now, 2 * context_->config().connect_timeout);
    Result<std::unique_ptr<Connector>> begun = context_->connect(address_of(handle));
    if (!begun) return begun.status();
    connector = begun->get();
    ticket = connects_.add(std::move(*begun), owner, now);
    set_ticket(ticket, handle);
  }
  Result<std::unique_ptr<Connection>> connection = connector->poll();
  if (connection && !*connection) return static_cast<Comm*>(nullptr);
  connects_.remove(ticket);
  set_ticket({}, handle);
  if (!connection) return connection.status();
  return keep(std::move(*connection));
}

Result<Comm*> PluginState::accept(void* listen_comm) {
  Listener* listener = nullptr;
  {
    std::lock_guard lock(objects_mutex_);
    const auto found = listen_comms_.find(listen_comm);
    if (found != listen_comms_.end()) listener = found->second->listener.get();
  }
  if (!listener) return unknown_object("listener");
  Result<std::unique_ptr<Connection>> connection = listener->accept();
  if (!connection) return connection.status();
  if (!*connection) return static_cast<Comm*>(nullptr);
  return keep(std::move(*connection));
}

Comm* PluginState::keep(std::unique_ptr<Connection> connection) {
  auto comm = std::make_unique<Comm>(std::move(connection), flushes_receives_);
  Comm* key = comm.get();
  std::lock_guard lock(objects_mutex_);
  comms_.emplace(key, std::move(comm));
  return key;
}

Result<void*> PluginState::register_memory(const void* data, std::size_t bytes) {
  if (!context_) return Status(StatusCode::kInvalidArgument, "called before init");
  return keep(context_->promise_memory(data, bytes), MemoryKind::kHost);
}

// NCCL was told what the process can; a connection may be unable all the same, as one over TCP to a peer
// without RDMA. Nothing is staged then behind its back.
Result<void*> PluginState::register_device_memory(const Comm& comm, const void* data, std::size_t bytes,
                                                  int dmabuf, std::uint64_t offset) {
  if (!context_) return Status(StatusCode::kInvalidArgument, "called before init");
  if (Status carries = comm.carries_device_memory(); !carries) {
    return Status(carries.code(),
                  carries.message() + "; WEFT_GPU_DIRECT=off has NCCL copy to host memory and back");
  }
  auto memory = context_->promise_device_memory(data, bytes, dmabuf, offset);
  if (!memory) return memory.status();
  return keep(std::move(*memory), MemoryKind::kDevice);
}

void* PluginState::keep(std::unique_ptr<LastingMemory> memory, MemoryKind kind) {
  void* key = memory_handle(memory.get(), kind);
  std::lock_guard lock(objects_mutex_);
  memories_.emplace(key, std::move(memory));
  return key;
}

// One that is not known was taken back by finalize.
void PluginState::deregister_memory(void* memory) {
  (void)take_out(memories_, memory, objects_mutex_);
}

Status PluginState::close_listen(void* listen_comm) {
  return take_out(listen_comms_, listen_comm, objects_mutex_) ? Status::ok() : unknown_object("listener");
}

Status PluginState::close_comm(void* comm) {
  return take_out(comms_, comm, objects_mutex_) ? Status::ok() : unknown_object("connection");
}

}  // namespace weft::nccl_net
