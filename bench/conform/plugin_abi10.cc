// Version 10 of the ABI behind the internal interface.
#include "bench/conform/abi_calls.h"
#include "plugins/nccl_net/abi/net_v10.h"

namespace weft::bench::conform {

std::unique_ptr<NetPlugin> make_abi10(const void* table) {
  return std::make_unique<AbiCalls<nccl::v10::Net, nccl::v10::Properties, 10>>(table);
}

}  // namespace weft::bench::conform
