// An end of a path whose first frame has not come. At the accepting end it is made before the link's lock is
// taken.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "transport/ucx/link_backend.h"

namespace weft::ucx {

struct LinkBackend::Prepared final : tcp::PreparedPath {
  const std::vector<tcp::HandshakeOption>& options() const override { return answer; }

  multipath::PathId path{};
  multipath::Incarnation incarnation{};
  std::unique_ptr<PathWorker> worker;
  std::string peer_device;   // mlx5_0:1
  std::string peer_address;  // by which it is dialled
  std::vector<tcp::HandshakeOption> answer;
};

}  // namespace weft::ucx
