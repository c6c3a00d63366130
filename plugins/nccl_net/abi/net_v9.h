// NCCL's network plugin ABI, version 9: v8 plus size_t message sizes, forced flush, virtual devices and size
// limits (NCCL 2.24 and later).
//
// A binary contract: NCCL looks up the symbol kSymbol and reads it as a Net. Order and width of every member
// count. No call may block; connect and accept answer kSuccess with a NULL communicator until they are done.
// NCCL calls from several threads, and different communicators at the same time.
#pragma once

#include "plugins/nccl_net/abi/types.h"

namespace weft::nccl::v9 {

inline constexpr char kSymbol[] = "ncclNetPlugin_v9";

inline constexpr int kMaxDevicesPerNic = 4;

struct VirtualDevice {
  int device_count;
  int devices[kMaxDevicesPerNic];
};
static_assert(sizeof(VirtualDevice) == 20);

struct Properties {
  const char* name;      // unique among the devices
  const char* pci_path;  // below /sys; NULL puts the device on the first CPU
  uint64_t guid;         // the same for all ports of one chip
  int ptr_support;       // kPtr* bits
  int reg_is_global;     // 1: a registration serves every communicator
  int force_flush;       // 1: iflush is called on every GPU generation
  int speed_mbps;
  int port;
  float latency_us;
  int max_comms;
  int max_recvs;  // receives that one irecv may group
  NetDeviceType net_device_type;
  int net_device_version;
  VirtualDevice virtual_device;
  size_t max_p2p_bytes;
  size_t max_coll_bytes;
};
static_assert(sizeof(Properties) == 104);
static_assert(offsetof(Properties, name) == 0);
static_assert(offsetof(Properties, pci_path) == 8);
static_assert(offsetof(Properties, guid) == 16);
static_assert(offsetof(Properties, ptr_support) == 24);
static_assert(offsetof(Properties, reg_is_global) == 28);
static_assert(offsetof(Properties, force_flush) == 32);
static_assert(offsetof(Properties, speed_mbps) == 36);
static_assert(offsetof(Properties, port) == 40);
static_assert(offsetof(Properties, latency_us) == 44);
static_assert(offsetof(Properties, max_comms) == 48);
static_assert(offsetof(Properties, max_recvs) == 52);
static_assert(offsetof(Properties, net_device_type) == 56);
static_assert(offsetof(Properties, net_device_version) == 60);
static_assert(offsetof(Properties, virtual_device) == 64);
static_assert(offsetof(Properties, max_p2p_bytes) == 88);
static_assert(offsetof(Properties, max_coll_bytes) == 96);

struct Net {
  const char* name;
  Result (*init)(LogFunction log);
  Result (*devices)(int* device_count);
  Result (*get_properties)(int device, Properties* properties);
  Result (*listen)(int device, void* handle, void** listen_comm);
  Result (*connect)(int device, void* handle, void** send_comm, NetDeviceHandle** send_device);
  Result (*accept)(void* listen_comm, void** recv_comm, NetDeviceHandle** recv_device);
  Result (*reg_mr)(void* comm, void* data, size_t size, int type, void** mhandle);
  // may be NULL
  Result (*reg_mr_dma_buf)(void* comm, void* data, size_t size, int type, uint64_t offset, int fd,
                           void** mhandle);
  Result (*dereg_mr)(void* comm, void* mhandle);
  Result (*isend)(void* send_comm, void* data, size_t size, int tag, void* mhandle, void** request);
  Result (*irecv)(void* recv_comm, int n, void** data, size_t* sizes, int* tags, void** mhandles,
                  void** request);
  Result (*iflush)(void* recv_comm, int n, void** data, int* sizes, void** mhandles, void** request);
  Result (*test)(void* request, int* done, int* sizes);
  Result (*close_send)(void* send_comm);
  Result (*close_recv)(void* recv_comm);
  Result (*close_listen)(void* listen_comm);
  // may be NULL
  Result (*get_device_mr)(void* comm, void* mhandle, void** device_mhandle);
  // may be NULL
  Result (*irecv_consumed)(void* recv_comm, int n, void* request);
  // NULL: devices cannot be merged
  Result (*make_virtual_device)(int* device, VirtualDevice* properties);
};
static_assert(sizeof(Net) == 160);
static_assert(offsetof(Net, init) == 8);
static_assert(offsetof(Net, devices) == 16);
static_assert(offsetof(Net, get_properties) == 24);
static_assert(offsetof(Net, listen) == 32);
static_assert(offsetof(Net, connect) == 40);
static_assert(offsetof(Net, accept) == 48);
static_assert(offsetof(Net, reg_mr) == 56);
static_assert(offsetof(Net, reg_mr_dma_buf) == 64);
static_assert(offsetof(Net, dereg_mr) == 72);
static_assert(offsetof(Net, isend) == 80);
static_assert(offsetof(Net, irecv) == 88);
static_assert(offsetof(Net, iflush) == 96);
static_assert(offsetof(Net, test) == 104);
static_assert(offsetof(Net, close_send) == 112);
static_assert(offsetof(Net, close_recv) == 120);
static_assert(offsetof(Net, close_listen) == 128);
static_assert(offsetof(Net, get_device_mr) == 136);
static_assert(offsetof(Net, irecv_consumed) == 144);
static_assert(offsetof(Net, make_virtual_device) == 152);

}  // namespace weft::nccl::v9
