// Version 7 of the ABI behind the internal interface.
#include "bench/conform/abi_calls.h"
#include "plugins/nccl_net/abi/net_v7.h"

namespace weft::bench::conform {

std::unique_ptr<NetPlugin> make_abi7(const void* table) {
  return std::make_unique<AbiCalls<nccl::v7::Net, nccl::v7::Properties, 7>>(table);
}

}  // namespace weft::bench::conform
