// weft::Context and what it hands out, over a Fabric.
#include "weft/context.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "transport/asking_connector.h"
#include "transport/dialled_connector.h"
#include "transport/fabric.h"
#include "transport/fabric_connection.h"
#include "transport/tcp/address_codec.h"
#include "transport/tcp_connector.h"

namespace weft {
namespace {

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

// Before another transport is tried, where the user leaves the choice to Weft.
constexpr std::chrono::milliseconds kPatienceWithChoice = std::chrono::seconds(5);

// Addresses tell who should reach whom. Where nothing comes by a transport nevertheless, as when a router
// lets no RoCE packets through, TCP is what is left.
class FallingBackConnector final : public Connector {
 public:
  FallingBackConnector(std::shared_ptr<Fabric> fabric, std::unique_ptr<Connector> first, std::string name,
                       tcp::ListenerAddress listener)
      : fabric_(std::move(fabric)),
        connector_(std::move(first)),
        name_(std::move(name)),
        listener_(std::move(listener)) {}

  Result<std::unique_ptr<Connection>> poll() override {
    auto connection = connector_->poll();
    if (connection || has_fallen_back_ || connection.status().code() != StatusCode::kUnreachable)
      return connection;
    has_fallen_back_ = true;
    (*fabric_->log())(
        LogLevel::kWarn,
        fmt::format("this connection goes over TCP, not {}: {} (WEFT_TRANSPORT=tcp saves the wait)", name_,
                    connection.status().message()));
    auto second = connect_by_tcp(fabric_, listener_, connection.status().message());
    if (!second) return second.status();
    connector_ = std::move(*second);
    return std::unique_ptr<Connection>();
  }

 private:
  std::shared_ptr<Fabric> fabric_;
  std::unique_ptr<Connector> connector_;
  std::string name_;
  tcp::ListenerAddress listener_;
  bool has_fallen_back_ = false;
};

// The first transport by which there is a way, of those that the user allows.
Result<std::unique_ptr<Connector>> connect_by_best(const std::shared_ptr<Fabric>& fabric,
                                                   const tcp::ListenerAddress& listener) {
  const TransportChoice wanted = fabric->config().transport;
  const std::chrono::milliseconds limit = fabric->config().connect_timeout;
  Status not_as_wanted;
  std::string why_not_dialled;
  for (const DialledCarrier& carrier : fabric->dialled()) {
    const bool named = wanted == carrier.choice;
    auto connector =
        connect_dialled(fabric, carrier, listener, named ? limit : std::min(limit / 2, kPatienceWithChoice));
    if (named && connector) return connector;
    if (named) not_as_wanted = connector.status();
    if (connector) {
      return std::unique_ptr<Connector>(std::make_unique<FallingBackConnector>(
          fabric, std::move(*connector), carrier.transport->name(), listener));
    }
    if (carrier.transport) {
      why_not_dialled += (why_not_dialled.empty() ? "not " : "; not ") +
                         std::string(carrier.transport->name()) + ": " + connector.status().message();
    }
    if (carrier.transport && fabric->log()->wants(LogLevel::kInfo)) {
      (*fabric->log())(LogLevel::kInfo, fmt::format("not {} for this connection: {}",
                                                    carrier.transport->name(), connector.status().message()));
    }
  }
  if (!not_as_wanted) return not_as_wanted;
  return connect_by_tcp(fabric, listener, why_not_dialled);
}

class FabricContext final : public Context {
 public:
  explicit FabricContext(std::shared_ptr<Fabric> fabric) : fabric_(std::move(fabric)) {}
  ~FabricContext() override { fabric_->stop(); }

  const Config& config() const override { return fabric_->config(); }
  const std::vector<Device>& devices() const override { return fabric_->devices(); }
  const std::string& transport() const override { return fabric_->transport(); }
  std::unique_ptr<LastingMemory> promise_memory(const void* data, std::size_t bytes) override {
    return fabric_->promise_memory(data, bytes);
  }
  const DeviceMemorySupport& device_memory() const override { return fabric_->device_memory(); }
  Result<std::unique_ptr<LastingMemory>> promise_device_memory(const void* data, std::size_t bytes,
                                                               int dmabuf, std::uint64_t offset) override {
    return fabric_->promise_device_memory(data, bytes, dmabuf, offset);
  }
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
    if (listener->left_out == 0) return connect_by_best(fabric_, *listener);
    return ask_and_connect(fabric_, *listener, [fabric = fabric_](const tcp::ListenerAddress& whole) {
      return connect_by_best(fabric, whole);
    });
  }

 private:
  std::shared_ptr<Fabric> fabric_;
};

}  // namespace

Status Context::check(const Config& config) {
  if (Status valid = config.validate(); !valid) return valid;
  if (config.transport != TransportChoice::kVerbs) {
    if (auto chosen = choose_interfaces(config); !chosen) return chosen.status();
  }
  if (config.stats_file.empty()) return Status::ok();
  return engine::StatisticsFile::open(config.stats_file).status();
}

Result<std::unique_ptr<Context>> Context::create(const Config& config, LogSink log) {
  auto fabric = Fabric::create(config, std::move(log));
  if (!fabric) return fabric.status();
  return std::unique_ptr<Context>(std::make_unique<FabricContext>(std::move(*fabric)));
}

}  // namespace weft
