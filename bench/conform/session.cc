#include "bench/conform/session.h"

#include <fmt/format.h>

#include <cstring>
#include <exception>
#include <utility>
#include <vector>

namespace weft::bench::conform {

Session::Session(const CheckContext& context, uint64_t comm_id)
    : check_(&context), shared_(std::make_shared<Shared>()), exceptions_(std::uncaught_exceptions()) {
  try {
    shared_->library = std::make_unique<PluginLibrary>(context.plugin_path);
  } catch (const std::runtime_error& error) {
    throw Failure(fmt::format("cannot load the plugin: {}", error.what()));
  }
  shared_->table = shared_->library->table(context.abi);
  if (!shared_->table) {
    throw Failure(context.abi == 0 ? "the file exports none of the tables ncclNetPlugin_v6 to _v12: it is no "
                                     "plugin for NCCL's network"
                                   : "the plugin does not export the version that the check asked for");
  }
  init(comm_id);
}

Session::Session(const Session& first, uint64_t comm_id)
    : check_(first.check_), shared_(first.shared_), exceptions_(std::uncaught_exceptions()) {
  init(comm_id);
}

void Session::init(uint64_t comm_id) {
  require_success(plugin().init(&communicator_, comm_id), "init");
  open_ = true;
  int count = -1;
  require_success(plugin().devices(&count), "devices");
  require(count > 0, fmt::format("devices reports {} devices after a successful init", count));
  devices_ = count;
}

Session::~Session() {
  // Closing the library is close()'s alone: where it is not what a check is about, a thread that outlives it
  // would crash this check too, or not, as time has it. After a failure not even finalize is called: the
  // process ends now.
  if (!open_) return;
  static auto& kept = *new std::vector<std::shared_ptr<Shared>>;
  kept.push_back(shared_);
  if (std::uncaught_exceptions() == exceptions_) plugin().finalize(communicator_);
}

DeviceProperties Session::properties(int device) const {
  DeviceProperties properties;
  require_success(plugin().get_properties(device, 0xA5, &properties, nullptr), "getProperties");
  return properties;
}

void Session::close() {
  open_ = false;
  require_success(plugin().finalize(communicator_), "finalize");
  if (shared_.use_count() == 1) {
    shared_->table.reset();
    require(shared_->library->close(), "dlclose reported an error");
  }
  shared_.reset();
}

Listener listen(const Session& session, int device, unsigned char garbage) {
  Listener listener;
  std::memset(listener.handle.data(), garbage, listener.handle.size());
  require_success(
      session.plugin().listen(session.communicator(), device, listener.handle.data(), &listener.comm),
      "listen");
  require(listener.comm != nullptr, "listen returned ncclSuccess and no listening object");
  return listener;
}

void close_listen(const Session& session, Listener& listener) {
  if (!listener.comm) return;
  require_success(session.plugin().close_listen(std::exchange(listener.comm, nullptr)), "closeListen");
}

void poll_connect(const Session& session, int device, Handle& handle, void*& send_comm) {
  nccl::NetDeviceHandle* no_offload = nullptr;
  require_success(
      session.plugin().connect(session.communicator(), device, handle.data(), &send_comm, &no_offload),
      "connect");
}

void poll_accept(const Session& session, Listener& listener, void*& recv_comm) {
  nccl::NetDeviceHandle* no_offload = nullptr;
  require_success(session.plugin().accept(listener.comm, &recv_comm, &no_offload), "accept");
}

Connection::Connection(const Session& session, int device)
    : session_(&session), exceptions_(std::uncaught_exceptions()) {
  Listener listener = listen(session, device);
  Handle handle = listener.handle;
  Patience patience = session.patience();
  while (!send_ || !recv_) {
    if (!send_) poll_connect(session, device, handle, send_);
    if (!recv_) poll_accept(session, listener, recv_);
    patience.wait([&] {
      return fmt::format("a connection on device {} ({} not done)", device,
                         send_   ? "accept"
                         : recv_ ? "connect"
                                 : "connect and accept");
    });
  }
  conform::close_listen(session, listener);
}

Connection::Connection(const Session& session, void* send_comm, void* recv_comm)
    : session_(&session), send_(send_comm), recv_(recv_comm), exceptions_(std::uncaught_exceptions()) {}

Connection::Connection(Connection&& other) noexcept
    : session_(other.session_),
      send_(std::exchange(other.send_, nullptr)),
      recv_(std::exchange(other.recv_, nullptr)),
      exceptions_(other.exceptions_) {}

Connection::~Connection() {
  if (std::uncaught_exceptions() > exceptions_) return;
  if (send_) session_->plugin().close_send(send_);
  if (recv_) session_->plugin().close_recv(recv_);
}

void Connection::close() {
  close_send();
  close_recv();
}

void Connection::close_send() {
  if (send_) require_success(session_->plugin().close_send(std::exchange(send_, nullptr)), "closeSend");
}

void Connection::close_recv() {
  if (recv_) require_success(session_->plugin().close_recv(std::exchange(recv_, nullptr)), "closeRecv");
}

}  // namespace weft::bench::conform
