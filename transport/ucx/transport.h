// UCX as the composition root sees it: a DialledTransport. No UCX type shows here, so that the root is the
// same in builds without UCX: there open_transport() says so (absent.cc).
#pragma once

#include <memory>
#include <span>

#include "transport/engine/log.h"
#include "transport/tcp/dialled_transport.h"
#include "transport/tcp/interfaces.h"
#include "weft/config.h"
#include "weft/status.h"

namespace weft::ucx {

// The transport, or why there is none on this machine or in this build. Opens libucp: to be called where UCX
// was asked for only (ucx_library.h says why).
Result<std::unique_ptr<tcp::DialledTransport>> open_transport(const Config& config,
                                                              std::span<const tcp::InterfaceAddress> host,
                                                              std::shared_ptr<const engine::Log> log);

}  // namespace weft::ucx
