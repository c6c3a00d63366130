// Version 9 of the ABI behind the internal interface.
#include "bench/conform/abi_calls.h"
#include "plugins/nccl_net/abi/net_v9.h"

namespace weft::bench::conform {

std::unique_ptr<NetPlugin> make_abi9(const void* table) {
  return std::make_unique<AbiCalls<nccl::v9::Net, nccl::v9::Properties, 9>>(table);
}

}  // namespace weft::bench::conform
