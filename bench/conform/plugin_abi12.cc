// Version 12 of the ABI behind the internal interface.
#include "bench/conform/abi_calls.h"
#include "plugins/nccl_net/abi/net_v12.h"

namespace weft::bench::conform {

std::unique_ptr<NetPlugin> make_abi12(const void* table) {
  return std::make_unique<AbiCalls<nccl::v12::Net, nccl::v12::Properties, 12>>(table);
}

}  // namespace weft::bench::conform
