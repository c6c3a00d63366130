#include "transport/ucx/worker_dial.h"

#include <fmt/format.h>

#include "transport/ucx/path_offer.h"

namespace weft::ucx {

using tcp::DialState;

WorkerDial::WorkerDial(std::shared_ptr<WorkerShelf> shelf, std::size_t device, const tcp::PathRoute& route,
                       tcp::DialSettings settings, multipath::PathId path, multipath::Incarnation incarnation)
    : route_(route),
      settings_(std::move(settings)),
      path_(path),
      incarnation_(incarnation),
      order_(std::make_unique<WorkerShelf::Order>(std::move(shelf), device)) {}

DialState WorkerDial::fail(Status error) {
  error_ = std::move(error);
  return DialState::kFailed;
}

DialState WorkerDial::step(multipath::TimePoint now) {
  if (!dial_) {
    if (DialState begun = begin(now); begun == DialState::kFailed || !dial_) return begun;
  }
  DialState state = dial_->step(now);
  if (state == DialState::kFailed) return fail(dial_->error());
  return state == DialState::kConnected ? connect_worker() : state;
}

DialState WorkerDial::begin(multipath::TimePoint now) {
  auto made = order_->poll();
  if (!made) return DialState::kPending;
  order_.reset();
  if (!*made) {
    return fail(
        Status(made->status().code(),
               fmt::format("path {} cannot be made: {}", multipath::index(path_), made->status().message())));
  }
  worker_ = std::move(**made);
  settings_.hello.options.push_back(
      {kPathOfferOption, encode(PathOffer{worker_->address(), worker_->device().name})});
  dial_began_ = now;
  dial_.emplace(route_, settings_, path_, incarnation_, now);
  return DialState::kPending;
}

DialState WorkerDial::connect_worker() {
  dial_->take_socket().reset();
  std::optional<PathOffer> offer = find_offer(dial_->welcome().options);
  if (!offer) {
    return fail(
        Status(StatusCode::kProtocolError,
               fmt::format("path {} on device {}: the peer accepted it and did not say how to reach its "
                           "worker; run the same Weft everywhere, or set WEFT_TRANSPORT=tcp",
                           multipath::index(path_), worker_->device().name)));
  }
  peer_device_ = offer->device;
  if (Status connected = worker_->connect(offer->address); !connected) {
    return fail(Status(connected.code(), fmt::format("path {} to {} of the peer: {}", multipath::index(path_),
                                                     peer_device_, connected.message())));
  }
  return DialState::kConnected;
}

}  // namespace weft::ucx
