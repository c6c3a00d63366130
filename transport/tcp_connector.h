// Connections over TCP, from the connecting side.
#pragma once

#include <memory>
#include <string>

#include "transport/fabric.h"
#include "transport/tcp/address_codec.h"
#include "weft/context.h"

namespace weft {

// `why_not_dialled`: why it is not another transport of this process, for messages. kUnreachable where no
// interface of this process goes with an endpoint of the listener's.
Result<std::unique_ptr<Connector>> connect_by_tcp(const std::shared_ptr<Fabric>& fabric,
                                                  const tcp::ListenerAddress& listener,
                                                  std::string why_not_dialled);

}  // namespace weft
