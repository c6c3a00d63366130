// The process's links, listeners and housekeeping: what stands behind weft::Context. This is where
// backends are made and handed to the engine; nothing registers itself.
//
// Threads: `mutex_` guards the registries and is never held while a link's lock is taken on the data path;
// `acceptor_mutex_` guards the acceptor. Order: acceptor, registry, link.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "transport/engine/link.h"
#include "transport/engine/log.h"
#include "transport/engine/statistics.h"
#include "transport/engine/statistics_file.h"
#include "transport/link_settings.h"
#include "transport/process/own_descriptor.h"
#include "transport/tcp/acceptor.h"
#include "transport/tcp/dialled_transport.h"
#include "transport/tcp/link_backend.h"
#include "weft/context.h"

namespace weft {

// Handshake option: one byte, the number of planes over which the connection's paths are dealt evenly.
inline constexpr std::uint16_t kPlanesOption = 1;
// Handshake option of paths that do not run over TCP: for each plane of the connection a byte, the number of
// the listener's endpoint to which it leads, in the listener's order. So the accepting end knows from the
// first path on to which ports a receive has to be announced. (Types ascend in a HELLO, and a backend puts
// its own behind.)
inline constexpr std::uint16_t kPlaneEndpointsOption = 2;

// A transport besides TCP, or why this process has none of its kind.
struct DialledCarrier {
  TransportChoice choice{};  // by which a user asks for it
  std::uint8_t bit = 0;      // of tcp::Endpoint::carriers
  std::unique_ptr<tcp::DialledTransport> transport;
  std::string why_not;
  std::vector<tcp::InterfaceAddress> interfaces;  // over which its paths are dialled, as transport->ports()
};

// A link and its backend, which `link` owns and which is used under its lock: `dialled` where there is a
// carrier, else `tcp`; the other is null.
struct FabricLink {
  FabricLink(tcp::ConnectionId name, bool dials, const multipath::EndpointConfig& config,
             std::unique_ptr<tcp::LinkBackend> backend, std::shared_ptr<const engine::Log> log)
      : id(name),
        connects(dials),
        tcp(backend.get()),
        paths(config.path_planes.size()),
        link(config, std::move(backend), std::move(log)) {}
  FabricLink(tcp::ConnectionId name, bool dials, const DialledCarrier& by,
             const multipath::EndpointConfig& config, std::unique_ptr<tcp::DialledBackend> backend,
             std::shared_ptr<const engine::Log> log)
      : id(name),
        connects(dials),
        carrier(&by),
        dialled(backend.get()),
        paths(config.path_planes.size()),
        link(config, std::move(backend), std::move(log)) {}
  const tcp::ConnectionId id;
  const bool connects;
  const DialledCarrier* const carrier = nullptr;
  tcp::LinkBackend* const tcp = nullptr;
  tcp::DialledBackend* const dialled = nullptr;
  const std::size_t paths;
  // Where another transport was there too: why this link does not take it, as far as this end knows.
  std::string why_not_dialled;
  engine::Link link;
};

// The interfaces that a configuration takes of those that this host has.
struct ChosenInterfaces {
  std::vector<tcp::InterfaceAddress> taken;
  std::vector<tcp::InterfaceAddress> all;
};
Result<ChosenInterfaces> choose_interfaces(const Config& config);

class Fabric final : public tcp::AcceptVisitor {
 public:
  static Result<std::shared_ptr<Fabric>> create(const Config& config, LogSink log);
  ~Fabric() override;
  // Ends housekeeping, after links that are being closed have told their peers, or a second. In a forked
  // child this and every other way to end something do nothing: threads, locks and connections are the
  // parent's.
  void stop();

  const Config& config() const { return config_; }
  const std::vector<Device>& devices() const { return devices_; }
  const std::vector<tcp::InterfaceAddress>& interfaces() const { return interfaces_; }
  const std::vector<tcp::InterfaceAddress>& host_addresses() const { return host_addresses_; }
  // All those on which this process can be reached, for whatever transport.
  const std::vector<tcp::InterfaceAddress>& doors() const { return doors_; }
  // Where we can be reached, and for what.
  const std::vector<tcp::Endpoint>& endpoints() const { return endpoints_; }
  // The transports besides TCP, the preferred one first.
  const std::vector<DialledCarrier>& dialled() const { return dialled_; }
  // Which transport connections take, and why, in words.
  const std::string& transport() const { return transport_; }
  const std::shared_ptr<const tcp::HandshakeSecret>& secret() const { return secret_; }
  const std::shared_ptr<const engine::Log>& log() const { return log_; }
  std::string statistics_json() const;

  // Listeners.
  std::uint64_t open_listener();
  void close_listener(std::uint64_t listener);
  std::shared_ptr<FabricLink> take_accepted(std::uint64_t listener);
  void step_acceptor();

  std::unique_ptr<LastingMemory> promise_memory(const void* data, std::size_t bytes);
  const DeviceMemorySupport& device_memory() const { return device_memory_; }
  Result<std::unique_ptr<LastingMemory>> promise_device_memory(const void* data, std::size_t bytes,
                                                               int dmabuf, std::uint64_t offset);

  // Links.
  // `connects`: this end dials; the other is found by who knocks. `peers_coding`: the version of coded slots
  // that the other end offers. kResourceExhausted: no descriptor is free.
  Result<std::shared_ptr<FabricLink>> make_link(const tcp::ConnectionId& id, bool connects, std::size_t paths,
                                                std::size_t planes, std::vector<tcp::PathRoute> routes,
                                                const tcp::DialSettings& dialing,
                                                const tcp::LinkParameters& parameters,
                                                std::optional<std::uint8_t> peers_coding);
  // Over another transport, at the connecting end; `plan` without path_planes and checksum.
  Result<std::shared_ptr<FabricLink>> make_dialled_link(const DialledCarrier& carrier, tcp::DialledPlan plan,
                                                        const tcp::LinkParameters& parameters);
  void retire(const std::shared_ptr<FabricLink>& link);

 private:
  using LinkList = std::vector<std::shared_ptr<FabricLink>>;

  Fabric(const Config& config, LogSink log);
  Status open();
  Status find_standby_devices();
  void housekeep();

  std::shared_ptr<FabricLink> add_link(std::shared_ptr<FabricLink> link);
  void deliver(std::uint64_t listener, const std::shared_ptr<FabricLink>& link);

  Verdict judge(const tcp::Hello& hello, const tcp::IpAddress& from) override;
  // `link` is null where this path would be the first of its connection.
  void judge_path(const tcp::Hello& hello, const tcp::IpAddress& from,
                  const std::shared_ptr<FabricLink>& link, Verdict& verdict);
  void welcome(const tcp::Hello& hello, const std::string& device, tcp::Socket socket) override;

  void forget_threads();

  // fabric_dialled.cc
  using Opened = Result<std::unique_ptr<tcp::DialledTransport>>;
  Status open_dialled();
  Status add_mrc();
  void drop_partial_mrc();
  void warn_of_compression() const;
  Status find_device_memory();
  Status add_dialled(TransportChoice choice, std::uint8_t bit, Opened opened);
  std::string describe_transports() const;
  void mark_endpoints();
  const DialledCarrier* carrier_of(const tcp::Hello& hello) const;
  LinkSettings dialled_settings(const DialledCarrier& carrier, const tcp::LinkParameters& agreed,
                                bool connects, tcp::DialledPlan& plan) const;
  Status plan_accepted(const DialledCarrier& carrier, const tcp::Hello& hello, tcp::DialledPlan& plan) const;
  void prepare_dialled(const DialledCarrier& carrier, const tcp::Hello& hello, const tcp::IpAddress& from,
                       std::shared_ptr<FabricLink> link, Verdict& verdict);
  void step_awaited();

  // Links at whose accepting end we are, and of which no path has spoken yet. Such a path serves before its
  // peer is known to be there, so these are not handed out.
  struct Awaited {
    std::shared_ptr<FabricLink> link;
    std::uint64_t listener = 0;
    multipath::TimePoint until{};
  };

  const process::Birthplace birthplace_;
  const Config config_;
  const std::shared_ptr<const engine::Log> log_;
  std::vector<DialledCarrier> dialled_;  // constant after open(), for links refer to it; outlives them
  std::string transport_;
  DeviceMemorySupport device_memory_;
  std::vector<tcp::Endpoint> endpoints_;  // those for which an Address has room first
  std::shared_ptr<const tcp::HandshakeSecret> secret_;
  std::vector<tcp::InterfaceAddress> host_addresses_;
  std::vector<tcp::InterfaceAddress> interfaces_;
  std::vector<tcp::InterfaceAddress> doors_;
  std::vector<Device> devices_;

  std::mutex acceptor_mutex_;
  std::unique_ptr<tcp::Acceptor> acceptor_;
  std::vector<Awaited> awaited_;  // as the acceptor: under its mutex

  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::deque<std::shared_ptr<FabricLink>>> listeners_;
  LinkList links_;  // all, those that are being closed included
  // Those at whose accepting end we are, to be found by who knocks. Both ends may be in this process, under
  // one id.
  std::map<tcp::ConnectionId, std::shared_ptr<FabricLink>> accepted_;
  LinkList closing_;
  std::deque<engine::NamedConnection> closed_statistics_;
  engine::StatisticsTotals closed_totals_;
  bool links_changed_ = false;

  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread housekeeper_;
  std::unique_ptr<engine::StatisticsWriter> statistics_writer_;  // reads the above until it is gone
};

}  // namespace weft
