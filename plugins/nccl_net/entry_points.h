// The functions behind NCCL's tables, one implementation for every version: plugin.cc only drops or converts
// the arguments in which versions differ.
//
// Threads as NCCL has them: main (init, devices, properties, finalize), service (listen, connect, accept,
// register, close), progress (isend, irecv, test, iflush). No function blocks but init and finalize; none
// throws. Every output is written on success, whatever it held before. Failures are logged with their reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "plugins/nccl_net/abi/types.h"
#include "plugins/nccl_net/device_properties.h"

namespace weft::nccl_net {

// `context` may be null (before v11).
nccl::Result init(int abi_version, void** context, nccl::LogFunction log) noexcept;
nccl::Result finalize(void* context) noexcept;
nccl::Result devices(int* device_count) noexcept;
// Null, with a log line, when there is no such device.
const DeviceProperties* find_device(int device) noexcept;

nccl::Result listen(void* context, int device, void* handle, void** listen_comm) noexcept;
nccl::Result connect(void* context, int device, void* handle, void** send_comm) noexcept;
nccl::Result accept(void* listen_comm, void** recv_comm) noexcept;
nccl::Result close_comm(void* comm) noexcept;
nccl::Result close_listen(void* listen_comm) noexcept;

nccl::Result reg_mr(void* comm, void* data, std::size_t size, int type, void** mhandle) noexcept;
nccl::Result reg_mr_dma_buf(void* comm, void* data, std::size_t size, int type, std::uint64_t offset, int fd,
                            void** mhandle) noexcept;
nccl::Result dereg_mr(void* comm, void* mhandle) noexcept;

nccl::Result isend(void* send_comm, void* data, std::size_t bytes, int tag, void* mhandle,
                   void** request) noexcept;
// Size is int before v9, size_t from then on.
template <typename Size>
nccl::Result irecv(void* recv_comm, int count, void** data, const Size* capacities, const int* tags,
                   void** mhandles, void** request) noexcept;
nccl::Result iflush(void* recv_comm, int count, void** data, int* sizes, void** mhandles,
                    void** request) noexcept;
nccl::Result test(void* request, int* done, int* sizes) noexcept;

}  // namespace weft::nccl_net
