// NCCL's network plugin ABI, version 6: the oldest that NCCL 2.18 to 2.30 still reads. Sizes are int, init is
// called once.
//
// A binary contract: NCCL looks up the symbol kSymbol and reads it as a Net. Order and width of every member
// count. No call may block; connect and accept answer kSuccess with a NULL communicator until they are done.
// NCCL calls from several threads, and different communicators at the same time.
#pragma once

#include "plugins/nccl_net/abi/types.h"

namespace weft::nccl::v6 {

inline constexpr char kSymbol[] = "ncclNetPlugin_v6";

struct Properties {
  const char* name;      // unique among the devices
  const char* pci_path;  // below /sys; NULL puts the device on the first CPU
  uint64_t guid;         // the same for all ports of one chip
  int ptr_support;       // kPtr* bits
  int speed_mbps;
  int port;
  float latency_us;
  int max_comms;
  int max_recvs;  // receives that one irecv may group
};
static_assert(sizeof(Properties) == 48);
static_assert(offsetof(Properties, name) == 0);
static_assert(offsetof(Properties, pci_path) == 8);
static_assert(offsetof(Properties, guid) == 16);
static_assert(offsetof(Properties, ptr_support) == 24);
static_assert(offsetof(Properties, speed_mbps) == 28);
static_assert(offsetof(Properties, port) == 32);
static_assert(offsetof(Properties, latency_us) == 36);
static_assert(offsetof(Properties, max_comms) == 40);
static_assert(offsetof(Properties, max_recvs) == 44);

struct Net {
  const char* name;
  Result (*init)(LogFunction log);
  Result (*devices)(int* device_count);
  Result (*get_properties)(int device, Properties* properties);
  Result (*listen)(int device, void* handle, void** listen_comm);
  Result (*connect)(int device, void* handle, void** send_comm);
  Result (*accept)(void* listen_comm, void** recv_comm);
  Result (*reg_mr)(void* comm, void* data, int size, int type, void** mhandle);
  // may be NULL
  Result (*reg_mr_dma_buf)(void* comm, void* data, size_t size, int type, uint64_t offset, int fd,
                           void** mhandle);
  Result (*dereg_mr)(void* comm, void* mhandle);
  Result (*isend)(void* send_comm, void* data, int size, int tag, void* mhandle, void** request);
  Result (*irecv)(void* recv_comm, int n, void** data, int* sizes, int* tags, void** mhandles,
                  void** request);
  Result (*iflush)(void* recv_comm, int n, void** data, int* sizes, void** mhandles, void** request);
  Result (*test)(void* request, int* done, int* sizes);
  Result (*close_send)(void* send_comm);
  Result (*close_recv)(void* recv_comm);
  Result (*close_listen)(void* listen_comm);
};
static_assert(sizeof(Net) == 136);
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

}  // namespace weft::nccl::v6
