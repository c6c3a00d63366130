#include "transport/fabric.h"

#include <fmt/format.h>
#include <sodium.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <set>

#include "transport/engine/device_distance.h"
#include "transport/engine/interface_filter.h"
#include "transport/engine/service_thread.h"
#include "transport/link_settings.h"
#include "transport/tcp/interfaces.h"

namespace weft {
namespace {

constexpr auto kTick = std::chrono::milliseconds(1);
constexpr std::size_t kMaxUnaccepted = 4096;       // a listener (I7)
constexpr std::size_t kMaxClosedStatistics = 256;  // the newest, one by one; all are in the totals
constexpr auto kFarewell = std::chrono::milliseconds(1500);

std::uint64_t random_id() {
  std::uint64_t id = 0;
  randombytes_buf(&id, sizeof id);
  return id;
}

// A connection takes up to max_paths sockets, more than the usual soft limit of 1,024 allows a large job.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

bool uses_tcp(TransportChoice choice) {
  return choice == TransportChoice::kAuto || choice == TransportChoice::kTcp;
}

bool asks_for_carrier(const tcp::Hello& hello) {
  return std::any_of(hello.options.begin(), hello.options.end(),
                     [](const auto& option) { return option.type == kPlaneEndpointsOption; });
}

std::size_t planes_of(const tcp::Hello& hello) {
  for (const tcp::HandshakeOption& option : hello.options)
    if (option.type == kPlanesOption && option.value.size() == 1)
      return static_cast<std::size_t>(option.value[0]);
  return 1;
}

}  // namespace

Result<ChosenInterfaces> choose_interfaces(const Config& config) {
  auto filter = engine::InterfaceFilter::parse(config.interfaces);
  if (!filter) return filter.status();
  auto all = tcp::list_interfaces();
  if (!all) return all.status();
  auto taken = tcp::select_interfaces(*all, *filter, config.address_family);
  if (!taken) return taken.status();
  return ChosenInterfaces{std::move(*taken), std::move(*all)};
}

Fabric::Fabric(const Config& config, LogSink log)
    : config_(config), log_(std::make_shared<const engine::Log>(std::move(log), config.log_level)) {}

Result<std::shared_ptr<Fabric>> Fabric::create(const Config& config, LogSink log) {
  if (Status valid = config.validate(); !valid) return valid;
  if (sodium_init() < 0)
    return Status(StatusCode::kInternal, "libsodium cannot be initialised: no random numbers");
  raise_file_limit();
  std::shared_ptr<Fabric> fabric(new Fabric(config, std::move(log)));
  if (Status opened = fabric->open(); !opened) return opened;
  if (!config.unknown_variables.empty()) {
    (*fabric->log_)(LogLevel::kWarn,
                    fmt::format("without effect, since Weft knows no such variable: {} (docs/environment.md "
                                "lists all that it knows)",
                                fmt::join(config.unknown_variables, ", ")));
  }
  for (const std::string& remark : config.nccl_remarks) (*fabric->log_)(LogLevel::kInfo, remark);
  return fabric;
}

Status Fabric::open() {
  secret_ = std::make_shared<const tcp::HandshakeSecret>(config_.secret);
  if (!uses_tcp(config_.transport)) {
    auto all = tcp::list_interfaces();
    if (!all) return all.status();
    host_addresses_ = std::move(*all);
  } else {
    auto chosen = choose_interfaces(config_);
    if (!chosen) return chosen.status();
    host_addresses_ = std::move(chosen->all);
    interfaces_ = std::move(chosen->taken);
  }
  if (Status opened = open_dialled(); !opened) return opened;
  doors_ = interfaces_;
  const std::vector<tcp::InterfaceAddress>* preferred = nullptr;
  for (const DialledCarrier& carrier : dialled_) {
    if (carrier.transport && preferred == nullptr) preferred = &carrier.interfaces;
    for (const tcp::InterfaceAddress& one : carrier.interfaces) {
      if (std::none_of(doors_.begin(), doors_.end(),
                       [&](const auto& door) { return door.address.same_address(one.address); }))
        doors_.push_back(one);
    }
  }
  if (Status found = find_standby_devices(); !found) return found;
  for (const tcp::InterfaceAddress& one : preferred != nullptr ? *preferred : interfaces_) {
    devices_.push_back({one.name, one.address.to_string(), one.speed_mbps, one.pci_path, one.standby});
  }
  auto acceptor = tcp::Acceptor::open(doors_, secret_, log_);
  if (!acceptor) return acceptor.status();
  acceptor_ = std::move(*acceptor);
  mark_endpoints();

  if (!config_.stats_file.empty()) {
    auto file = engine::StatisticsFile::open(config_.stats_file);
    if (!file) return file.status();
    statistics_writer_ = std::make_unique<engine::StatisticsWriter>(
        std::move(*file), config_.stats_interval, [this] { return statistics_json(); }, log_);
  }
  housekeeper_ = engine::start_service_thread("weft-house", [this] { housekeep(); });
  return Status::ok();
}

Status Fabric::find_standby_devices() {
  std::vector<std::string> places;
  for (const tcp::InterfaceAddress& door : doors_) places.push_back(door.pci_path);
  auto far = engine::find_far_devices(config_.near, places);
  if (!far) return far.status();
  std::set<std::string> names;
  for (std::size_t i = 0; i < doors_.size(); ++i)
    if ((*far)[i]) names.insert(doors_[i].name);
  const auto mark = [&](std::vector<tcp::InterfaceAddress>& interfaces) {
    for (tcp::InterfaceAddress& one : interfaces) one.standby = names.contains(one.name);
  };
  mark(doors_);
  mark(interfaces_);
  for (DialledCarrier& carrier : dialled_) mark(carrier.interfaces);
  if (!names.empty() && log_->wants(LogLevel::kInfo)) {
    (*log_)(LogLevel::kInfo,
            fmt::format("far from this process, so used only when nearer ones fail: {} (WEFT_NEAR={})",
                        fmt::join(names, ", "), config_.near));
  }
  return Status::ok();
}

Fabric::~Fabric() {
  stop();
}

// Destroying a thread that runs, or a condition that one waits for, ends in std::terminate() or in waiting
// for ever, and in a forked child neither will ever come to its end.
void Fabric::forget_threads() {
  std::construct_at(&housekeeper_);
  std::construct_at(&wake_);
  (void)statistics_writer_.release();
}

void Fabric::stop() {
  if (!birthplace_.is_here()) return forget_threads();
  {
    std::unique_lock lock(mutex_);
    if (stopping_) return;
    if (housekeeper_.joinable()) wake_.wait_for(lock, kFarewell, [this] { return closing_.empty(); });
    stopping_ = true;
  }
  wake_.notify_all();
  if (housekeeper_.joinable()) housekeeper_.join();
  statistics_writer_.reset();
}

void Fabric::housekeep() {
  LinkList links;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, kTick, [this] { return stopping_; });
    LinkList gone;
    if (std::exchange(links_changed_, false)) gone = std::exchange(links, links_);
    lock.unlock();
    gone.clear();  // without the lock: ending a link's queue pairs takes its time
    for (const DialledCarrier& carrier : dialled_)
      if (carrier.transport) carrier.transport->watch();
    step_acceptor();
    for (auto& link : links) link->link.housekeep();
    lock.lock();
    bool any = std::erase_if(closing_, [this](const std::shared_ptr<FabricLink>& link) {
      if (!link->link.finished()) return false;
      if (!link->connects) accepted_.erase(link->id);
      std::erase(links_, link);
      links_changed_ = true;
      return true;
    });
    if (any && closing_.empty()) wake_.notify_all();
  }
}

void Fabric::step_acceptor() {
  std::unique_lock lock(acceptor_mutex_, std::try_to_lock);
  if (!lock) return;
  acceptor_->step(engine::steady_now(), *this);
  step_awaited();
}

std::string Fabric::statistics_json() const {
  std::vector<engine::NamedConnection> connections;
  engine::StatisticsTotals totals;
  LinkList open;
  {
    std::lock_guard lock(mutex_);
    totals = closed_totals_;
    connections.assign(closed_statistics_.begin(), closed_statistics_.end());
    for (auto& link : links_)
      if (std::find(closing_.begin(), closing_.end(), link) == closing_.end()) open.push_back(link);
  }
  for (auto& link : open) {
    connections.push_back({link->link.statistics(), true});
    totals.add(connections.back().statistics);
  }
  return engine::to_json(totals, connections);
}

std::uint64_t Fabric::open_listener() {
  std::lock_guard lock(mutex_);
  std::uint64_t id = random_id();
  while (id == 0 || listeners_.contains(id)) id = random_id();
  listeners_[id];
  return id;
}

void Fabric::close_listener(std::uint64_t listener) {
  if (!birthplace_.is_here()) return;
  std::deque<std::shared_ptr<FabricLink>> orphans;
  {
    std::lock_guard lock(mutex_);
    auto found = listeners_.find(listener);
    if (found == listeners_.end()) return;
    orphans = std::move(found->second);
    listeners_.erase(found);
  }
  for (auto& link : orphans) retire(link);
}

std::shared_ptr<FabricLink> Fabric::take_accepted(std::uint64_t listener) {
  while (true) {
    std::shared_ptr<FabricLink> link;
    {
      std::lock_guard lock(mutex_);
      auto found = listeners_.find(listener);
      if (found == listeners_.end() || found->second.empty()) return nullptr;
      link = std::move(found->second.front());
      found->second.pop_front();
    }
    // Whoever connected may have left again before we looked.
    bool alive =
        link->link.with_endpoint([](multipath::Endpoint& endpoint, engine::Backend&, multipath::TimePoint) {
          return std::any_of(endpoint.paths().begin(), endpoint.paths().end(),
                             [](const multipath::Path& path) { return path.connected; }) &&
                 !endpoint.peer_closed();
        });
    if (alive) return link;
    retire(link);
  }
}

Result<std::shared_ptr<FabricLink>> Fabric::make_link(const tcp::ConnectionId& id, bool connects,
                                                      std::size_t paths, std::size_t planes,
                                                      std::vector<tcp::PathRoute> routes,
                                                      const tcp::DialSettings& dialing,
                                                      const tcp::LinkParameters& parameters,
                                                      std::optional<std::uint8_t> peers_coding) {
  LinkSettings settings = link_settings(config_, parameters, connects, paths, planes);
  settings.terms.coding = coding_terms(config_, settings, peers_coding);
  tcp::Socket epoll = tcp::Socket::epoll();
  if (!epoll.is_open()) {
    return Status(StatusCode::kResourceExhausted,
                  "no room for a connection: epoll_create1: " + tcp::explain_socket_error(errno));
  }
  for (std::size_t path = 0; path < routes.size(); ++path) {
    if (routes[path].local.standby)
      settings.endpoint.standby_planes |= mask_of(settings.endpoint.path_planes[path]);
  }
  auto backend = std::make_unique<tcp::LinkBackend>(std::move(epoll), paths, std::move(routes), dialing,
                                                    settings.terms, log_);
  return add_link(std::make_shared<FabricLink>(id, connects, settings.endpoint, std::move(backend), log_));
}

std::shared_ptr<FabricLink> Fabric::add_link(std::shared_ptr<FabricLink> link) {
  std::lock_guard lock(mutex_);
  links_.push_back(link);
  if (!link->connects) accepted_[link->id] = link;
  links_changed_ = true;
  return link;
}

void Fabric::retire(const std::shared_ptr<FabricLink>& link) {
  if (!birthplace_.is_here()) return;
  ConnectionStatistics last = link->link.statistics();
  link->link.begin_close();
  std::lock_guard lock(mutex_);
  closing_.push_back(link);
  closed_totals_.add(last);
  closed_statistics_.push_back({std::move(last), false});
  if (closed_statistics_.size() > kMaxClosedStatistics) closed_statistics_.pop_front();
}

tcp::AcceptVisitor::Verdict Fabric::judge(const tcp::Hello& hello, const tcp::IpAddress& from) {
  Verdict verdict;
  verdict.parameters = agreed_parameters(config_, hello.parameters);
  std::shared_ptr<FabricLink> link;
  {
    std::lock_guard lock(mutex_);
    auto known = accepted_.find(hello.connection_id);
    if (known != accepted_.end() && hello.purpose != tcp::PathPurpose::kAskEndpoints) {
      link = known->second;
    } else if (hello.purpose == tcp::PathPurpose::kAdditionalPath) {
      verdict.code = tcp::RefusalCode::kUnknownConnection;
      verdict.why = "the connection was closed at this end";
      return verdict;
    } else {
      auto listener = listeners_.find(hello.listener_id);
      if (listener == listeners_.end()) {
        verdict.code = tcp::RefusalCode::kUnknownListener;
        verdict.why = "no such listener; it was closed, or the address is of an earlier run";
      } else if (listener->second.size() >= kMaxUnaccepted) {
        verdict.code = tcp::RefusalCode::kLimit;
        verdict.why = fmt::format("{} connections wait for accept()", kMaxUnaccepted);
      }
    }
  }
  if (verdict.code != tcp::RefusalCode::kNone) return verdict;
  if (hello.purpose == tcp::PathPurpose::kAskEndpoints) {
    verdict.endpoints = endpoints_;
    return verdict;
  }
  judge_path(hello, from, link, verdict);
  return verdict;
}

void Fabric::judge_path(const tcp::Hello& hello, const tcp::IpAddress& from,
                        const std::shared_ptr<FabricLink>& link, Verdict& verdict) {
  const DialledCarrier* const carrier = carrier_of(hello);
  const bool fits =
      !link ||
      (hello.total_paths == link->paths &&
       link->link.with_endpoint([&](multipath::Endpoint& endpoint, engine::Backend&, multipath::TimePoint) {
         return endpoint.may_connect(static_cast<multipath::PathId>(hello.path_index),
                                     static_cast<multipath::Incarnation>(hello.incarnation));
       }));
  if (carrier == nullptr && asks_for_carrier(hello)) {
    verdict.code = tcp::RefusalCode::kParameters;
    verdict.why = "this end lacks the transport that it is for";
  } else if (!fits) {
    verdict.code = tcp::RefusalCode::kStalePath;
    verdict.why = "a newer connection of this path was seen, or the path does not exist";
  } else if (link && carrier != link->carrier) {
    verdict.code = tcp::RefusalCode::kParameters;
    verdict.why = "all paths of a connection are of one transport";
  } else if (carrier != nullptr) {
    prepare_dialled(*carrier, hello, from, link, verdict);
  } else {
    // Also where it does not fit what the peer offers: the peer can say what is in the way.
    offer_coding(config_, verdict.options);
  }
}

void Fabric::welcome(const tcp::Hello& hello, const std::string& device, tcp::Socket socket) {
  if (carrier_of(hello) != nullptr) return;  // the path serves already; the socket has done its work
  std::shared_ptr<FabricLink> link;
  bool fresh = false;
  {
    std::lock_guard lock(mutex_);
    auto known = accepted_.find(hello.connection_id);
    if (known != accepted_.end()) link = known->second;
  }
  if (!link) {
    tcp::LinkParameters parameters = agreed_parameters(config_, hello.parameters);
    fresh = true;
    auto made = make_link(hello.connection_id, false, hello.total_paths, planes_of(hello), {}, {secret_, {}},
                          parameters, offered_coding(hello.options));
    if (!made) {
      // The socket is closed, and the peer hears that this connection does not exist.
      if (log_->is_first_without_descriptors()) (*log_)(LogLevel::kWarn, made.status().message());
      return;
    }
    link = std::move(*made);
  }
  // Over which of its interfaces a plane goes, the accepting end learns here.
  const bool standby = std::any_of(doors_.begin(), doors_.end(),
                                   [&](const auto& door) { return door.name == device && door.standby; });
  link->link.with_endpoint([&](multipath::Endpoint& endpoint, engine::Backend&, multipath::TimePoint now) {
    if (hello.path_index < endpoint.paths().size())
      endpoint.set_standby(endpoint.paths()[hello.path_index].plane, standby);
    return link->tcp->adopt(static_cast<multipath::PathId>(hello.path_index),
                            static_cast<multipath::Incarnation>(hello.incarnation), std::move(socket), device,
                            endpoint, now);
  });
  if (fresh) deliver(hello.listener_id, link);
}

void Fabric::deliver(std::uint64_t id, const std::shared_ptr<FabricLink>& link) {
  {
    std::lock_guard lock(mutex_);
    auto listener = listeners_.find(id);
    if (listener != listeners_.end()) {
      listener->second.push_back(link);
      return;
    }
  }
  retire(link);  // the listener went away while we shook hands
}

}  // namespace weft
