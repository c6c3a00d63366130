#include "transport/tcp_connector.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>

#include "transport/fabric_connection.h"
#include "transport/link_settings.h"
#include "transport/routes.h"
#include "transport/tcp/pairing.h"

namespace weft {
namespace {

constexpr auto kAttemptTimeout = std::chrono::seconds(2);  // for the first path of a connection, an address
constexpr auto kOtherPathsWait =
    std::chrono::seconds(1);  // poll() hands the connection out after it in any case
constexpr auto kShortestRedial = std::chrono::milliseconds(500);
constexpr auto kLongestRedial = std::chrono::seconds(5);

// First one path, over whichever pair of interfaces answers; then the others, which the link dials by itself.
class TcpConnector final : public Connector {
 public:
  // `planes`: one route each.
  TcpConnector(std::shared_ptr<Fabric> fabric, std::uint64_t listener, std::vector<tcp::PathRoute> planes,
               std::string why_not_dialled)
      : fabric_(std::move(fabric)),
        planes_(std::move(planes)),
        why_not_dialled_(std::move(why_not_dialled)),
        began_(engine::steady_now()) {
    const PathPlan plan = plan_paths(fabric_->config(), planes_.size(), stay_within_host(*fabric_, planes_));
    planes_.resize(plan.planes);
    for (const tcp::PathRoute& plane : planes_) routes_.insert(routes_.end(), plan.per_plane, plane);
    dialing_.secret = fabric_->secret();
    dialing_.hello.listener_id = listener;
    randombytes_buf(dialing_.hello.connection_id.data(), dialing_.hello.connection_id.size());
    dialing_.hello.total_paths = static_cast<std::uint8_t>(routes_.size());
    dialing_.hello.parameters = offered_parameters(fabric_->config());
    dialing_.hello.endpoints = fabric_->endpoints();
    dialing_.hello.options.push_back({kPlanesOption, {static_cast<std::byte>(planes_.size())}});
    offer_coding(fabric_->config(), dialing_.hello.options);
    dialing_.attempt_timeout = kAttemptTimeout;
  }
  ~TcpConnector() override {
    if (link_) fabric_->retire(link_);
  }

  Result<std::unique_ptr<Connection>> poll() override {
    multipath::TimePoint now = engine::steady_now();
    if (!link_) {
      if (Status status = try_first_path(now); !status) return status;
      if (!link_) return std::unique_ptr<Connection>();
    }
    bool settled = link_->link.with_endpoint([&](multipath::Endpoint&, engine::Backend&,
                                                 multipath::TimePoint) { return link_->tcp->is_settled(); });
    if (!settled && now - first_path_at_ < kOtherPathsWait) return std::unique_ptr<Connection>();
    return std::unique_ptr<Connection>(std::make_unique<FabricConnection>(fabric_, std::move(link_)));
  }

 private:
  std::size_t first_path_of(std::size_t plane) const { return plane * (routes_.size() / planes_.size()); }

  Status try_first_path(multipath::TimePoint now) {
    if (!dial_) {
      if (now - began_ > fabric_->config().connect_timeout) {
        return Status(
            last_error_.code(),
            fmt::format("no connection within {} ms (WEFT_CONNECT_TIMEOUT_MS); the last attempt said: {}",
                        fabric_->config().connect_timeout.count(), last_error_.message()));
      }
      if (now < next_attempt_) return Status::ok();
      dialing_.hello.purpose = tcp::PathPurpose::kFirstPath;
      std::size_t plane = attempt_ % planes_.size();
      path_ = static_cast<multipath::PathId>(first_path_of(plane));
      incarnation_ = static_cast<multipath::Incarnation>(++attempt_);
      dial_began_ = now;
      dial_ = std::make_unique<tcp::Dial>(planes_[plane], dialing_, path_, incarnation_, now);
    }
    tcp::DialState state = dial_->step(now);
    if (state == tcp::DialState::kPending) return Status::ok();
    std::unique_ptr<tcp::Dial> dial = std::move(dial_);
    if (state == tcp::DialState::kFailed) {
      last_error_ = dial->error();
      tcp::log_failed_dial(*dial, *fabric_->log());
      if (dial->is_refused()) return last_error_;
      next_attempt_ = now + std::chrono::milliseconds(attempt_ % planes_.size() == 0 ? 20 : 0);
      return Status::ok();
    }
    return begin_link(*dial, now);
  }

  Status begin_link(tcp::Dial& dial, multipath::TimePoint now) {
    // A fresh dial may take a few round trips; a far peer's are longer than a near one's.
    multipath::Duration redial =
        std::clamp<multipath::Duration>(8 * (now - dial_began_), kShortestRedial, kLongestRedial);
    dialing_.attempt_timeout = redial;
    dialing_.hello.purpose = tcp::PathPurpose::kAdditionalPath;
    dialing_.hello.parameters = dial.welcome().parameters;
    auto made =
        fabric_->make_link(dialing_.hello.connection_id, true, routes_.size(), planes_.size(), routes_,
                           dialing_, dial.welcome().parameters, offered_coding(dial.welcome().options));
    if (!made) return made.status();
    link_ = std::move(*made);
    link_->why_not_dialled = std::move(why_not_dialled_);
    first_path_at_ = now;
    link_->link.with_endpoint([&](multipath::Endpoint& endpoint, engine::Backend&, multipath::TimePoint at) {
      return link_->tcp->adopt(path_, incarnation_, dial.take_socket(),
                               routes_[multipath::index(path_)].local.name, endpoint, at);
    });
    return Status::ok();
  }

  std::shared_ptr<Fabric> fabric_;
  std::vector<tcp::PathRoute> planes_;  // one route a plane
  std::vector<tcp::PathRoute> routes_;  // one a path
  std::string why_not_dialled_;
  tcp::DialSettings dialing_;
  multipath::TimePoint began_, dial_began_, next_attempt_{}, first_path_at_{};
  std::size_t attempt_ = 0;
  multipath::PathId path_{};
  multipath::Incarnation incarnation_{};
  std::unique_ptr<tcp::Dial> dial_;
  Status last_error_{StatusCode::kUnreachable, "there was none"};
  std::shared_ptr<FabricLink> link_;
};

}  // namespace

Result<std::unique_ptr<Connector>> connect_by_tcp(const std::shared_ptr<Fabric>& fabric,
                                                  const tcp::ListenerAddress& listener,
                                                  std::string why_not_dialled) {
  std::vector<tcp::Endpoint> remote;
  for (const tcp::Endpoint& endpoint : listener.endpoints)
    if ((endpoint.carriers & tcp::kByTcp) != 0) remote.push_back(endpoint);
  if (remote.empty()) {
    return Status(
        StatusCode::kUnreachable,
        "the listener takes no connections by TCP (WEFT_TRANSPORT there names another transport), and this "
        "side has nothing else that reaches it; run both sides with the same WEFT_TRANSPORT");
  }
  std::vector<tcp::PathRoute> planes;
  for (PairedRoute& paired : pair_routes(*fabric, fabric->interfaces(), remote))
    planes.push_back(std::move(paired.route));
  if (planes.empty()) {
    return Status(StatusCode::kUnreachable,
                  tcp::explain_no_pair(networks(fabric->interfaces()), networks(remote)));
  }
  return std::unique_ptr<Connector>(std::make_unique<TcpConnector>(
      fabric, listener.listener_id, std::move(planes), std::move(why_not_dialled)));
}

}  // namespace weft
