// Version 11 of the ABI behind the internal interface.
#include "bench/conform/abi_calls.h"
#include "plugins/nccl_net/abi/net_v11.h"

namespace weft::bench::conform {

std::unique_ptr<NetPlugin> make_abi11(const void* table) {
  return std::make_unique<AbiCalls<nccl::v11::Net, nccl::v11::Properties, 11>>(table);
}

}  // namespace weft::bench::conform
