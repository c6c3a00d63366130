#include "transport/dialled_connector.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <optional>

#include "transport/fabric_connection.h"
#include "transport/link_settings.h"
#include "transport/routes.h"

namespace weft {
namespace {

constexpr auto kPathAttemptTimeout = std::chrono::seconds(2);  // for a path
constexpr auto kMostWaitForOthers =
    std::chrono::seconds(1);  // poll() hands the connection out after it in any case

// The link dials all its paths by itself, from the first one on; this waits for it.
class DialledConnector final : public Connector {
 public:
  DialledConnector(std::shared_ptr<Fabric> fabric, std::shared_ptr<FabricLink> link,
                   std::chrono::milliseconds patience)
      : fabric_(std::move(fabric)),
        link_(std::move(link)),
        patience_(patience),
        began_(engine::steady_now()) {}
  ~DialledConnector() override {
    if (link_) fabric_->retire(link_);
  }

  Result<std::unique_ptr<Connection>> poll() override {
    link_->link.progress();
    Status error;
    bool settled = false;
    bool connected =
        link_->link.with_endpoint([&](multipath::Endpoint&, engine::Backend&, multipath::TimePoint) {
          settled = link_->dialled->is_settled();
          if (!link_->dialled->has_heard()) error = link_->dialled->dial_error();
          refused_ = link_->dialled->is_refused();
          return link_->dialled->has_heard();
        });
    const multipath::TimePoint now = engine::steady_now();
    if (!connected) {
      if (refused_) return error;
      if (now - began_ <= patience_) return std::unique_ptr<Connection>();
      return Status(
          error.code(),
          fmt::format("no connection within {} ms (WEFT_CONNECT_TIMEOUT_MS); the last attempt said: {}",
                      patience_.count(), error.message()));
    }
    if (!first_path_at_) first_path_at_ = now;
    if (!settled && now - *first_path_at_ < kMostWaitForOthers) return std::unique_ptr<Connection>();
    return std::unique_ptr<Connection>(std::make_unique<FabricConnection>(fabric_, std::move(link_)));
  }

 private:
  std::shared_ptr<Fabric> fabric_;
  std::shared_ptr<FabricLink> link_;
  const std::chrono::milliseconds patience_;
  multipath::TimePoint began_;
  std::optional<multipath::TimePoint> first_path_at_;
  bool refused_ = false;
};

struct PlannedPlanes {
  tcp::DialledPlan plan;
  std::vector<std::byte> endpoints;  // kPlaneEndpointsOption
};

// Every plane a pair of ports, with the paths' routes, and what both ends have to know of them.
PlannedPlanes plan_planes(const Fabric& fabric, const DialledCarrier& carrier,
                          const tcp::ListenerAddress& listener) {
  std::vector<tcp::Endpoint> remote;
  std::vector<std::byte> remote_index;
  for (std::size_t i = 0; i < listener.endpoints.size(); ++i) {
    if ((listener.endpoints[i].carriers & carrier.bit) == 0) continue;
    remote.push_back(listener.endpoints[i]);
    remote_index.push_back(static_cast<std::byte>(i));
  }
  std::vector<PairedRoute> pairs = pair_routes(fabric, carrier.interfaces, remote);
  std::vector<tcp::PathRoute> routes;
  for (const PairedRoute& pair : pairs) routes.push_back(pair.route);
  const bool one_is_enough = carrier.transport->sprays() || stay_within_host(fabric, routes);
  const PathPlan paths = plan_paths(fabric.config(), pairs.size(), one_is_enough);
  pairs.resize(paths.planes);
  PlannedPlanes planned;
  for (const PairedRoute& pair : pairs) {
    planned.plan.ports.push_back(pair.local);
    planned.plan.routes.insert(planned.plan.routes.end(), paths.per_plane, pair.route);
    planned.endpoints.push_back(remote_index[pair.remote]);
  }
  planned.plan.paths = planned.plan.routes.size();
  return planned;
}

}  // namespace

Result<std::unique_ptr<Connector>> connect_dialled(const std::shared_ptr<Fabric>& fabric,
                                                   const DialledCarrier& carrier,
                                                   const tcp::ListenerAddress& listener,
                                                   std::chrono::milliseconds patience) {
  if (!carrier.transport) return Status(StatusCode::kUnreachable, carrier.why_not);
  const char* const name = carrier.transport->name();
  const bool offered =
      std::any_of(listener.endpoints.begin(), listener.endpoints.end(),
                  [&](const tcp::Endpoint& endpoint) { return (endpoint.carriers & carrier.bit) != 0; });
  if (!offered) {
    return Status(
        StatusCode::kUnreachable,
        fmt::format("the listener has no {} port in use; its log says why (WEFT_DEBUG=INFO there)", name));
  }
  PlannedPlanes planned = plan_planes(*fabric, carrier, listener);
  tcp::DialledPlan& plan = planned.plan;
  if (plan.paths == 0) {
    return Status(
        StatusCode::kUnreachable,
        fmt::format("no {} port of this side reaches one of the listener's: {}", name,
                    tcp::explain_no_pair(networks(carrier.interfaces), networks(listener.endpoints))));
  }
  tcp::Hello& hello = plan.dialing.hello;
  plan.dialing.secret = fabric->secret();
  plan.dialing.attempt_timeout = kPathAttemptTimeout;
  hello.listener_id = listener.listener_id;
  randombytes_buf(hello.connection_id.data(), hello.connection_id.size());
  hello.total_paths = static_cast<std::uint8_t>(plan.paths);
  hello.parameters = offered_parameters(fabric->config());
  hello.endpoints = fabric->endpoints();
  hello.options.push_back({kPlanesOption, {static_cast<std::byte>(plan.ports.size())}});
  hello.options.push_back({kPlaneEndpointsOption, std::move(planned.endpoints)});
  plan.connection = hello.connection_id;
  const tcp::LinkParameters parameters = hello.parameters;
  auto link = fabric->make_dialled_link(carrier, std::move(plan), parameters);
  if (!link) return link.status();
  return std::unique_ptr<Connector>(std::make_unique<DialledConnector>(fabric, std::move(*link), patience));
}

}  // namespace weft
