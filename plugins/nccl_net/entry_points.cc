#include "plugins/nccl_net/entry_points.h"

#include <array>
#include <exception>
#include <string>
#include <utility>

#include "plugins/nccl_net/comm.h"
#include "plugins/nccl_net/log.h"
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
    if (type != nccl::kPtrHost) {
      return {StatusCode::kInvalidArgument,
              "memory of type " + std::to_string(type) + (type == nccl::kPtrCuda ? " (CUDA)" : "") +
                  " cannot be sent; register host memory, as the device's ptrSupport says"};
    }
    return store(PluginState::instance().register_memory(data, size), mhandle);
  });
}

nccl::Result dereg_mr(void* comm, void* mhandle) noexcept {
  PluginState::instance().deregister_memory(mhandle);
  return nccl::Result::kSuccess;
}

nccl::Result isend(void* send_comm, void* data, std::size_t bytes, int tag, void** request) noexcept {
  return static_cast<Comm*>(send_comm)->isend(data, bytes, tag, request);
}

template <typename Size>
nccl::Result irecv(void* recv_comm, int count, void** data, const Size* capacities, const int* tags,
                   void** request) noexcept {
  *request = nullptr;
  if (count < 1 || count > kMaxGroupedReceives) {
    return guarded("irecv", [&]() -> Status {
      return {StatusCode::kInvalidArgument, std::to_string(count) +
                                                " grouped receives were asked for; maxRecvs is " +
                                                std::to_string(kMaxGroupedReceives)};
    });
  }
  std::array<std::size_t, kMaxGroupedReceives> bytes;
  for (int i = 0; i < count; ++i)
    bytes[static_cast<std::size_t>(i)] = static_cast<std::size_t>(capacities[i]);
  return static_cast<Comm*>(recv_comm)->irecv(count, data, bytes.data(), tags, request);
}
template nccl::Result irecv(void*, int, void**, const int*, const int*, void**) noexcept;
template nccl::Result irecv(void*, int, void**, const std::size_t*, const int*, void**) noexcept;

nccl::Result iflush(void* recv_comm, int count, void** data, int* sizes, void** mhandles,
                    void** request) noexcept {
  *request = nullptr;  // nothing to wait for: received host memory is visible when its receive is done
  return nccl::Result::kSuccess;
}

nccl::Result test(void* request, int* done, int* sizes) noexcept {
  return Comm::test(static_cast<Request*>(request), done, sizes);
}

}  // namespace weft::nccl_net
