#include "transport/asking_connector.h"

#include <fmt/format.h>
#include <sodium.h>

#include "transport/link_settings.h"
#include "transport/routes.h"
#include "transport/tcp/pairing.h"

namespace weft {
namespace {

constexpr auto kAskTimeout = std::chrono::seconds(2);
constexpr auto kPauseAfterAll = std::chrono::milliseconds(20);

class AskingConnector final : public Connector {
 public:
  AskingConnector(std::shared_ptr<Fabric> fabric, tcp::ListenerAddress listener,
                  std::vector<PairedRoute> routes, ConnectTo connect)
      : fabric_(std::move(fabric)),
        listener_(std::move(listener)),
        routes_(std::move(routes)),
        connect_(std::move(connect)),
        began_(engine::steady_now()) {
    dialing_.secret = fabric_->secret();
    dialing_.hello.purpose = tcp::PathPurpose::kAskEndpoints;
    dialing_.hello.listener_id = listener_.listener_id;
    randombytes_buf(dialing_.hello.connection_id.data(), dialing_.hello.connection_id.size());
    dialing_.hello.total_paths = 1;
    dialing_.hello.parameters = offered_parameters(fabric_->config());
    dialing_.hello.endpoints = fabric_->endpoints();
    dialing_.attempt_timeout = kAskTimeout;
  }

  Result<std::unique_ptr<Connection>> poll() override {
    if (!connector_) {
      if (Status asked = ask(engine::steady_now()); !asked) return asked;
      if (!connector_) return std::unique_ptr<Connection>();
    }
    return connector_->poll();
  }

 private:
  Status ask(multipath::TimePoint now) {
    if (!dial_) {
      if (now - began_ > fabric_->config().connect_timeout) {
        return Status(
            last_error_.code(),
            fmt::format("no connection within {} ms (WEFT_CONNECT_TIMEOUT_MS); the last attempt said: {}",
                        fabric_->config().connect_timeout.count(), last_error_.message()));
      }
      if (now < next_attempt_) return Status::ok();
      const PairedRoute& paired = routes_[attempt_ % routes_.size()];
      dial_ = std::make_unique<tcp::Dial>(paired.route, dialing_, multipath::PathId{},
                                          static_cast<multipath::Incarnation>(++attempt_), now);
    }
    const tcp::DialState state = dial_->step(now);
    if (state == tcp::DialState::kPending) return Status::ok();
    std::unique_ptr<tcp::Dial> dial = std::move(dial_);
    if (state == tcp::DialState::kFailed) {
      last_error_ = dial->error();
      tcp::log_failed_dial(*dial, *fabric_->log());
      if (dial->is_refused()) return last_error_;
      if (attempt_ % routes_.size() == 0) next_attempt_ = now + kPauseAfterAll;
      return Status::ok();
    }
    return go_on(dial->welcome());
  }

  // The peer's word is within the limits of handshake_message.h, and pairing takes nothing that our own
  // interfaces do not go with.
  Status go_on(const tcp::Welcome& welcome) {
    if (welcome.endpoints.size() > listener_.endpoints.size()) listener_.endpoints = welcome.endpoints;
    listener_.left_out = 0;
    auto connector = connect_(listener_);
    if (!connector) return connector.status();
    connector_ = std::move(*connector);
    return Status::ok();
  }

  std::shared_ptr<Fabric> fabric_;
  tcp::ListenerAddress listener_;
  std::vector<PairedRoute> routes_;
  ConnectTo connect_;
  tcp::DialSettings dialing_;
  multipath::TimePoint began_, next_attempt_{};
  std::size_t attempt_ = 0;
  std::unique_ptr<tcp::Dial> dial_;
  Status last_error_{StatusCode::kUnreachable, "there was none"};
  std::unique_ptr<Connector> connector_;
};

}  // namespace

Result<std::unique_ptr<Connector>> ask_and_connect(const std::shared_ptr<Fabric>& fabric,
                                                   const tcp::ListenerAddress& listener, ConnectTo connect) {
  std::vector<PairedRoute> routes = pair_routes(*fabric, fabric->doors(), listener.endpoints);
  if (routes.empty()) {
    return Status(StatusCode::kUnreachable,
                  tcp::explain_no_pair(networks(fabric->doors()), networks(listener.endpoints)));
  }
  return std::unique_ptr<Connector>(
      std::make_unique<AskingConnector>(fabric, listener, std::move(routes), std::move(connect)));
}

}  // namespace weft
