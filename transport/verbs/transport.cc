#include "transport/verbs/transport.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>

#include "transport/verbs/link_backend.h"
#include "transport/verbs/memory_promise.h"
#include "transport/verbs/memory_registrar.h"
#include "transport/verbs/mrc_device.h"
#include "transport/verbs/open_device.h"
#include "transport/verbs/peer_memory.h"
#include "transport/verbs/port_discovery.h"
#include "transport/verbs/settings.h"

namespace weft::verbs {
namespace {

// The interface and address over which a port's paths are dialled: those of its GID; on InfiniBand those of
// its IPoIB interface.
const tcp::InterfaceAddress* find_interface(const Port& port, int address_family,
                                            std::span<const tcp::InterfaceAddress> host) {
  const tcp::InterfaceAddress* found = nullptr;
  for (const tcp::InterfaceAddress& one : host) {
    if (!one.has_address || !one.is_up) continue;
    if (port.link_layer == LinkLayer::kEthernet) {
      const auto wanted = tcp::IpAddress::parse(gid_text(port.gid.bytes));
      if (wanted && one.address.same_address(*wanted) && one.name == port.gid.netdev) return &one;
      continue;
    }
    const bool family_fits = address_family == 0 || static_cast<int>(one.address.family) == address_family;
    if (one.name == port.netdev && family_fits && !one.address.is_link_local() && found == nullptr)
      found = &one;
  }
  return found;
}

// A port's GID, chosen anew when the device has reported that its table changed or the entry says something
// else: reading the whole table takes a thousand system calls, and each queue pair asks.
class CurrentGid {
 public:
  CurrentGid(std::shared_ptr<OpenDevice> device, Port port, PortWish wish)
      : device_(std::move(device)), port_(std::move(port)), wish_(std::move(wish)) {}

  Result<GidEntry> read() {
    std::lock_guard lock(mutex_);
    const std::uint32_t changes = device_->address_changes(static_cast<std::uint8_t>(port_.number));
    if (chosen_ && changes == changes_ && is_still_there(*chosen_)) return *chosen_;
    chosen_.reset();
    auto chosen = current_gid(port_, wish_);
    if (!chosen) return chosen;
    changes_ = changes;
    chosen_ = *chosen;
    return chosen;
  }

 private:
  bool is_still_there(const GidEntry& entry) const {
    ibv_gid now{};
    return device_->verbs().query_gid(device_->context(), static_cast<std::uint8_t>(port_.number),
                                      entry.index, &now) == 0 &&
           std::memcmp(now.raw, entry.bytes.data(), entry.bytes.size()) == 0;
  }

  const std::shared_ptr<OpenDevice> device_;
  const Port port_;
  const PortWish wish_;
  std::mutex mutex_;
  std::uint32_t changes_ = 0;
  std::optional<GidEntry> chosen_;
};

class VerbsTransport final : public tcp::DialledTransport {
 public:
  // `mrc`: null for RC.
  VerbsTransport(const VerbsLibrary& verbs, const mrc::Library* mrc, PortWish wish, const Config& config,
                 std::shared_ptr<const engine::Log> log)
      : verbs_(verbs),
        mrc_(mrc),
        wish_(std::move(wish)),
        settings_(queue_pair_settings(config)),
        profiles_(mrc_profiles(config)),
        relaxed_ordering_(config.rdma.relaxed_ordering),
        wants_device_memory_(config.rdma.gpu_direct != GpuDirectChoice::kOff && !config.payload_checksum),
        log_(std::move(log)) {}

  Status open(std::span<const tcp::InterfaceAddress> host);
  const char* name() const override { return name_.c_str(); }
  bool is_meant(const tcp::Hello& hello) const override {
    return has_offer(hello.options, mrc_ != nullptr ? kMrcPathOfferOption : kPathOfferOption);
  }
  bool sprays() const override { return mrc_ != nullptr; }
  const std::vector<tcp::DialledPort>& ports() const override { return ports_; }
  Result<std::unique_ptr<tcp::DialledBackend>> make_backend(tcp::DialledPlan plan) override;
  std::size_t largest_chunk_bytes() const override { return largest_chunk_bytes_; }
  std::unique_ptr<LastingMemory> promise_memory(const void* data, std::size_t bytes) override;
  DeviceMemorySupport device_memory() const override { return device_memory_; }
  Result<std::unique_ptr<LastingMemory>> promise_device_memory(const void* data, std::size_t bytes,
                                                               int dmabuf, std::uint64_t offset) override;
  void watch() override;

 private:
  void find_device_memory();
  void heed_address(std::size_t port);
  Status add(const Port& port, const tcp::InterfaceAddress& interface);
  Status open_device(const std::string& name);
  void say_what_is_left_out(std::span<const Port> all, const std::string& without_interface) const;
  std::shared_ptr<RegistrationCache> cache_of(const std::shared_ptr<OpenDevice>& device);

  const VerbsLibrary& verbs_;
  const mrc::Library* const mrc_;
  const std::string name_ =
      mrc_ == nullptr ? "RDMA" : "MRC " + mrc::version_text(mrc_->api_version) + " (RDMA that sprays)";
  const PortWish wish_;
  const QueuePairSettings settings_;
  const MrcProfiles profiles_;
  const bool relaxed_ordering_;
  const bool wants_device_memory_;
  DeviceMemorySupport device_memory_;
  const std::shared_ptr<const engine::Log> log_;
  std::map<std::string, std::shared_ptr<OpenDevice>> devices_;
  std::map<std::string, std::shared_ptr<MrcDevice>> mrc_devices_;
  std::map<std::string, std::shared_ptr<RegistrationCache>> caches_by_device_;
  std::vector<tcp::DialledPort> ports_;
  // What watch() knows of a port's address.
  struct AddressMark {
    std::uint32_t changes = 0;
    std::optional<PortAddress> last;
  };
  std::vector<AddressMark> address_marks_;                  // as `ports_`
  std::vector<RailPort> rail_ports_;                        // as `ports_`
  std::vector<std::shared_ptr<RegistrationCache>> caches_;  // as `ports_`
  std::size_t largest_chunk_bytes_ = std::size_t{1} << 30;
  QueueBurial burial_;  // ends before the ports, whose addresses queue pairs read
};

Status VerbsTransport::open(std::span<const tcp::InterfaceAddress> host) {
  auto all = list_ports(wish_);
  if (!all) return all.status();
  auto chosen = select_ports(*all);
  if (!chosen) return chosen.status();
  std::string without_interface, without_mrc;
  for (const Port& port : *chosen) {
    if (ports_.size() == kMaxPlanes) break;
    const tcp::InterfaceAddress* interface = find_interface(port, wish_.address_family, host);
    if (interface == nullptr) {
      without_interface += (without_interface.empty() ? "" : ", ") + port_name(port);
      continue;
    }
    if (Status opened = open_device(port.device); !opened) {
      if (opened.code() != StatusCode::kUnreachable) return opened;
      without_mrc += (without_mrc.empty() ? "" : ", ") + opened.message();
      continue;
    }
    if (Status added = add(port, *interface); !added) return added;
  }
  find_device_memory();
  if (!ports_.empty()) {
    if (log_->wants(LogLevel::kInfo)) say_what_is_left_out(*all, without_interface);
    return Status::ok();
  }
  if (!without_mrc.empty()) return Status(StatusCode::kUnreachable, without_mrc);
  return Status(
      StatusCode::kUnreachable,
      "paths over RDMA are dialled over the IP interface of their port, and none of these has one that is up "
      "with an address: " +
          without_interface);
}

void VerbsTransport::say_what_is_left_out(std::span<const Port> all,
                                          const std::string& without_interface) const {
  std::string words;
  for (const Port& port : all)
    if (!port.usable)
      words += fmt::format("{}{}: {}", words.empty() ? "" : "; ", port_name(port), port.why_not);
  if (!without_interface.empty())
    words +=
        fmt::format("{}{}: no IP interface with an address", words.empty() ? "" : "; ", without_interface);
  if (ports_.size() == kMaxPlanes)
    words += fmt::format("{}at most {} are used", words.empty() ? "" : "; ", kMaxPlanes);
  if (!words.empty()) (*log_)(LogLevel::kInfo, fmt::format("{} does not use {}", name_, words));
}

// kUnreachable: it does not speak MRC, and should.
Status VerbsTransport::open_device(const std::string& name) {
  if (devices_.contains(name)) return Status::ok();
  auto opened = OpenDevice::open(verbs_, name, mrc_ == nullptr);
  if (!opened) return opened.status();
  if (mrc_ != nullptr) {
    auto speaks = MrcDevice::open(*mrc_, *opened, profiles_);
    if (!speaks) return speaks.status();
    mrc_devices_[name] = std::move(*speaks);
  }
  devices_[name] = std::move(*opened);
  return Status::ok();
}

Status VerbsTransport::add(const Port& port, const tcp::InterfaceAddress& interface) {
  const std::shared_ptr<OpenDevice>& device = devices_.at(port.device);
  ibv_port_attr attributes{};
  const auto number = static_cast<std::uint8_t>(port.number);
  if (int error = verbs_.query_port(device->context(), number, &attributes); error != 0) {
    return Status(StatusCode::kInternal,
                  fmt::format("device {}: ibv_query_port failed: {}", port.device, std::strerror(error)));
  }
  largest_chunk_bytes_ = std::min<std::size_t>(largest_chunk_bytes_, std::max(1u, attributes.max_msg_sz));
  RailPort rail;
  rail.owner = device;
  rail.verbs = &verbs_;
  rail.context = device->context();
  rail.protection_domain = device->protection_domain();
  rail.number = number;
  rail.name = fmt::format("{}:{}", port.device, port.number);
  rail.settings = settings_;
  if (mrc_ != nullptr) rail.mrc = mrc_devices_.at(port.device);
  rail.events = device->events(number);
  auto current = std::make_shared<CurrentGid>(device, port, wish_);
  rail.read_address = [this, port, current, context = device->context()]() -> Result<PortAddress> {
    auto gid = current->read();
    if (!gid) return gid.status();
    ibv_port_attr now{};
    if (int error = verbs_.query_port(context, static_cast<std::uint8_t>(port.number), &now); error != 0) {
      return Status(StatusCode::kUnreachable,
                    fmt::format("device {}: ibv_query_port failed: {}", port.device, std::strerror(error)));
    }
    if (now.state != IBV_PORT_ACTIVE) {
      return Status(StatusCode::kUnreachable,
                    fmt::format("device {}:{}: its port is {}; is the cable in?", port.device, port.number,
                                verbs_.port_state_str(now.state)));
    }
    return PortAddress{*gid, now.lid, static_cast<std::uint8_t>(now.active_mtu), port.link_layer};
  };
  ports_.push_back({rail.name, interface.name, interface.address, interface.prefix_length,
                    port.speed_mbps == 0 ? tcp::kDefaultSpeedMbps : port.speed_mbps, port.pci_path});
  address_marks_.push_back({device->address_changes(number), std::nullopt});
  if (auto address = rail.read_address(); address) address_marks_.back().last = *address;
  rail_ports_.push_back(std::move(rail));
  caches_.push_back(cache_of(device));
  return Status::ok();
}

std::shared_ptr<RegistrationCache> VerbsTransport::cache_of(const std::shared_ptr<OpenDevice>& device) {
  std::shared_ptr<RegistrationCache>& cache = caches_by_device_[device->name()];
  if (!cache)
    cache = std::make_shared<RegistrationCache>(std::make_shared<VerbsRegistrar>(
        verbs_, device->protection_domain(), device->name(), relaxed_ordering_));
  return cache;
}

Result<std::unique_ptr<tcp::DialledBackend>> VerbsTransport::make_backend(tcp::DialledPlan plan) {
  static_assert(kMaxPlanes >= tcp::kMostDialledPlanes);
  std::vector<std::shared_ptr<Rail>> rails;
  std::vector<std::shared_ptr<RegistrationCache>> caches;
  for (std::size_t plane = 0; plane < plan.ports.size(); ++plane) {
    const std::size_t port = plan.ports[plane];
    const auto paths = static_cast<std::size_t>(
        std::count(plan.path_planes.begin(), plan.path_planes.end(), static_cast<multipath::PlaneId>(plane)));
    auto rail = Rail::create(rail_ports_.at(port), paths);
    if (!rail) return rail.status();
    rails.push_back(std::move(*rail));
    caches.push_back(caches_[port]);
  }
  return std::unique_ptr<tcp::DialledBackend>(
      std::make_unique<LinkBackend>(std::move(plan), std::move(rails), std::move(caches), burial_, log_));
}

// Where a cache has no room for another promise, messages from this memory have registrations of their own.
std::unique_ptr<LastingMemory> VerbsTransport::promise_memory(const void* data, std::size_t bytes) {
  auto memory = std::make_unique<MemoryPromise>();
  for (const auto& [device, cache] : caches_by_device_) {
    if (auto promise = cache->promise(reinterpret_cast<std::uintptr_t>(data), bytes))
      memory->add(cache, *promise);
  }
  return memory;
}

// What all devices can.
void VerbsTransport::find_device_memory() {
  if (!wants_device_memory_) return;
  std::string without_dmabuf;
  for (const auto& [name, device] : devices_) {
    if (!takes_dmabufs(verbs_, device->protection_domain()))
      without_dmabuf += (without_dmabuf.empty() ? "" : ", ") + name;
  }
  device_memory_.peer_memory = has_peer_memory();
  device_memory_.dmabuf = without_dmabuf.empty();
  if (!device_memory_.any()) {
    device_memory_.why_not = fmt::format(
        "no kernel module gives NICs the addresses of GPUs (is nvidia_peermem loaded?), and these take no "
        "dmabuf: {}",
        without_dmabuf);
  }
  for (RailPort& port : rail_ports_) port.takes_device_memory = device_memory_.any();
}

Result<std::unique_ptr<LastingMemory>> VerbsTransport::promise_device_memory(const void* data,
                                                                             std::size_t bytes, int dmabuf,
                                                                             std::uint64_t offset) {
  process::OwnDescriptor own;
  if (dmabuf >= 0) {
    own = process::OwnDescriptor::from([dmabuf] { return fcntl(dmabuf, F_DUPFD_CLOEXEC, 0); });
    if (!own.is_open()) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("dmabuf {} cannot be kept open: {}", dmabuf, std::strerror(errno)));
    }
  }
  auto memory = std::make_unique<MemoryPromise>(std::move(own));
  for (const auto& [device, cache] : caches_by_device_) {
    Status added = memory->add_registered(cache, reinterpret_cast<std::uintptr_t>(data), bytes, offset);
    if (!added) return added;
  }
  return std::unique_ptr<LastingMemory>(std::move(memory));
}

void VerbsTransport::watch() {
  for (auto& [name, device] : devices_) {
    device->watch([this](const std::string& where, const char* what) {
      if (log_->wants(LogLevel::kInfo))
        (*log_)(LogLevel::kInfo, fmt::format("device {} reports: {}", where, what));
    });
  }
  for (std::size_t i = 0; i < ports_.size(); ++i) heed_address(i);
}

// Tells links when the address under which a port's paths run is not there any more.
void VerbsTransport::heed_address(std::size_t port) {
  const RailPort& rail = rail_ports_[port];
  AddressMark& mark = address_marks_[port];
  OpenDevice& device = *static_cast<OpenDevice*>(rail.owner.get());
  const std::uint32_t changes = device.address_changes(rail.number);
  if (changes == mark.changes) return;
  mark.changes = changes;
  auto address = rail.read_address();
  if (!address) {  // gone, or the port is down, which ends its paths as well
    if (mark.last) ++device.events(rail.number)->address_changed;
    mark.last.reset();
    return;
  }
  if (mark.last && (mark.last->gid.bytes != address->gid.bytes || mark.last->lid != address->lid))
    ++device.events(rail.number)->address_changed;
  mark.last = *address;
}

}  // namespace

Result<std::unique_ptr<tcp::DialledTransport>> open_transport(const Config& config,
                                                              std::span<const tcp::InterfaceAddress> host,
                                                              std::shared_ptr<const engine::Log> log,
                                                              QueueKind kind) {
  if (config.rdma.disabled)
    return Status(StatusCode::kUnreachable, "RDMA is switched off (WEFT_IB_DISABLE=1)");
  auto verbs = verbs_library();
  if (!verbs) return verbs.status();
  auto wish = port_wish(config);
  if (!wish) return wish.status();
  const mrc::Library* mrc = nullptr;
  if (kind == QueueKind::kMrc) {
    auto library = mrc::library();
    if (!library) return library.status();
    mrc = *library;
  }
  auto transport = std::make_unique<VerbsTransport>(**verbs, mrc, std::move(*wish), config, std::move(log));
  if (Status opened = transport->open(host); !opened) return opened;
  return std::unique_ptr<tcp::DialledTransport>(std::move(transport));
}

}  // namespace weft::verbs
