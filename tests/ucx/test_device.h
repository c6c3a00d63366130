// The device that tests of UCX take: RDMA in an emulated machine, loopback elsewhere.
#pragma once

#include <memory>

#include "transport/ucx/device_choice.h"
#include "transport/ucx/device_context.h"
#include "transport/ucx/ucx_library.h"
#include "weft/status.h"

namespace weft::ucx {

inline Result<std::shared_ptr<DeviceContext>> open_test_device(const UcxLibrary& library) {
  auto devices = list_devices(library);
  if (!devices) return devices.status();
  DeviceName device = devices->front();
  for (const DeviceName& one : *devices)
    if (!one.is_tcp() || (device.is_tcp() && one.name == "lo")) device = one;
  return DeviceContext::open(library, device);
}

}  // namespace weft::ucx
