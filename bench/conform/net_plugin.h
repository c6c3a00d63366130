// One face for every version of NCCL's net plugin ABI, so that a check is written once.
//
// NetPlugin forwards each call to the function table that a plugin exports and adds nothing but what NCCL's
// own compatibility layer adds (init once per process before v11). It also notes the call in progress in the
// black box, so that the runner can say which call hung or crashed. Thread safety is the plugin's. Nothing
// here throws.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plugins/nccl_net/abi/types.h"

namespace weft::bench::conform {

using nccl::Result;

// The union of all versions. What a version lacks has the value that NCCL assumes then.
struct DeviceProperties {
  const char* name = nullptr;
  const char* pci_path = nullptr;
  uint64_t guid = 0;
  int ptr_support = 0;
  int reg_is_global = 0;
  int force_flush = 0;
  int speed_mbps = 0;
  int port = 0;
  float latency_us = 0;
  int max_comms = 0;
  int max_recvs = 0;
  nccl::NetDeviceType net_device_type = nccl::NetDeviceType::kHost;
  int net_device_version = 0;
  int member_count = 1;
  std::array<int, 8> members{};
  size_t max_p2p_bytes = nccl::kDefaultMaxP2pBytes;
  size_t max_coll_bytes = nccl::kDefaultMaxCollBytes;
  int max_multi_request_size = 1;
  int16_t rail_id = nccl::kFabricIdUndefined;
  int16_t plane_id = nccl::kFabricIdUndefined;
};

// Where one field lies in the version's own struct.
struct PropertyField {
  const char* name;
  size_t offset;
  size_t bytes;
};

class NetPlugin {
 public:
  virtual ~NetPlugin() = default;

  virtual int abi() const = 0;
  virtual const char* name() const = 0;
  // Functions that NCCL calls without asking whether they are there, and that are NULL.
  virtual std::vector<std::string> missing_functions() const = 0;
  virtual int max_members() const = 0;

  virtual Result init(void** context, uint64_t comm_id) = 0;
  virtual Result finalize(void* context) = 0;
  virtual Result devices(int* count) = 0;
  // Fills the version's own struct with `fill` before the call. `raw` gets its bytes when it is not null.
  virtual Result get_properties(int device, uint8_t fill, DeviceProperties* properties,
                                std::vector<uint8_t>* raw) = 0;
  virtual std::vector<PropertyField> property_fields() const = 0;

  virtual Result listen(void* context, int device, void* handle, void** listen_comm) = 0;
  virtual Result connect(void* context, int device, void* handle, void** send_comm,
                         nccl::NetDeviceHandle** device_handle) = 0;
  virtual Result accept(void* listen_comm, void** recv_comm, nccl::NetDeviceHandle** device_handle) = 0;
  virtual Result reg_mr(void* comm, void* data, size_t bytes, int type, void** mhandle) = 0;
  virtual Result dereg_mr(void* comm, void* mhandle) = 0;
  virtual Result isend(void* send_comm, void* data, size_t bytes, int tag, void* mhandle, void* phandle,
                       void** request) = 0;
  virtual Result irecv(void* recv_comm, std::span<void*> data, std::span<size_t> bytes, std::span<int> tags,
                       std::span<void*> mhandles, std::span<void*> phandles, void** request) = 0;
  virtual Result iflush(void* recv_comm, std::span<void*> data, std::span<int> bytes,
                        std::span<void*> mhandles, void** request) = 0;
  virtual Result test(void* request, int* done, int* sizes) = 0;
  virtual Result close_send(void* comm) = 0;
  virtual Result close_recv(void* comm) = 0;
  virtual Result close_listen(void* comm) = 0;

  // False when the version or the plugin has no such call.
  virtual bool has_attributes() const = 0;
  virtual Result set_undefined_attributes(void* context) = 0;

  bool inits_each_communicator() const { return abi() >= 11; }
};

std::unique_ptr<NetPlugin> make_abi6(const void* table);
std::unique_ptr<NetPlugin> make_abi7(const void* table);
std::unique_ptr<NetPlugin> make_abi8(const void* table);
std::unique_ptr<NetPlugin> make_abi9(const void* table);
std::unique_ptr<NetPlugin> make_abi10(const void* table);
std::unique_ptr<NetPlugin> make_abi11(const void* table);
std::unique_ptr<NetPlugin> make_abi12(const void* table);

const char* result_name(Result result);

}  // namespace weft::bench::conform
