// Version 6 of the ABI behind the internal interface.
#include "bench/conform/abi_calls.h"
#include "plugins/nccl_net/abi/net_v6.h"

namespace weft::bench::conform {

std::unique_ptr<NetPlugin> make_abi6(const void* table) {
  return std::make_unique<AbiCalls<nccl::v6::Net, nccl::v6::Properties, 6>>(table);
}

}  // namespace weft::bench::conform
