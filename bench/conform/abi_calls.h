// How the versions of the net plugin ABI differ, call by call: AbiCalls<Net, Properties, version> is a
// NetPlugin over one version's function table. Each plugin_abi*.cc instantiates it once.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>

#include "bench/conform/blackbox.h"
#include "bench/conform/net_plugin.h"
#include "bench/conform/plugin_log.h"

namespace weft::bench::conform {

template <class Net, class Properties, int kAbi>
class AbiCalls : public NetPlugin {
 public:
  explicit AbiCalls(const void* table) : net_(static_cast<const Net*>(table)) {}

  int abi() const override { return kAbi; }
  const char* name() const override { return net_->name; }

  std::vector<std::string> missing_functions() const override {
    std::vector<std::string> missing;
    auto need = [&](auto function, const char* name) {
      if (function == nullptr) missing.push_back(name);
    };
    need(net_->name, "name");
    need(net_->init, "init");
    need(net_->devices, "devices");
    need(net_->get_properties, "getProperties");
    need(net_->listen, "listen");
    need(net_->connect, "connect");
    need(net_->accept, "accept");
    need(net_->reg_mr, "regMr");
    need(net_->dereg_mr, "deregMr");
    need(net_->isend, "isend");
    need(net_->irecv, "irecv");
    need(net_->iflush, "iflush");
    need(net_->test, "test");
    need(net_->close_send, "closeSend");
    need(net_->close_recv, "closeRecv");
    need(net_->close_listen, "closeListen");
    if constexpr (kAbi >= 11) need(net_->finalize, "finalize");
    return missing;
  }

  int max_members() const override {
    if constexpr (kAbi >= 9) return std::size(Properties{}.virtual_device.devices);
    return 1;
  }

  Result init(void** context, uint64_t comm_id) override {
    CallNote note("init");
    if constexpr (kAbi >= 11) {
      // NCCL's config is a local variable of its own: overwritten after the call, so a plugin must copy it.
      auto config = undefined_config(net_->init);
      const Result result = net_->init(context, comm_id, &config, plugin_log, plugin_profiler);
      std::memset(&config, 0xA5, sizeof(config));
      return result;
    } else {
      *context = nullptr;
      if (users_++ > 0) return Result::kSuccess;
      if constexpr (kAbi >= 10)
        return net_->init(plugin_log, plugin_profiler);
      else
        return net_->init(plugin_log);
    }
  }

  Result finalize(void* context) override {
    CallNote note("finalize");
    if constexpr (kAbi >= 11) return net_->finalize(context);
    --users_;
    return Result::kSuccess;
  }

  Result devices(int* count) override {
    CallNote note("devices");
    return net_->devices(count);
  }

  Result get_properties(int device, uint8_t fill, DeviceProperties* out, std::vector<uint8_t>* raw) override {
    CallNote note("getProperties");
    Properties in;
    std::memset(static_cast<void*>(&in), fill, sizeof(in));
    const Result result = net_->get_properties(device, &in);
    if (raw) {
      raw->resize(sizeof(in));
      std::memcpy(raw->data(), &in, sizeof(in));
    }
    if (result != Result::kSuccess) return result;
    *out = DeviceProperties{};
    out->name = in.name;
    out->pci_path = in.pci_path;
    out->guid = in.guid;
    out->ptr_support = in.ptr_support;
    out->speed_mbps = in.speed_mbps;
    out->port = in.port;
    out->latency_us = in.latency_us;
    out->max_comms = in.max_comms;
    out->max_recvs = in.max_recvs;
    out->members[0] = device;
    if constexpr (kAbi >= 7) {
      out->net_device_type = in.net_device_type;
      out->net_device_version = in.net_device_version;
    }
    if constexpr (kAbi >= 8) out->reg_is_global = in.reg_is_global;
    if constexpr (kAbi >= 9) {
      out->force_flush = in.force_flush;
      out->member_count = in.virtual_device.device_count;
      std::copy(std::begin(in.virtual_device.devices), std::end(in.virtual_device.devices),
                out->members.begin());
      out->max_p2p_bytes = in.max_p2p_bytes;
      out->max_coll_bytes = in.max_coll_bytes;
    }
    if constexpr (kAbi >= 11) out->max_multi_request_size = in.max_multi_request_size;
    if constexpr (kAbi >= 12) {
      out->rail_id = in.rail_id;
      out->plane_id = in.plane_id;
    }
    return result;
  }

  std::vector<PropertyField> property_fields() const override {
    std::vector<PropertyField> fields;
    const Properties p{};
    auto add = [&](const char* field_name, const auto& member) {
      const auto offset = reinterpret_cast<const char*>(&member) - reinterpret_cast<const char*>(&p);
      fields.push_back({field_name, static_cast<size_t>(offset), sizeof(member)});
    };
    add("name", p.name);
    add("pciPath", p.pci_path);
    add("guid", p.guid);
    add("ptrSupport", p.ptr_support);
    if constexpr (kAbi >= 8) add("regIsGlobal", p.reg_is_global);
    if constexpr (kAbi >= 9) add("forceFlush", p.force_flush);
    add("speed", p.speed_mbps);
    add("port", p.port);
    add("latency", p.latency_us);
    add("maxComms", p.max_comms);
    add("maxRecvs", p.max_recvs);
    if constexpr (kAbi >= 7) {
      add("netDeviceType", p.net_device_type);
      add("netDeviceVersion", p.net_device_version);
    }
    if constexpr (kAbi >= 9) {
      add("vProps.ndevs", p.virtual_device.device_count);
      add("vProps.devs[0]", p.virtual_device.devices[0]);
      add("maxP2pBytes", p.max_p2p_bytes);
      add("maxCollBytes", p.max_coll_bytes);
    }
    if constexpr (kAbi >= 11) add("maxMultiRequestSize", p.max_multi_request_size);
    if constexpr (kAbi >= 12) {
      add("railId", p.rail_id);
      add("planeId", p.plane_id);
    }
    return fields;
  }

  Result listen(void* context, int device, void* handle, void** listen_comm) override {
    CallNote note("listen");
    if constexpr (kAbi >= 11)
      return net_->listen(context, device, handle, listen_comm);
    else
      return net_->listen(device, handle, listen_comm);
  }

  Result connect(void* context, int device, void* handle, void** send_comm,
                 nccl::NetDeviceHandle** device_handle) override {
    CallNote note("connect");
    if constexpr (kAbi >= 11) {
      return net_->connect(context, device, handle, send_comm, device_handle);
    } else if constexpr (kAbi == 10) {
      auto config = undefined_config(net_->connect);
      return net_->connect(device, &config, handle, send_comm, device_handle);
    } else if constexpr (kAbi >= 7) {
      return net_->connect(device, handle, send_comm, device_handle);
    } else {
      return net_->connect(device, handle, send_comm);
    }
  }

  Result accept(void* listen_comm, void** recv_comm, nccl::NetDeviceHandle** device_handle) override {
    CallNote note("accept");
    if constexpr (kAbi >= 7)
      return net_->accept(listen_comm, recv_comm, device_handle);
    else
      return net_->accept(listen_comm, recv_comm);
  }

  Result reg_mr(void* comm, void* data, size_t bytes, int type, void** mhandle) override {
    CallNote note("regMr");
    if constexpr (kAbi >= 8)
      return net_->reg_mr(comm, data, bytes, type, mhandle);
    else
      return net_->reg_mr(comm, data, narrow(bytes), type, mhandle);
  }

  Result dereg_mr(void* comm, void* mhandle) override {
    CallNote note("deregMr");
    return net_->dereg_mr(comm, mhandle);
  }

  Result isend(void* send_comm, void* data, size_t bytes, int tag, void* mhandle, void* phandle,
               void** request) override {
    CallNote note("isend");
    if constexpr (kAbi >= 10)
      return net_->isend(send_comm, data, bytes, tag, mhandle, phandle, request);
    else if constexpr (kAbi >= 9)
      return net_->isend(send_comm, data, bytes, tag, mhandle, request);
    else
      return net_->isend(send_comm, data, narrow(bytes), tag, mhandle, request);
  }

  Result irecv(void* recv_comm, std::span<void*> data, std::span<size_t> bytes, std::span<int> tags,
               std::span<void*> mhandles, std::span<void*> phandles, void** request) override {
    CallNote note("irecv");
    const int n = static_cast<int>(data.size());
    if constexpr (kAbi >= 10) {
      return net_->irecv(recv_comm, n, data.data(), bytes.data(), tags.data(), mhandles.data(),
                         phandles.data(), request);
    } else if constexpr (kAbi >= 9) {
      return net_->irecv(recv_comm, n, data.data(), bytes.data(), tags.data(), mhandles.data(), request);
    } else {
      std::vector<int> narrowed(bytes.size());
      std::transform(bytes.begin(), bytes.end(), narrowed.begin(), narrow);
      return net_->irecv(recv_comm, n, data.data(), narrowed.data(), tags.data(), mhandles.data(), request);
    }
  }

  Result iflush(void* recv_comm, std::span<void*> data, std::span<int> bytes, std::span<void*> mhandles,
                void** request) override {
    CallNote note("iflush");
    return net_->iflush(recv_comm, static_cast<int>(data.size()), data.data(), bytes.data(), mhandles.data(),
                        request);
  }

  Result test(void* request, int* done, int* sizes) override {
    CallNote note("test");
    return net_->test(request, done, sizes);
  }

  Result close_send(void* comm) override {
    CallNote note("closeSend");
    return net_->close_send(comm);
  }

  Result close_recv(void* comm) override {
    CallNote note("closeRecv");
    return net_->close_recv(comm);
  }

  Result close_listen(void* comm) override {
    CallNote note("closeListen");
    return net_->close_listen(comm);
  }

  bool has_attributes() const override {
    if constexpr (kAbi >= 11) return net_->set_net_attributes != nullptr;
    return false;
  }

  Result set_undefined_attributes(void* context) override {
    CallNote note("setNetAttr");
    if constexpr (kAbi >= 11) {
      auto attributes = attributes_of(net_->set_net_attributes);
      std::memset(&attributes, 0xFF, sizeof(attributes));  // every member kAttributeUndefined
      return net_->set_net_attributes(context, &attributes);
    }
    return Result::kInvalidUsage;
  }

 private:
  static int narrow(size_t bytes) {
    return static_cast<int>(std::min<size_t>(bytes, std::numeric_limits<int>::max()));
  }

  // The version's Config and Attributes, found from the functions that take them.
  template <class Config>
  static Config undefined_config(Result (*)(void**, uint64_t, Config*, nccl::LogFunction,
                                            nccl::ProfilerCallback)) {
    return Config{nccl::kTrafficClassUndefined};
  }
  template <class Config>
  static Config undefined_config(Result (*)(int, Config*, void*, void**, nccl::NetDeviceHandle**)) {
    return Config{nccl::kTrafficClassUndefined};
  }
  template <class Attributes>
  static Attributes attributes_of(Result (*)(void*, Attributes*)) {
    return {};
  }

  const Net* net_;
  int users_ = 0;
};

}  // namespace weft::bench::conform
