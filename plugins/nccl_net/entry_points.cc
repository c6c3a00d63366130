#include "plugins/nccl_net/entry_points.h"

#include <array>
#include <exception>
#include <string>
#include <utility>

#include "plugins/nccl_net/comm.h"
#include "plugins/nccl_net/log.h"
#include "plugins/nccl_net/memory_handle.h"
#include "plugins/nccl_net/plugin_state.h"
#include "plugins/nccl_net/result.h"

namespace weft::nccl_net {
namespace {

// Nothing may be thrown into NCCL, which is C; and NCCL's own words for a result code say nothing.
template <typename Call>
nccl::Result guarded(const char* name, Call call) noexcept {
  try {
    const Status status = call();
    if (!status) log_warning(std::string(name) + ": " + status.message());
    return to_result(status.code());
  } catch (const std::exception& error) {
    log_warning(std::string(name) + ": " + error.what());
    return nccl::Result::kSystemError;
  }
}

Status check_device(int device) {
  if (device >= 0 && device < kDeviceCount) return Status::ok();
  return {StatusCode::kInvalidArgument,
          "there is no device " + std::to_string(device) + "; Weft shows NCCL one device, number 0"};
}

template <typename T>
Status store(Result<T> result, void** output) {
  if (!result) return result.status();
  *output = *result;
  return Status::ok();
}

Status register_device_memory(void* comm, void* data, std::size_t size, int type, int dmabuf,
                              std::uint64_t offset, void** mhandle) {
  if (type != nccl::kPtrCuda || comm == nullptr) {
    return {StatusCode::kInvalidArgument,
            comm == nullptr ? "there is no communicator that CUDA memory could be registered for"
                            : "memory of type " + std::to_string(type) +
                                  " cannot be sent; register host or CUDA memory, as the device's "
                                  "ptrSupport says"};
  }
  return store(
      PluginState::instance().register_device_memory(*static_cast<Comm*>(comm), data, size, dmabuf, offset),
      mhandle);
}

}  // namespace

nccl::Result init(int abi_version, void** context, nccl::LogFunction log) noexcept {
  if (context) *context = nullptr;
  return guarded("init", [&] {
    Result<Owner*> owner = PluginState::instance().init(abi_version, log);
    if (owner && context) *context = *owner;
    return owner.status();
  });
}

nccl::Result finalize(void* context) noexcept {
  return guarded("finalize", [&] { return PluginState::instance().finalize(context); });
}

nccl::Result devices(int* device_count) noexcept {
  *device_count = kDeviceCount;
  return nccl::Result::kSuccess;
}

const DeviceProperties* find_device(int device) noexcept {
  const nccl::Result result = guarded("getProperties", [&] { return check_device(device); });
  return result == nccl::Result::kSuccess ? &PluginState::instance().device() : nullptr;
}

nccl::Result listen(void* context, int device, void* handle, void** listen_comm) noexcept {
  *listen_comm = nullptr;
  return guarded("listen", [&] {
    if (Status known = check_device(device); !known) return known;
    return store(PluginState::instance().listen(context, handle), listen_comm);
  });
}

nccl::Result connect(void* context, int device, void* handle, void** send_comm) noexcept {
  *send_comm = nullptr;
  return guarded("connect", [&] {
    if (Status known = check_device(device); !known) return known;
    return store(PluginState::instance().connect(context, handle), send_comm);
  });
}

nccl::Result accept(void* listen_comm, void** recv_comm) noexcept {
  *recv_comm = nullptr;
  return guarded("accept", [&] { return store(PluginState::instance().accept(listen_comm), recv_comm); });
}

nccl::Result close_comm(void* comm) noexcept {
  return guarded("close", [&] { return PluginState::instance().close_comm(comm); });
}

nccl::Result close_listen(void* listen_comm) noexcept {
  return guarded("closeListen", [&] { return PluginState::instance().close_listen(listen_comm); });
}

nccl::Result reg_mr(void* comm, void* data, std::size_t size, int type, void** mhandle) noexcept {
  *mhandle = nullptr;
  return guarded("regMr", [&]() -> Status {
    if (type == nccl::kPtrHost) return store(PluginState::instance().register_memory(data, size), mhandle);
    return register_device_memory(comm, data, size, type, -1, 0, mhandle);
  });
}

nccl::Result reg_mr_dma_buf(void* comm, void* data, std::size_t size, int type, std::uint64_t offset, int fd,
                            void** mhandle) noexcept {
  *mhandle = nullptr;
  return guarded("regMrDmaBuf", [&]() -> Status {
    if (fd < 0) return {StatusCode::kInvalidArgument, "the dmabuf's descriptor is " + std::to_string(fd)};
    return register_device_memory(comm, data, size, type, fd, offset, mhandle);
  });
}

nccl::Result dereg_mr(void* comm, void* mhandle) noexcept {
  PluginState::instance().deregister_memory(mhandle);
  return nccl::Result::kSuccess;
}

nccl::Result isend(void* send_comm, void* data, std::size_t bytes, int tag, void* mhandle,
                   void** request) noexcept {
  return static_cast<Comm*>(send_comm)->isend(data, bytes, tag, memory_kind(mhandle), request);
}

template <typename Size>
nccl::Result irecv(void* recv_comm, int count, void** data, const Size* capacities, const int* tags,
                   void** mhandles, void** request) noexcept {
  *request = nullptr;
  if (count < 1 || count > kMaxGroupedReceives) {
    return guarded("irecv", [&]() -> Status {
      return {StatusCode::kInvalidArgument, std::to_string(count) +
                                                " grouped receives were asked for; maxRecvs is " +
                                                std::to_string(kMaxGroupedReceives)};
    });
  }
  std::array<std::size_t, kMaxGroupedReceives> bytes;
  std::array<MemoryKind, kMaxGroupedReceives> kinds;
  for (int i = 0; i < count; ++i) {
    bytes[static_cast<std::size_t>(i)] = static_cast<std::size_t>(capacities[i]);
    kinds[static_cast<std::size_t>(i)] = mhandles ? memory_kind(mhandles[i]) : MemoryKind::kHost;
  }
  return static_cast<Comm*>(recv_comm)->irecv(count, data, bytes.data(), tags, kinds.data(), request);
}
template nccl::Result irecv(void*, int, void**, const int*, const int*, void**, void**) noexcept;
template nccl::Result irecv(void*, int, void**, const std::size_t*, const int*, void**, void**) noexcept;

nccl::Result iflush(void* recv_comm, int count, void** data, int* sizes, void** mhandles,
                    void** request) noexcept {
  *request = nullptr;
  // One byte of what came stands for all. Host memory is visible when its receive is done, and so there may
  // be nothing to wait for.
  const void* at = nullptr;
  for (int i = 0; i < count && mhandles; ++i) {
    if (memory_kind(mhandles[i]) == MemoryKind::kDevice && (!sizes || sizes[i] != 0)) at = data[i];
  }
  return at ? static_cast<Comm*>(recv_comm)->iflush(at, request) : nccl::Result::kSuccess;
}

nccl::Result test(void* request, int* done, int* sizes) noexcept {
  return Comm::test(static_cast<Request*>(request), done, sizes);
}

}  // namespace weft::nccl_net
