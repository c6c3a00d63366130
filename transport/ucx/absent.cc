// Stands in for the UCX transport in builds that lack it.
#include "transport/ucx/transport.h"

namespace weft::ucx {

Result<std::unique_ptr<tcp::DialledTransport>> open_transport(const Config&,
                                                              std::span<const tcp::InterfaceAddress>,
                                                              std::shared_ptr<const engine::Log>) {
  return Status(StatusCode::kBadConfiguration,
                "this Weft was built without UCX (it needs libucx-dev when it is built); set "
                "WEFT_TRANSPORT=auto, verbs or tcp");
}

}  // namespace weft::ucx
