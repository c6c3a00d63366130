// The one line that tells a user that NCCL runs over Weft, and with what.
#pragma once

#include <string>
#include <vector>

#include "weft/config.h"
#include "weft/context.h"

namespace weft::nccl_net {

// Version, ABI level, planes, paths, memory, transport (Context::transport()) and limits.
std::string banner(int abi_version, const Config& config, const std::vector<Device>& planes,
                   const std::string& transport, const DeviceMemorySupport& memory);

}  // namespace weft::nccl_net
