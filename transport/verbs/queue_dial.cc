#include "transport/verbs/queue_dial.h"

#include <fmt/format.h>

#include <cstring>

namespace weft::verbs {

using tcp::DialState;

std::uint32_t flow_salt(const tcp::ConnectionId& connection) {
  std::uint32_t salt = 0;
  std::memcpy(&salt, connection.data(), sizeof salt);
  return salt;
}

QueueDial::QueueDial(Result<std::unique_ptr<QueuePair>> queue, const tcp::PathRoute& route,
                     tcp::DialSettings settings, multipath::PathId path, multipath::Incarnation incarnation,
                     multipath::TimePoint now)
    : path_(path),
      incarnation_(incarnation),
      salt_(flow_salt(settings.hello.connection_id)),
      remote_(route.remote.address) {
  if (!queue) {
    error_ = Status(queue.status().code(), fmt::format("path {} cannot be made: {}", multipath::index(path),
                                                       queue.status().message()));
    return;
  }
  queue_ = std::move(*queue);
  settings.hello.options.push_back(offer_option(queue_->offer()));
  dial_.emplace(route, settings, path, incarnation, now);
}

DialState QueueDial::fail(Status error) {
  error_ = std::move(error);
  return DialState::kFailed;
}

DialState QueueDial::step(multipath::TimePoint now) {
  if (!dial_) return DialState::kFailed;
  DialState state = dial_->step(now);
  if (state == DialState::kFailed) return fail(dial_->error());
  return state == DialState::kConnected ? connect_queue() : state;
}

DialState QueueDial::connect_queue() {
  dial_->take_socket().reset();
  std::optional<PathOffer> offer = find_offer(dial_->welcome().options);
  if (!offer) {
    return fail(Status(
        StatusCode::kProtocolError,
        fmt::format("path {} on device {}: the peer accepted it and did not say how to reach its queue "
                    "pair; run the same Weft everywhere, or set WEFT_TRANSPORT=tcp",
                    multipath::index(path_), queue_->rail().port().name)));
  }
  peer_ = *offer;
  if (!leads_to(peer_.queue, remote_)) {
    return fail(Status(
        StatusCode::kProtocolError,
        fmt::format("path {} on device {}: the peer's queue pair is at {}, but {} was dialled; run the "
                    "same Weft everywhere, or set WEFT_TRANSPORT=tcp",
                    multipath::index(path_), queue_->rail().port().name, gid_text(peer_.queue.gid),
                    remote_.to_string())));
  }
  if (Status connected =
          queue_->connect(peer_, flow_label(salt_, multipath::index(path_), multipath::number(incarnation_)));
      !connected) {
    return fail(Status(connected.code(), fmt::format("path {} to {} of the peer: {}", multipath::index(path_),
                                                     peer_.queue.device, connected.message())));
  }
  return DialState::kConnected;
}

}  // namespace weft::verbs
