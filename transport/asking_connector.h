// Connecting to a listener whose address could not hold all of its endpoints: it is asked for them first, for
// transport and planes are chosen by the full list, and how many planes there are must be known when the
// first path is dialled.
#pragma once

#include <functional>
#include <memory>

#include "transport/fabric.h"
#include "transport/tcp/address_codec.h"
#include "weft/context.h"

namespace weft {

// Makes the connector that goes on once everything is known.
using ConnectTo = std::function<Result<std::unique_ptr<Connector>>(const tcp::ListenerAddress&)>;

// kUnreachable where none of the endpoints in the address can be asked.
Result<std::unique_ptr<Connector>> ask_and_connect(const std::shared_ptr<Fabric>& fabric,
                                                   const tcp::ListenerAddress& listener, ConnectTo connect);

}  // namespace weft
