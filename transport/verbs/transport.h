// RDMA as the composition root sees it (transport/tcp/dialled_transport.h). No verbs type shows here, so that
// the root is the same in builds without libibverbs: there open_transport() says so (absent.cc).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "transport/engine/log.h"
#include "transport/tcp/dialled_transport.h"
#include "weft/status.h"

namespace weft::verbs {

// kMrc: the queue pairs of NICs that speak MRC (mrc_library.h), on the devices that do; a plane has one path.
enum class QueueKind : std::uint8_t { kReliableConnection, kMrc };

// The transport, or why there is none on this machine or in this build.
Result<std::unique_ptr<tcp::DialledTransport>> open_transport(
    const Config& config, std::span<const tcp::InterfaceAddress> host, std::shared_ptr<const engine::Log> log,
    QueueKind kind = QueueKind::kReliableConnection);

}  // namespace weft::verbs
