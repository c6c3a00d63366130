// What NCCL is told of the one device that it sees: all planes of this process together, because Weft itself
// spreads every message over them.
//
// Any thread. Strings in here live as long as the process: NCCL keeps the pointers, also past a finalize.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "plugins/nccl_net/abi/types.h"
#include "weft/context.h"

namespace weft::nccl_net {

inline constexpr int kDeviceCount = 1;
// Receives that one irecv may group: 32 requests times 8 are the kMaxPendingRequests of a Connection.
inline constexpr int kMaxGroupedReceives = 8;

struct DeviceProperties {
  const char* name = "weft0";
  const char* pci_path = nullptr;  // null: NCCL puts the device on the first CPU
  std::uint64_t guid = 0;          // the same for all processes of a host, as it is one NIC to NCCL
  int speed_mbps = 0;
  int ptr_support = nccl::kPtrHost;
};

// Sums the speeds of the interfaces and takes the place of the first one that sits on PCI.
DeviceProperties describe_device(const std::vector<Device>& planes, const DeviceMemorySupport& memory = {});

// Fills every member that a version's struct has, whatever was in it: NCCL hands it over uninitialised.
template <typename Properties>
void fill_properties(const DeviceProperties& device, Properties* properties) {
  std::memset(properties, 0, sizeof *properties);  // padding too: later versions have put members there
  Properties& filled = *properties;
  filled.name = device.name;
  filled.pci_path = device.pci_path;
  filled.guid = device.guid;
  filled.ptr_support = device.ptr_support;
  filled.speed_mbps = device.speed_mbps;
  filled.port = 0;
  filled.latency_us = 0;
  filled.max_comms = 65536;
  filled.max_recvs = kMaxGroupedReceives;
  // 1 would be true of our handles, but invites NCCL to register users' CUDA buffers, which TCP, to a peer
  // without RDMA, cannot take.
  if constexpr (requires { filled.reg_is_global; }) filled.reg_is_global = 0;
  // On GPUs since Hopper NCCL leaves the flush out unless it is told. There one NIC's writes are seen in
  // order; of several NICs that have carried one message nobody says so. Before v9, which cannot tell,
  // Comm::test() flushes.
  if constexpr (requires { filled.force_flush; }) {
    filled.force_flush = device.ptr_support != nccl::kPtrHost ? 1 : 0;
  }
  if constexpr (requires { filled.net_device_type; }) {
    filled.net_device_type = nccl::NetDeviceType::kHost;
    filled.net_device_version = nccl::kNetDeviceInvalidVersion;
  }
  if constexpr (requires { filled.virtual_device; }) {
    filled.virtual_device.device_count = 1;
    filled.virtual_device.devices[0] = 0;
  }
  // test() reports sizes as int: more than this could not be told.
  if constexpr (requires { filled.max_p2p_bytes; }) {
    filled.max_p2p_bytes = nccl::kDefaultMaxP2pBytes;
    filled.max_coll_bytes = nccl::kDefaultMaxCollBytes;
  }
  if constexpr (requires { filled.max_multi_request_size; }) filled.max_multi_request_size = 1;
  if constexpr (requires { filled.rail_id; }) {
    filled.rail_id = nccl::kFabricIdUndefined;
    filled.plane_id = nccl::kFabricIdUndefined;
  }
}

}  // namespace weft::nccl_net
