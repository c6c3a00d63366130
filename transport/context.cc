// weft::Context and what it hands out, over a Fabric.
#include "weft/context.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>

#include "transport/fabric.h"
#include "transport/link_settings.h"
#include "transport/tcp/address_codec.h"
#include "transport/tcp/pairing.h"

namespace weft {
namespace {

constexpr auto kAttemptTimeout = std::chrono::seconds(2);  // for the first path of a connection, an address
constexpr auto kOtherPathsWait =
    std::chrono::seconds(1);  // poll() hands the connection out after it in any case
constexpr auto kShortestRedial = std::chrono::milliseconds(500);
constexpr auto kLongestRedial = std::chrono::seconds(5);

class FabricConnection final : public Connection {
 public:
  FabricConnection(std::shared_ptr<Fabric> fabric, std::shared_ptr<TcpLink> link)
      : fabric_(std::move(fabric)), link_(std::move(link)) {}
  ~FabricConnection() override { fabric_->retire(link_); }

  RequestId post_send(const void* data, std::size_t bytes, std::uint32_t tag) override {
    return link_->link.post_send(data, bytes, tag);
  }
  RequestId post_receive(void* data, std::size_t capacity, std::uint32_t tag) override {
    return link_->link.post_receive(data, capacity, tag);
  }
  bool has_receive_room(std::size_t count) const override { return link_->link.has_receive_room(count); }
  Completion test(RequestId request) override { return link_->link.test(request); }
  void progress() override { link_->link.progress(); }
  Status error() const override { return link_->link.error(); }
  ConnectionStatistics statistics() const override { return link_->link.statistics(); }
  Status cut_path(int path) override { return link_->link.cut_path(path); }

 private:
  std::shared_ptr<Fabric> fabric_;
  std::shared_ptr<TcpLink> link_;
};

class FabricListener final : public Listener {
 public:
  FabricListener(std::shared_ptr<Fabric> fabric, std::uint64_t id, const Address& address)
      : fabric_(std::move(fabric)), id_(id), address_(address) {}
  ~FabricListener() override { fabric_->close_listener(id_); }

  const Address& address() const override { return address_; }
  Result<std::unique_ptr<Connection>> accept() override {
    fabric_->step_acceptor();
    std::unique_ptr<Connection> connection;
    if (auto link = fabric_->take_accepted(id_)) {
      connection = std::make_unique<FabricConnection>(fabric_, std::move(link));
    }
    return connection;
  }

 private:
  std::shared_ptr<Fabric> fabric_;
  std::uint64_t id_;
  Address address_;
};

std::vector<tcp::NetworkAddress> networks(const std::vector<tcp::InterfaceAddress>& interfaces) {
  std::vector<tcp::NetworkAddress> result;
  for (const auto& one : interfaces) result.push_back({one.address, one.prefix_length});
  return result;
}

std::vector<tcp::NetworkAddress> networks(const std::vector<tcp::Endpoint>& endpoints) {
  std::vector<tcp::NetworkAddress> result;
  for (const auto& one : endpoints) result.push_back({one.address, one.prefix_length});
  return result;
}

// One route a plane. Empty where no address of ours goes with one of theirs.
std::vector<tcp::PathRoute> pair_planes(const Fabric& fabric, const std::vector<tcp::Endpoint>& endpoints) {
  std::vector<tcp::PathRoute> planes;
  for (const tcp::AddressPair& pair :
       tcp::pair_addresses(networks(fabric.interfaces()), networks(endpoints))) {
    tcp::PathRoute route;
    route.local = fabric.interfaces()[static_cast<std::size_t>(pair.local)];
    route.remote = endpoints[static_cast<std::size_t>(pair.remote)];
    route.bind_to_device =
        tcp::should_bind_to_device(route.local, route.remote.address, fabric.host_addresses());
    route.plane = static_cast<std::uint8_t>(planes.size());
    planes.push_back(std::move(route));
  }
  return planes;
}

// First one path, over whichever pair of interfaces answers; then the others, which the link dials by itself.
// Before that, where the address could not hold all of the listener's endpoints, they are asked for: how many
// planes there are must be known when the first path is dialled.
class FabricConnector final : public Connector {
 public:
  FabricConnector(std::shared_ptr<Fabric> fabric, const tcp::ListenerAddress& listener,
                  std::vector<tcp::PathRoute> planes)
      : fabric_(std::move(fabric)), asks_endpoints_(listener.left_out != 0), began_(engine::steady_now()) {
    dialing_.secret = fabric_->secret();
    dialing_.hello.listener_id = listener.listener_id;
    randombytes_buf(dialing_.hello.connection_id.data(), dialing_.hello.connection_id.size());
    dialing_.hello.parameters = offered_parameters(fabric_->config());
    dialing_.hello.endpoints = fabric_->endpoints();
    dialing_.attempt_timeout = kAttemptTimeout;
    use_planes(std::move(planes));
  }
  ~FabricConnector() override {
    if (link_) fabric_->retire(link_);
  }

  Result<std::unique_ptr<Connection>> poll() override {
    multipath::TimePoint now = engine::steady_now();
    if (!link_) {
      if (Status status = try_first_path(now); !status) return status;
      if (!link_) return std::unique_ptr<Connection>();
    }
    bool settled =
        link_->link.with_endpoint([&](multipath::Endpoint&, engine::Backend&, multipath::TimePoint) {
          return link_->backend->is_settled();
        });
    if (!settled && now - first_path_at_ < kOtherPathsWait) return std::unique_ptr<Connection>();
    return std::unique_ptr<Connection>(std::make_unique<FabricConnection>(fabric_, std::move(link_)));
  }

 private:
  void use_planes(std::vector<tcp::PathRoute> planes) {
    planes_ = std::move(planes);
    const PathPlan plan = plan_paths(fabric_->config(), planes_.size(), stays_within_host());
    planes_.resize(plan.planes);
    routes_.clear();
    for (const tcp::PathRoute& plane : planes_) routes_.insert(routes_.end(), plan.per_plane, plane);
    dialing_.hello.total_paths = static_cast<std::uint8_t>(routes_.size());
    dialing_.hello.options = {{kPlanesOption, {static_cast<std::byte>(planes_.size())}}};
  }
  // The peer's word is within the limits of handshake_message.h, and pairing takes nothing that our own
  // interfaces do not go with.
  void learn_endpoints(const tcp::Welcome& welcome) {
    asks_endpoints_ = false;
    std::vector<tcp::PathRoute> planes = pair_planes(*fabric_, welcome.endpoints);
    if (planes.size() > planes_.size()) use_planes(std::move(planes));
  }
  bool stays_within_host() const {
    return std::all_of(planes_.begin(), planes_.end(), [this](const tcp::PathRoute& plane) {
      return tcp::is_address_of_host(plane.remote.address, fabric_->host_addresses());
    });
  }
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
      dialing_.hello.purpose =
          asks_endpoints_ ? tcp::PathPurpose::kAskEndpoints : tcp::PathPurpose::kFirstPath;
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
    if (asks_endpoints_) {
      learn_endpoints(dial->welcome());
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
    auto made = fabric_->make_link(dialing_.hello.connection_id, true, routes_.size(), planes_.size(),
                                   routes_, dialing_, dial.welcome().parameters);
    if (!made) return made.status();
    link_ = std::move(*made);
    first_path_at_ = now;
    link_->link.with_endpoint([&](multipath::Endpoint& endpoint, engine::Backend&, multipath::TimePoint at) {
      return link_->backend->adopt(path_, incarnation_, dial.take_socket(),
                                   routes_[multipath::index(path_)].local.name, endpoint, at);
    });
    return Status::ok();
  }

  std::shared_ptr<Fabric> fabric_;
  bool asks_endpoints_;
  std::vector<tcp::PathRoute> planes_;  // one route a plane
  std::vector<tcp::PathRoute> routes_;  // one a path
  tcp::DialSettings dialing_;
  multipath::TimePoint began_, dial_began_, next_attempt_{}, first_path_at_{};
  std::size_t attempt_ = 0;
  multipath::PathId path_{};
  multipath::Incarnation incarnation_{};
  std::unique_ptr<tcp::Dial> dial_;
  Status last_error_{StatusCode::kUnreachable, "there was none"};
  std::shared_ptr<TcpLink> link_;
};

class FabricContext final : public Context {
 public:
  explicit FabricContext(std::shared_ptr<Fabric> fabric) : fabric_(std::move(fabric)) {}
  ~FabricContext() override { fabric_->stop(); }

  const Config& config() const override { return fabric_->config(); }
  const std::vector<Device>& devices() const override { return fabric_->devices(); }
  std::string statistics_json() const override { return fabric_->statistics_json(); }

  Result<std::unique_ptr<Listener>> listen() override {
    std::uint64_t id = fabric_->open_listener();
    auto address = tcp::encode_address(id, fabric_->endpoints());
    if (!address) {
      fabric_->close_listener(id);
      return address.status();
    }
    return std::unique_ptr<Listener>(std::make_unique<FabricListener>(fabric_, id, *address));
  }

  Result<std::unique_ptr<Connector>> connect(const Address& address) override {
    auto listener = tcp::decode_address(address);
    if (!listener) return listener.status();
    std::vector<tcp::PathRoute> planes = pair_planes(*fabric_, listener->endpoints);
    if (planes.empty()) {
      return Status(StatusCode::kUnreachable,
                    tcp::explain_no_pair(networks(fabric_->interfaces()), networks(listener->endpoints)));
    }
    return std::unique_ptr<Connector>(
        std::make_unique<FabricConnector>(fabric_, *listener, std::move(planes)));
  }

 private:
  std::shared_ptr<Fabric> fabric_;
};

}  // namespace

Status Context::check(const Config& config) {
  if (Status valid = config.validate(); !valid) return valid;
  if (auto chosen = choose_interfaces(config); !chosen) return chosen.status();
  if (config.stats_file.empty()) return Status::ok();
  return engine::StatisticsFile::open(config.stats_file).status();
}

Result<std::unique_ptr<Context>> Context::create(const Config& config, LogSink log) {
  auto fabric = Fabric::create(config, std::move(log));
  if (!fabric) return fabric.status();
  return std::unique_ptr<Context>(std::make_unique<FabricContext>(std::move(*fabric)));
}

}  // namespace weft
