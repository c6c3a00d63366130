// Version 8 of the ABI behind the internal interface.
#include "bench/conform/abi_calls.h"
#include "plugins/nccl_net/abi/net_v8.h"

namespace weft::bench::conform {

std::unique_ptr<NetPlugin> make_abi8(const void* table) {
  return std::make_unique<AbiCalls<nccl::v8::Net, nccl::v8::Properties, 8>>(table);
}

}  // namespace weft::bench::conform
