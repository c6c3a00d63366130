// A small correct NCCL net plugin over local sockets, and, with -DWEFT_FAULT, a small faulty one. It exports
// every version that NCCL reads. See reference_link.h for the data path.
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <set>

#include "plugins/nccl_net/abi/net_v10.h"
#include "plugins/nccl_net/abi/net_v11.h"
#include "plugins/nccl_net/abi/net_v12.h"
#include "plugins/nccl_net/abi/net_v6.h"
#include "plugins/nccl_net/abi/net_v7.h"
#include "plugins/nccl_net/abi/net_v8.h"
#include "plugins/nccl_net/abi/net_v9.h"
#include "tests/conform/planted_fault.h"
#include "tests/conform/reference_link.h"

namespace weft::conform_test {
namespace {

constexpr int kDevices = 2;
constexpr char kHello = 'h';

// What travels in NCCL's 128 bytes. `stage` and `fd` are connect's memory between polls.
struct WireHandle {
  char name[48];  // of an abstract local socket
  uint32_t name_bytes;
  uint32_t stage;
  int32_t fd;
};
static_assert(sizeof(WireHandle) <= nccl::kHandleBytes);

struct Context;

struct Listener {
  Context* context;
  int fd;
};

// Everything that lives for one communicator, so that finalize can reclaim what nobody closed.
struct Context {
  std::mutex mutex;
  std::set<Listener*> listeners;
  std::set<int> connecting;  // sockets of connects that are not done
  std::set<Link*> links;
};

std::mutex contexts_mutex;
std::set<Context*> contexts;
Context* only_context = nullptr;  // before v11

std::string fresh_name() {
  static std::atomic<uint64_t> counter{0};
  static const uint64_t salt = std::random_device{}();
  char text[48];
  std::snprintf(text, sizeof(text), "weft-reference-%d-%llx-%llu", static_cast<int>(getpid()),
                static_cast<unsigned long long>(salt), static_cast<unsigned long long>(++counter));
  return text;
}

socklen_t address_of(const char* name, size_t bytes, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  std::memcpy(address->sun_path + 1, name, bytes);  // a leading NUL makes it abstract
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + bytes);
}

void* run_forever(void*) {
  for (;;) usleep(500);
}

Result open_context(nccl::LogFunction log, Context** context) {
  log_function = log;
  const std::lock_guard guard(contexts_mutex);
  if (has(Fault::kSecondInitFails) && !contexts.empty()) return Result::kInvalidUsage;
  if (has(Fault::kThreadOutlivesLibrary)) {
    pthread_t thread;
    pthread_create(&thread, nullptr, run_forever, nullptr);
    pthread_detach(thread);
  }
  *context = new Context;
  contexts.insert(*context);
  return Result::kSuccess;
}

Result init_once(nccl::LogFunction log) {
  return open_context(log, &only_context);
}
Result init_with_profiler(nccl::LogFunction log, nccl::ProfilerCallback) {
  return init_once(log);
}

template <class Config>
Result init_context(void** context, uint64_t, Config*, nccl::LogFunction log, nccl::ProfilerCallback) {
  Context* opened = nullptr;
  const Result result = open_context(log, &opened);
  *context = opened;
  return result;
}

void reclaim(Context& context) {
  for (Listener* listener : context.listeners) {
    close(listener->fd);
    delete listener;
  }
  for (int fd : context.connecting) close(fd);
  for (Link* link : context.links) delete link;
  context.listeners.clear();
  context.connecting.clear();
  context.links.clear();
}

Result finalize(void* opaque) {
  auto* context = static_cast<Context*>(opaque);
  const std::lock_guard guard(contexts_mutex);
  if (has(Fault::kHalfOpenCrashesFinalize) && !context->connecting.empty()) std::abort();
  if (has(Fault::kFinalizeEndsOthers)) {
    for (Context* other : contexts) {
      for (Link* link : other->links) link->shut();
    }
  }
  reclaim(*context);
  contexts.erase(context);
  delete context;
  return Result::kSuccess;
}

Result devices(int* count) {
  *count = kDevices;
  return Result::kSuccess;
}

template <int kAbi, class Properties>
Result get_properties(int device, Properties* properties) {
  static const char* const names[kDevices] = {"reference0",
                                              has(Fault::kDuplicateNames) ? "reference0" : "reference1"};
  if (device < 0 || device >= kDevices) return Result::kInvalidArgument;
  properties->name = const_cast<char*>(names[device]);
  properties->pci_path = nullptr;
  properties->guid = 0x1000 + device;
  properties->ptr_support = nccl::kPtrHost;
  properties->speed_mbps = 10000;
  properties->port = 0;
  if (!has(Fault::kPropertiesUnfilled)) properties->latency_us = 1.0F;
  properties->max_comms = 65536;
  properties->max_recvs = kMaxGroup;
  if constexpr (kAbi >= 7) {
    properties->net_device_type = nccl::NetDeviceType::kHost;
    properties->net_device_version = nccl::kNetDeviceInvalidVersion;
  }
  if constexpr (kAbi >= 8) properties->reg_is_global = 0;
  if constexpr (kAbi >= 9) {
    properties->force_flush = 0;
    properties->virtual_device.device_count = 1;
    properties->virtual_device.devices[0] = device;
    properties->max_p2p_bytes = nccl::kDefaultMaxP2pBytes;
    if (!has(Fault::kPropertiesUnfilled)) properties->max_coll_bytes = nccl::kDefaultMaxCollBytes;
  }
  if constexpr (kAbi >= 11) properties->max_multi_request_size = 1;
  if constexpr (kAbi >= 12) properties->rail_id = properties->plane_id = nccl::kFabricIdUndefined;
  return Result::kSuccess;
}

Result listen_in(void* opaque, int device, void* handle, void** listen_comm) {
  auto* context = static_cast<Context*>(opaque);
  if (device < 0 || device >= kDevices) return Result::kInvalidArgument;
  auto* wire = static_cast<WireHandle*>(handle);
  if (!has(Fault::kStickyHandle)) std::memset(handle, 0, nccl::kHandleBytes);
  const std::string name = fresh_name();
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_un address;
  const socklen_t bytes = address_of(name.data(), name.size(), &address);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), bytes) != 0 || ::listen(fd, 64) != 0) {
    if (fd >= 0) close(fd);
    return Result::kSystemError;
  }
  std::memcpy(wire->name, name.data(), name.size());
  wire->name_bytes = static_cast<uint32_t>(name.size());
  auto* listener = new Listener{context, fd};
  const std::lock_guard guard(context->mutex);
  context->listeners.insert(listener);
  *listen_comm = listener;
  return Result::kSuccess;
}

// Stages of connect: 0 no socket yet, 1 connected and waiting for the acceptor's hello.
Result connect_in(void* opaque, int, void* handle, void** send_comm, nccl::NetDeviceHandle** device_handle) {
  auto* context = static_cast<Context*>(opaque);
  auto* wire = static_cast<WireHandle*>(handle);
  *send_comm = nullptr;
  if (has(Fault::kWritesDeviceHandle) && device_handle && *device_handle) (*device_handle)->version = 7;
  if (wire->stage == 0) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return Result::kSystemError;
    sockaddr_un address;
    const socklen_t bytes = address_of(wire->name, wire->name_bytes, &address);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), bytes) != 0) {
      close(fd);
      return errno == EAGAIN ? Result::kSuccess : Result::kSystemError;
    }
    wire->fd = fd;
    wire->stage = 1;
    const std::lock_guard guard(context->mutex);
    context->connecting.insert(fd);
  }
  char hello = 0;
  const ssize_t got = recv(wire->fd, &hello, 1, has(Fault::kBlockingConnect) ? MSG_WAITALL : MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) {
    if (!has(Fault::kBlockingConnect)) return Result::kSuccess;
    for (;;) usleep(1000);
  }
  if (got != 1) return Result::kRemoteError;
  auto* link = new Link(Link::Side::kSend, wire->fd);
  const std::lock_guard guard(context->mutex);
  context->connecting.erase(wire->fd);
  context->links.insert(link);
  *send_comm = link;
  return Result::kSuccess;
}

Result accept_in(void* listen_comm, void** recv_comm, nccl::NetDeviceHandle**) {
  auto* listener = static_cast<Listener*>(listen_comm);
  *recv_comm = nullptr;
  int fd = -1;
  do {
    fd = accept4(listener->fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && has(Fault::kBlockingAccept)) usleep(1000);
  } while (fd < 0 && has(Fault::kBlockingAccept));
  if (fd < 0) return errno == EAGAIN ? Result::kSuccess : Result::kSystemError;
  if (send(fd, &kHello, 1, MSG_NOSIGNAL) != 1) {
    close(fd);
    return Result::kSuccess;  // the peer gave up; the next one may come
  }
  auto* link = new Link(Link::Side::kReceive, fd);
  const std::lock_guard guard(listener->context->mutex);
  listener->context->links.insert(link);
  *recv_comm = link;
  return Result::kSuccess;
}

Result listen_once(int device, void* handle, void** comm) {
  return listen_in(only_context, device, handle, comm);
}
Result connect_v6(int device, void* handle, void** comm) {
  return connect_in(only_context, device, handle, comm, nullptr);
}
Result connect_v7(int device, void* handle, void** comm, nccl::NetDeviceHandle** device_handle) {
  return connect_in(only_context, device, handle, comm, device_handle);
}
Result connect_v10(int device, nccl::v10::Config*, void* handle, void** comm,
                   nccl::NetDeviceHandle** device_handle) {
  return connect_in(only_context, device, handle, comm, device_handle);
}
Result accept_v6(void* listen_comm, void** comm) {
  return accept_in(listen_comm, comm, nullptr);
}

template <class Size>
Result reg_mr(void* comm, void* data, Size bytes, int type, void** mhandle) {
  if (type != nccl::kPtrHost) return Result::kInvalidArgument;
  *mhandle = new Registration{comm, static_cast<std::byte*>(data), static_cast<size_t>(bytes)};
  return Result::kSuccess;
}

Result dereg_mr(void*, void* mhandle) {
  delete static_cast<Registration*>(mhandle);
  return Result::kSuccess;
}

template <class Size>
Result isend(void* comm, void* data, Size bytes, int tag, void* mhandle, void** request) {
  return static_cast<Link*>(comm)->isend(data, static_cast<size_t>(bytes), tag,
                                         static_cast<Registration*>(mhandle), request);
}
Result isend_v10(void* comm, void* data, size_t bytes, int tag, void* mhandle, void*, void** request) {
  return isend<size_t>(comm, data, bytes, tag, mhandle, request);
}

Result irecv_v9(void* comm, int n, void** data, size_t* bytes, int* tags, void** mhandles, void** request) {
  return static_cast<Link*>(comm)->irecv(n, data, bytes, tags, mhandles, request);
}
Result irecv_v6(void* comm, int n, void** data, int* bytes, int* tags, void** mhandles, void** request) {
  size_t wide[kMaxGroup];
  for (int i = 0; i < n && i < kMaxGroup; ++i) wide[i] = static_cast<size_t>(bytes[i]);
  return irecv_v9(comm, n, data, wide, tags, mhandles, request);
}
Result irecv_v10(void* comm, int n, void** data, size_t* bytes, int* tags, void** mhandles, void**,
                 void** request) {
  return irecv_v9(comm, n, data, bytes, tags, mhandles, request);
}

Result iflush(void* comm, int, void**, int*, void**, void** request) {
  return static_cast<Link*>(comm)->iflush(request);
}
const auto flush_entry = has(Fault::kMissingFunction) ? nullptr : &iflush;

Result close_link(void* comm) {
  auto* link = static_cast<Link*>(comm);
  if (has(Fault::kCloseCrashesInFlight) && link->in_flight()) std::abort();
  const std::lock_guard guard(contexts_mutex);
  for (Context* context : contexts) {
    const std::lock_guard inner(context->mutex);
    context->links.erase(link);
  }
  if (!has(Fault::kLeaksMemory)) delete link;
  return Result::kSuccess;
}

Result close_listen(void* comm) {
  auto* listener = static_cast<Listener*>(comm);
  {
    const std::lock_guard guard(listener->context->mutex);
    listener->context->listeners.erase(listener);
  }
  close(listener->fd);
  delete listener;
  return Result::kSuccess;
}

template <class Attributes>
Result set_attributes(void*, Attributes*) {
  return Result::kSuccess;
}

constexpr char kName[] = "Reference";

}  // namespace
}  // namespace weft::conform_test

namespace abi = weft::nccl;
using namespace weft::conform_test;

// The exported symbols; their members in the order of plugins/nccl_net/abi.
extern "C" {

[[gnu::visibility("default")]] extern const abi::v6::Net ncclNetPlugin_v6;
[[gnu::visibility("default")]] extern const abi::v7::Net ncclNetPlugin_v7;
[[gnu::visibility("default")]] extern const abi::v8::Net ncclNetPlugin_v8;
[[gnu::visibility("default")]] extern const abi::v9::Net ncclNetPlugin_v9;
[[gnu::visibility("default")]] extern const abi::v10::Net ncclNetPlugin_v10;
[[gnu::visibility("default")]] extern const abi::v11::Net ncclNetPlugin_v11;
[[gnu::visibility("default")]] extern const abi::v12::Net ncclNetPlugin_v12;

const abi::v6::Net ncclNetPlugin_v6 = {
    kName,       init_once,  devices,    get_properties<6, abi::v6::Properties>,
    listen_once, connect_v6, accept_v6,  reg_mr<int>,
    nullptr,     dereg_mr,   isend<int>, irecv_v6,
    flush_entry, Link::test, close_link, close_link,
    close_listen};

const abi::v7::Net ncclNetPlugin_v7 = {
    kName,        init_once,  devices,    get_properties<7, abi::v7::Properties>,
    listen_once,  connect_v7, accept_in,  reg_mr<int>,
    nullptr,      dereg_mr,   isend<int>, irecv_v6,
    flush_entry,  Link::test, close_link, close_link,
    close_listen, nullptr,    nullptr};

const abi::v8::Net ncclNetPlugin_v8 = {
    kName,        init_once,  devices,    get_properties<8, abi::v8::Properties>,
    listen_once,  connect_v7, accept_in,  reg_mr<size_t>,
    nullptr,      dereg_mr,   isend<int>, irecv_v6,
    flush_entry,  Link::test, close_link, close_link,
    close_listen, nullptr,    nullptr};

const abi::v9::Net ncclNetPlugin_v9 = {
    kName,        init_once,  devices,       get_properties<9, abi::v9::Properties>,
    listen_once,  connect_v7, accept_in,     reg_mr<size_t>,
    nullptr,      dereg_mr,   isend<size_t>, irecv_v9,
    flush_entry,  Link::test, close_link,    close_link,
    close_listen, nullptr,    nullptr,       nullptr};

const abi::v10::Net ncclNetPlugin_v10 = {kName,        init_with_profiler,
                                         devices,      get_properties<10, abi::v10::Properties>,
                                         listen_once,  connect_v10,
                                         accept_in,    reg_mr<size_t>,
                                         nullptr,      dereg_mr,
                                         isend_v10,    irecv_v10,
                                         flush_entry,  Link::test,
                                         close_link,   close_link,
                                         close_listen, nullptr,
                                         nullptr,      nullptr};

const abi::v11::Net ncclNetPlugin_v11 = {kName,        init_context<abi::v11::Config>,
                                         devices,      get_properties<11, abi::v11::Properties>,
                                         listen_in,    connect_in,
                                         accept_in,    reg_mr<size_t>,
                                         nullptr,      dereg_mr,
                                         isend_v10,    irecv_v10,
                                         flush_entry,  Link::test,
                                         close_link,   close_link,
                                         close_listen, nullptr,
                                         nullptr,      nullptr,
                                         finalize,     set_attributes<abi::v11::Attributes>};

const abi::v12::Net ncclNetPlugin_v12 = {kName,        init_context<abi::v12::Config>,
                                         devices,      get_properties<12, abi::v12::Properties>,
                                         listen_in,    connect_in,
                                         accept_in,    reg_mr<size_t>,
                                         nullptr,      dereg_mr,
                                         isend_v10,    irecv_v10,
                                         flush_entry,  Link::test,
                                         close_link,   close_link,
                                         close_listen, nullptr,
                                         nullptr,      nullptr,
                                         finalize,     set_attributes<abi::v12::Attributes>};
}
