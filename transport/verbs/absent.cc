// Stands in for the verbs transport in builds that lack it.
#include "transport/verbs/transport.h"

namespace weft::verbs {

Result<std::unique_ptr<tcp::DialledTransport>> open_transport(const Config&,
                                                              std::span<const tcp::InterfaceAddress>,
                                                              std::shared_ptr<const engine::Log>, QueueKind) {
  return Status(StatusCode::kBadConfiguration,
                "this Weft was built without verbs (it needs libibverbs-dev when it is built); set "
                "WEFT_TRANSPORT=tcp, or auto");
}

}  // namespace weft::verbs
