// Connections over TCP, from the connecting side.
#pragma once

#include <memory>

#include "transport/fabric.h"
#include "transport/tcp/address_codec.h"
#include "weft/context.h"

namespace weft {

// kUnreachable where no interface of this process goes with an endpoint of the listener's.
Result<std::unique_ptr<Connector>> connect_by_tcp(const std::shared_ptr<Fabric>& fabric,
                                                  const tcp::ListenerAddress& listener);

}  // namespace weft
