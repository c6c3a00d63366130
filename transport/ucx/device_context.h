// UCX's view of one network device: a context that may use this device and no other, so that a path that is
// made of it runs where Weft says. What the user has set for UCX (UCX_TLS, UCX_IB_GID_INDEX, ...) holds; only
// what would take the choice of paths away from Weft is overruled, by ucp_config_modify(), never by way of
// the environment.
//
// Threads: any; workers of one context may be used by different threads at once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "transport/process/own_descriptor.h"
#include "transport/ucx/device_choice.h"
#include "transport/ucx/ucx_library.h"

namespace weft::ucx {

// The network devices that UCX may use here, by the user's UCX_NET_DEVICES and UCX_TLS. Costs as much as
// opening all of them.
Result<std::vector<DeviceName>> list_devices(const UcxLibrary& library);
class DeviceContext {
 public:
  static Result<std::shared_ptr<DeviceContext>> open(const UcxLibrary& library, const DeviceName& device);
  ~DeviceContext();
  DeviceContext(const DeviceContext&) = delete;
  DeviceContext& operator=(const DeviceContext&) = delete;

  const UcxLibrary& library() const { return library_; }
  const DeviceName& device() const { return device_; }
  ucp_context_h handle() const { return handle_; }

 private:
  DeviceContext(const UcxLibrary& library, DeviceName device, ucp_context_h handle)
      : library_(library), device_(std::move(device)), handle_(handle) {}

  const UcxLibrary& library_;
  const DeviceName device_;
  const ucp_context_h handle_;
  const process::Birthplace birthplace_;
};

}  // namespace weft::ucx
