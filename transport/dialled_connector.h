// Connections over a transport whose paths are dialled by TCP and run elsewhere, from the connecting side.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "transport/fabric.h"
#include "transport/tcp/address_codec.h"
#include "weft/context.h"

namespace weft {

// The error says why there is no way by it: on this side, on the listener's, or between the two.
Result<std::unique_ptr<Connector>> connect_dialled(const std::shared_ptr<Fabric>& fabric,
                                                   const DialledCarrier& carrier,
                                                   const tcp::ListenerAddress& listener,
                                                   std::chrono::milliseconds patience);

}  // namespace weft
