// The symbols that NCCL looks up: one table a version, all made by make_table(). Where versions differ, a
// function has several overloads, and the type of the table's member picks the one; a version that fits none
// does not compile.
#include "plugins/nccl_net/abi/net_v10.h"
#include "plugins/nccl_net/abi/net_v11.h"
#include "plugins/nccl_net/abi/net_v12.h"
#include "plugins/nccl_net/abi/net_v6.h"
#include "plugins/nccl_net/abi/net_v8.h"
#include "plugins/nccl_net/abi/net_v9.h"
#include "plugins/nccl_net/entry_points.h"

namespace weft::nccl_net {
namespace {

using nccl::NetDeviceHandle;
using CallResult = nccl::Result;

// --- init: the profiler from v10, a context per communicator from v11. The traffic class is not used yet.
template <int version>
CallResult abi_init(nccl::LogFunction log) {
  return init(version, nullptr, log);
}
template <int version>
CallResult abi_init(nccl::LogFunction log, nccl::ProfilerCallback) {
  return init(version, nullptr, log);
}
template <int version, typename Config>
CallResult abi_init(void** context, uint64_t, Config*, nccl::LogFunction log, nccl::ProfilerCallback) {
  return init(version, context, log);
}

template <typename Properties>
CallResult abi_get_properties(int device, Properties* properties) {
  const DeviceProperties* found = find_device(device);
  if (!found) return CallResult::kInvalidArgument;
  fill_properties(*found, properties);
  return CallResult::kSuccess;
}

// --- set-up: the device handle from v7 (RCCL passes a struct of its own there: never touched), the config in
// v10, the context from v11.
CallResult abi_listen(int device, void* handle, void** comm) {
  return listen(nullptr, device, handle, comm);
}
CallResult abi_listen(void* context, int device, void* handle, void** comm) {
  return listen(context, device, handle, comm);
}
CallResult abi_connect(int device, void* handle, void** comm) {
  return connect(nullptr, device, handle, comm);
}
CallResult abi_connect(int device, void* handle, void** comm, NetDeviceHandle**) {
  return connect(nullptr, device, handle, comm);
}
template <typename Config>
CallResult abi_connect(int device, Config*, void* handle, void** comm, NetDeviceHandle**) {
  return connect(nullptr, device, handle, comm);
}
CallResult abi_connect(void* context, int device, void* handle, void** comm, NetDeviceHandle**) {
  return connect(context, device, handle, comm);
}
CallResult abi_accept(void* listen_comm, void** comm) {
  return accept(listen_comm, comm);
}
CallResult abi_accept(void* listen_comm, void** comm, NetDeviceHandle**) {
  return accept(listen_comm, comm);
}

// --- memory and messages: int sizes before v8 and v9, profiler handles from v10.
template <typename Size>
CallResult abi_reg_mr(void* comm, void* data, Size size, int type, void** mhandle) {
  return reg_mr(comm, data, static_cast<size_t>(size), type, mhandle);
}
template <typename Size>
CallResult abi_isend(void* comm, void* data, Size size, int tag, void* mhandle, void** request) {
  return isend(comm, data, static_cast<size_t>(size), tag, mhandle, request);
}
CallResult abi_isend(void* comm, void* data, size_t size, int tag, void* mhandle, void*, void** request) {
  return isend(comm, data, size, tag, mhandle, request);
}
template <typename Size>
CallResult abi_irecv(void* comm, int n, void** data, Size* sizes, int* tags, void** mhandles,
                     void** request) {
  return irecv(comm, n, data, sizes, tags, mhandles, request);
}
CallResult abi_irecv(void* comm, int n, void** data, size_t* sizes, int* tags, void** mhandles, void**,
                     void** request) {
  return irecv(comm, n, data, sizes, tags, mhandles, request);
}

// Hints on the next operations (v11 and later): Weft does the same whatever they say.
template <typename Attributes>
CallResult abi_set_net_attributes(void*, Attributes*) {
  return CallResult::kSuccess;
}

// Members that are not set stay null, which NCCL reads as "not offered": device registrations, irecvConsumed
// (device offload), makeVDevice (Weft bundles the interfaces itself).
template <int version, typename Net>
constexpr Net make_table() {
  Net net{};
  net.name = "weft";
  net.init = abi_init<version>;
  net.devices = devices;
  net.get_properties = abi_get_properties;
  net.listen = abi_listen;
  net.connect = abi_connect;
  net.accept = abi_accept;
  net.reg_mr = abi_reg_mr;
  net.reg_mr_dma_buf = reg_mr_dma_buf;
  net.dereg_mr = dereg_mr;
  net.isend = abi_isend;
  net.irecv = abi_irecv;
  net.iflush = iflush;
  net.test = test;
  net.close_send = close_comm;
  net.close_recv = close_comm;
  net.close_listen = close_listen;
  if constexpr (requires { net.finalize; }) {
    net.finalize = finalize;
    net.set_net_attributes = abi_set_net_attributes;
  }
  return net;
}

}  // namespace
}  // namespace weft::nccl_net

extern "C" {

#define WEFT_EXPORTED __attribute__((visibility("default")))

extern const WEFT_EXPORTED weft::nccl::v6::Net ncclNetPlugin_v6;
extern const WEFT_EXPORTED weft::nccl::v8::Net ncclNetPlugin_v8;
extern const WEFT_EXPORTED weft::nccl::v9::Net ncclNetPlugin_v9;
extern const WEFT_EXPORTED weft::nccl::v10::Net ncclNetPlugin_v10;
extern const WEFT_EXPORTED weft::nccl::v11::Net ncclNetPlugin_v11;
extern const WEFT_EXPORTED weft::nccl::v12::Net ncclNetPlugin_v12;

constexpr weft::nccl::v6::Net ncclNetPlugin_v6 = weft::nccl_net::make_table<6, weft::nccl::v6::Net>();
constexpr weft::nccl::v8::Net ncclNetPlugin_v8 = weft::nccl_net::make_table<8, weft::nccl::v8::Net>();
constexpr weft::nccl::v9::Net ncclNetPlugin_v9 = weft::nccl_net::make_table<9, weft::nccl::v9::Net>();
constexpr weft::nccl::v10::Net ncclNetPlugin_v10 = weft::nccl_net::make_table<10, weft::nccl::v10::Net>();
constexpr weft::nccl::v11::Net ncclNetPlugin_v11 = weft::nccl_net::make_table<11, weft::nccl::v11::Net>();
constexpr weft::nccl::v12::Net ncclNetPlugin_v12 = weft::nccl_net::make_table<12, weft::nccl::v12::Net>();

}  // extern "C"
