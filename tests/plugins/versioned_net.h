// Calls any version of NCCL's net table through one face, as NCCL's own compatibility layer does, so that one
// test runs over all of them. Owns nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "plugins/nccl_net/abi/net_v10.h"
#include "plugins/nccl_net/abi/net_v11.h"
#include "plugins/nccl_net/abi/net_v12.h"
#include "plugins/nccl_net/abi/net_v6.h"
#include "plugins/nccl_net/abi/net_v8.h"
#include "plugins/nccl_net/abi/net_v9.h"

namespace weft::nccl {

template <int version, typename NetTable, typename NetProperties>
struct Abi {
  static constexpr int kVersion = version;
  using Net = NetTable;
  using Properties = NetProperties;
};
using Abi6 = Abi<6, v6::Net, v6::Properties>;
using Abi8 = Abi<8, v8::Net, v8::Properties>;
using Abi9 = Abi<9, v9::Net, v9::Properties>;
using Abi10 = Abi<10, v10::Net, v10::Properties>;
using Abi11 = Abi<11, v11::Net, v11::Properties>;
using Abi12 = Abi<12, v12::Net, v12::Properties>;

template <typename A>
class VersionedNet {
 public:
  static constexpr bool kHasFinalize = A::kVersion >= 11;

  explicit VersionedNet(const typename A::Net* net) : net_(net) {}
  const typename A::Net& table() const { return *net_; }

  Result init(void** context, LogFunction log) const {
    *context = nullptr;
    if constexpr (A::kVersion >= 11) {
      return init_communicator(net_->init, context, log);
    } else if constexpr (A::kVersion == 10) {
      return net_->init(log, nullptr);
    } else {
      return net_->init(log);
    }
  }
  Result finalize(void* context) const {
    if constexpr (kHasFinalize) return net_->finalize(context);
    return Result::kSuccess;
  }
  Result listen(void* context, void* handle, void** comm, int device = 0) const {
    if constexpr (A::kVersion >= 11) return net_->listen(context, device, handle, comm);
    if constexpr (A::kVersion < 11) return net_->listen(device, handle, comm);
  }
  Result connect(void* context, void* handle, void** comm, int device = 0) const {
    // RCCL's habit: the device handle argument holds something else entirely.
    auto* foreign = reinterpret_cast<NetDeviceHandle**>(uintptr_t{0x10});
    if constexpr (A::kVersion >= 11) return net_->connect(context, device, handle, comm, foreign);
    if constexpr (A::kVersion == 10) return net_->connect(device, nullptr, handle, comm, foreign);
    if constexpr (A::kVersion == 8 || A::kVersion == 9) return net_->connect(device, handle, comm, foreign);
    if constexpr (A::kVersion == 6) return net_->connect(device, handle, comm);
  }
  Result accept(void* listen_comm, void** comm) const {
    auto* foreign = reinterpret_cast<NetDeviceHandle**>(uintptr_t{0x10});
    if constexpr (A::kVersion == 6) return net_->accept(listen_comm, comm);
    if constexpr (A::kVersion > 6) return net_->accept(listen_comm, comm, foreign);
  }
  Result isend(void* comm, void* data, size_t bytes, int tag, void* mhandle, void** request) const {
    if constexpr (A::kVersion >= 10) {
      return net_->isend(comm, data, bytes, tag, mhandle, nullptr, request);
    } else if constexpr (A::kVersion == 9) {
      return net_->isend(comm, data, bytes, tag, mhandle, request);
    } else {
      return net_->isend(comm, data, static_cast<int>(bytes), tag, mhandle, request);
    }
  }
  Result irecv(void* comm, std::vector<void*> data, std::vector<size_t> bytes, std::vector<int> tags,
               void* mhandle, void** request) const {
    std::vector<void*> mhandles(data.size(), mhandle);
    std::vector<void*> phandles(data.size());
    const int n = static_cast<int>(data.size());
    if constexpr (A::kVersion >= 10) {
      return net_->irecv(comm, n, data.data(), bytes.data(), tags.data(), mhandles.data(), phandles.data(),
                         request);
    } else if constexpr (A::kVersion == 9) {
      return net_->irecv(comm, n, data.data(), bytes.data(), tags.data(), mhandles.data(), request);
    } else {
      std::vector<int> sizes(bytes.begin(), bytes.end());
      return net_->irecv(comm, n, data.data(), sizes.data(), tags.data(), mhandles.data(), request);
    }
  }

 private:
  template <typename Config>
  static Result init_communicator(Result (*init)(void**, uint64_t, Config*, LogFunction, ProfilerCallback),
                                  void** context, LogFunction log) {
    Config config{kTrafficClassUndefined};
    return init(context, 0x1234, &config, log, nullptr);
  }

  const typename A::Net* net_;
};

}  // namespace weft::nccl
