// The process's links, listeners and housekeeping, over TCP: what stands behind weft::Context. This is where
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
#include "transport/process/own_descriptor.h"
#include "transport/tcp/acceptor.h"
#include "transport/tcp/link_backend.h"
#include "weft/context.h"

namespace weft {

// Handshake option: one byte, the number of planes over which the connection's paths are dealt evenly.
inline constexpr std::uint16_t kPlanesOption = 1;

struct TcpLink {
  TcpLink(tcp::ConnectionId name, bool dials, const multipath::EndpointConfig& config,
          std::unique_ptr<tcp::LinkBackend> tcp, std::shared_ptr<const engine::Log> log)
      : id(name),
        connects(dials),
        backend(tcp.get()),
        paths(config.path_planes.size()),
        link(config, std::move(tcp), std::move(log)) {}
  const tcp::ConnectionId id;
  const bool connects;
  tcp::LinkBackend* const backend;  // owned by `link`; used under its lock
  const std::size_t paths;
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
  const std::vector<tcp::Endpoint>& endpoints() const { return acceptor_->endpoints(); }
  const std::shared_ptr<const tcp::HandshakeSecret>& secret() const { return secret_; }
  const std::shared_ptr<const engine::Log>& log() const { return log_; }
  std::string statistics_json() const;

  // Listeners.
  std::uint64_t open_listener();
  void close_listener(std::uint64_t listener);
  std::shared_ptr<TcpLink> take_accepted(std::uint64_t listener);
  void step_acceptor();

  // Links.
  // `connects`: this end dials; the other is found by who knocks. kResourceExhausted: no descriptor is free.
  Result<std::shared_ptr<TcpLink>> make_link(const tcp::ConnectionId& id, bool connects, std::size_t paths,
                                             std::size_t planes, std::vector<tcp::PathRoute> routes,
                                             const tcp::DialSettings& dialing,
                                             const tcp::LinkParameters& parameters);
  void retire(const std::shared_ptr<TcpLink>& link);

 private:
  using LinkList = std::vector<std::shared_ptr<TcpLink>>;

  Fabric(const Config& config, LogSink log);
  Status open();
  void housekeep();

  Verdict judge(const tcp::Hello& hello) override;
  void welcome(const tcp::Hello& hello, const std::string& device, tcp::Socket socket) override;

  void forget_threads();

  const process::Birthplace birthplace_;
  const Config config_;
  const std::shared_ptr<const engine::Log> log_;
  std::shared_ptr<const tcp::HandshakeSecret> secret_;
  std::vector<tcp::InterfaceAddress> host_addresses_;
  std::vector<tcp::InterfaceAddress> interfaces_;
  std::vector<Device> devices_;

  std::mutex acceptor_mutex_;
  std::unique_ptr<tcp::Acceptor> acceptor_;

  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::deque<std::shared_ptr<TcpLink>>> listeners_;
  LinkList links_;  // all, those that are being closed included
  // Those at whose accepting end we are, to be found by who knocks. Both ends may be in this process, under
  // one id.
  std::map<tcp::ConnectionId, std::shared_ptr<TcpLink>> accepted_;
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
