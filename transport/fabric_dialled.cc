// The fabric's part in connections that do not run over TCP: which other transports there are, and the
// accepting end of their paths.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "transport/engine/environment.h"
#include "transport/fabric.h"
#include "transport/tcp/address_codec.h"
#include "transport/ucx/transport.h"
#include "transport/verbs/transport.h"

namespace weft {
namespace {

constexpr auto kFirstFrameWait = std::chrono::seconds(5);
// Links that wait for it: each has pinned memory and queues of the NIC, and who dialled may be anybody (I7).
constexpr std::size_t kMostAwaited = 64;

class PromiseToAll final : public LastingMemory {
 public:
  void add(std::unique_ptr<LastingMemory> promise) { promises_.push_back(std::move(promise)); }

 private:
  std::vector<std::unique_ptr<LastingMemory>> promises_;
};

bool has_address(const std::vector<tcp::InterfaceAddress>& interfaces, const tcp::IpAddress& address) {
  return std::any_of(interfaces.begin(), interfaces.end(),
                     [&](const auto& one) { return one.address.same_address(address); });
}

}  // namespace

// The composition root of transports: each one that a build can have is tried here, the preferred one first.
Status Fabric::open_dialled() {
  const auto is_wanted = [this](TransportChoice choice) {
    return config_.transport == TransportChoice::kAuto || config_.transport == choice;
  };
  if (config_.rdma.mrc == MrcChoice::kOn && !is_wanted(TransportChoice::kVerbs)) {
    return Status(StatusCode::kInvalidArgument,
                  "WEFT_MRC=on asks for RDMA, which WEFT_TRANSPORT excludes; take back one of the two");
  }
  if (is_wanted(TransportChoice::kVerbs) && config_.rdma.mrc != MrcChoice::kOff) {
    if (Status added = add_mrc(); !added) return added;
  }
  if (is_wanted(TransportChoice::kVerbs) && config_.rdma.mrc != MrcChoice::kOn) {
    if (Status added = add_dialled(TransportChoice::kVerbs, tcp::kByVerbs,
                                   verbs::open_transport(config_, host_addresses_, log_));
        !added)
      return added;
    drop_partial_mrc();
  }
  // Not in auto: opening UCX's library changes the process.
  if (config_.transport == TransportChoice::kUcx) {
    if (Status added = add_dialled(TransportChoice::kUcx, tcp::kByUcx,
                                   ucx::open_transport(config_, host_addresses_, log_));
        !added)
      return added;
  }
  if (Status found = find_device_memory(); !found) return found;
  transport_ = describe_transports();
  if (log_->wants(LogLevel::kInfo)) (*log_)(LogLevel::kInfo, "transport: " + transport_);
  warn_of_compression();
  return Status::ok();
}

// Who asks for a level wants to know where there is none.
void Fabric::warn_of_compression() const {
  const bool asks =
      config_.compression != CompressionChoice::kAuto && config_.compression != CompressionChoice::kOff;
  for (const DialledCarrier& carrier : dialled_) {
    if (!asks || !carrier.transport) continue;
    (*log_)(LogLevel::kWarn,
            fmt::format(
                "WEFT_COMPRESS={} has no effect over {}, which puts data into place without the processor; "
                "WEFT_TRANSPORT=tcp compresses",
                to_string(config_.compression), carrier.transport->name()));
    return;
  }
}

// Few machines have it, so its absence is worth a word to those only who ask for it, or for every word.
Status Fabric::add_mrc() {
  Opened opened = verbs::open_transport(config_, host_addresses_, log_, verbs::QueueKind::kMrc);
  if (opened) return add_dialled(TransportChoice::kVerbs, tcp::kByMrc, std::move(opened));
  if (config_.rdma.mrc == MrcChoice::kOn)
    return Status(opened.status().code(), opened.status().message() + " (WEFT_MRC=on)");
  if (log_->wants(LogLevel::kDebug)) (*log_)(LogLevel::kDebug, opened.status().message());
  return Status::ok();
}

// A connection uses one carrier's ports only, and more planes are worth more than spraying over fewer.
void Fabric::drop_partial_mrc() {
  if (dialled_.size() < 2 || !dialled_.back().transport) return;
  const std::size_t some = dialled_.front().interfaces.size();
  const std::size_t all = dialled_.back().interfaces.size();
  if (some >= all) return;
  (*log_)(
      LogLevel::kInfo,
      fmt::format("only {} of {} RDMA ports speak MRC, so that none is used by it; WEFT_MRC=on uses these "
                  "alone, WEFT_IB_HCA names ports",
                  some, all));
  dialled_.erase(dialled_.begin());
}

// It is no error that a machine lacks what the user did not ask for by name.
Status Fabric::add_dialled(TransportChoice choice, std::uint8_t bit, Opened opened) {
  if (!opened && config_.transport == choice) return opened.status();
  DialledCarrier& carrier = dialled_.emplace_back();
  carrier.choice = choice;
  carrier.bit = bit;
  if (!opened) {
    carrier.why_not = opened.status().message();
    return Status::ok();
  }
  carrier.transport = std::move(*opened);
  for (const tcp::DialledPort& port : carrier.transport->ports()) {
    auto interface = std::find_if(host_addresses_.begin(), host_addresses_.end(), [&](const auto& one) {
      return one.name == port.netdev && one.has_address && one.address.same_address(port.address);
    });
    carrier.interfaces.push_back(*interface);  // the port was found by it
    carrier.interfaces.back().speed_mbps = port.speed_mbps;
  }
  return Status::ok();
}

std::string Fabric::describe_transports() const {
  if (config_.transport == TransportChoice::kTcp) return "TCP (WEFT_TRANSPORT=tcp)";
  std::string why_not;
  for (const DialledCarrier& carrier : dialled_) {
    if (!carrier.transport) {
      why_not += (why_not.empty() ? "" : "; ") + carrier.why_not;
      continue;
    }
    std::string names;
    for (const tcp::DialledPort& port : carrier.transport->ports())
      names += fmt::format("{}{} on {}", names.empty() ? "" : ", ", port.name, port.netdev);
    const DialledCarrier& last = dialled_.back();
    std::string else_by = &last != &carrier && last.transport ? last.transport->name() : "";
    if (config_.transport != carrier.choice) else_by += else_by.empty() ? "TCP" : " or TCP";
    return fmt::format("{} by {}{}", carrier.transport->name(), names,
                       else_by.empty() ? "" : "; " + else_by + " to peers without it");
  }
  return fmt::format("TCP ({})", why_not);
}

// What all ports can: a message goes over whichever has room.
Status Fabric::find_device_memory() {
  DeviceMemorySupport& found = device_memory_;
  const bool is_off = config_.rdma.gpu_direct == GpuDirectChoice::kOff;
  if (is_off) {
    found.why_not = "it is switched off (WEFT_GPU_DIRECT=off)";
  } else if (config_.payload_checksum) {
    found.why_not = "WEFT_CHECKSUM=1 has the CPU read all payloads";
  } else {
    bool first = true;
    for (const DialledCarrier& carrier : dialled_) {
      if (!carrier.transport) continue;
      const DeviceMemorySupport one = carrier.transport->device_memory();
      found.peer_memory = (first || found.peer_memory) && one.peer_memory;
      found.dmabuf = (first || found.dmabuf) && one.dmabuf;
      if (found.why_not.empty()) found.why_not = one.why_not;
      first = false;
    }
    if (first) found.why_not = "no RDMA port is in use: " + describe_transports();
    if (found.any()) found.why_not.clear();
  }
  if (config_.rdma.gpu_direct != GpuDirectChoice::kOn || found.any()) return Status::ok();
  return Status(
      StatusCode::kUnreachable,
      fmt::format("WEFT_GPU_DIRECT=on, but NICs cannot be given memory of GPUs here: {}", found.why_not));
}

// With every transport, since any connection may be its; or with none.
Result<std::unique_ptr<LastingMemory>> Fabric::promise_device_memory(const void* data, std::size_t bytes,
                                                                     int dmabuf, std::uint64_t offset) {
  const bool is_dmabuf = dmabuf >= 0;
  if (is_dmabuf ? !device_memory_.dmabuf : !device_memory_.peer_memory) {
    std::string why = device_memory_.why_not;
    if (device_memory_.any())
      why = is_dmabuf ? "not as a dmabuf, for not all RDMA ports take those; by its address they do"
                      : "not by its address (is nvidia_peermem loaded?); as a dmabuf it can";
    return Status(StatusCode::kInvalidArgument, "memory of a GPU cannot be registered for RDMA: " + why);
  }
  auto promises = std::make_unique<PromiseToAll>();
  for (const DialledCarrier& carrier : dialled_) {
    if (!carrier.transport || bytes == 0) continue;
    auto promise = carrier.transport->promise_device_memory(data, bytes, dmabuf, offset);
    if (!promise) return promise.status();
    promises->add(std::move(*promise));
  }
  return std::unique_ptr<LastingMemory>(std::move(promises));
}

std::unique_ptr<LastingMemory> Fabric::promise_memory(const void* data, std::size_t bytes) {
  auto promises = std::make_unique<PromiseToAll>();
  for (const DialledCarrier& carrier : dialled_) {
    if (!carrier.transport || bytes == 0) continue;
    if (auto promise = carrier.transport->promise_memory(data, bytes)) promises->add(std::move(promise));
  }
  return promises;
}

// What the doors of the acceptor are for. Those that an address names come first, so that a number means the
// same to who has only the address and to who has all of them.
void Fabric::mark_endpoints() {
  endpoints_ = acceptor_->endpoints();
  for (tcp::Endpoint& endpoint : endpoints_) {
    endpoint.carriers = has_address(interfaces_, endpoint.address) ? tcp::kByTcp : 0;
    for (const DialledCarrier& carrier : dialled_)
      if (has_address(carrier.interfaces, endpoint.address)) endpoint.carriers |= carrier.bit;
  }
  auto address = tcp::encode_address(1, endpoints_);
  if (!address) return;
  auto named = tcp::decode_address(*address);
  if (!named) return;
  std::stable_partition(endpoints_.begin(), endpoints_.end(), [&](const tcp::Endpoint& endpoint) {
    return std::any_of(named->endpoints.begin(), named->endpoints.end(), [&](const tcp::Endpoint& one) {
      return one.address.same_address(endpoint.address) && one.port == endpoint.port;
    });
  });
}

const DialledCarrier* Fabric::carrier_of(const tcp::Hello& hello) const {
  for (const DialledCarrier& carrier : dialled_)
    if (carrier.transport && carrier.transport->is_meant(hello)) return &carrier;
  return nullptr;
}

LinkSettings Fabric::dialled_settings(const DialledCarrier& carrier, const tcp::LinkParameters& agreed,
                                      bool connects, tcp::DialledPlan& plan) const {
  LinkSettings settings = link_settings(config_, agreed, connects, plan.paths, plan.ports.size());
  settings.endpoint.chunk_bytes =
      std::min(settings.endpoint.chunk_bytes, std::bit_floor(carrier.transport->largest_chunk_bytes()));
  // A NIC has no queue of bytes in front of an acknowledgement as a byte stream has.
  settings.endpoint.window_slack = multipath::EndpointConfig().window_slack;
  for (std::size_t plane = 0; plane < plan.ports.size(); ++plane) {
    if (carrier.interfaces[plan.ports[plane]].standby)
      settings.endpoint.standby_planes |= mask_of(static_cast<multipath::PlaneId>(plane));
  }
  settings.endpoint.path_timeout =
      std::max(settings.endpoint.path_timeout, carrier.transport->least_path_timeout());
  plan.path_planes = settings.endpoint.path_planes;
  plan.payload_checksum = settings.terms.payload_checksum;
  return settings;
}

Result<std::shared_ptr<FabricLink>> Fabric::make_dialled_link(const DialledCarrier& carrier,
                                                              tcp::DialledPlan plan,
                                                              const tcp::LinkParameters& parameters) {
  const tcp::ConnectionId id = plan.connection;
  const LinkSettings settings = dialled_settings(carrier, parameters, true, plan);
  auto backend = carrier.transport->make_backend(std::move(plan));
  if (!backend) return backend.status();
  return add_link(
      std::make_shared<FabricLink>(id, true, carrier, settings.endpoint, std::move(*backend), log_));
}

// The ports on which a connection's planes end here, as its HELLO names them.
Status Fabric::plan_accepted(const DialledCarrier& carrier, const tcp::Hello& hello,
                             tcp::DialledPlan& plan) const {
  const auto malformed = [](const char* why) { return Status(StatusCode::kProtocolError, why); };
  plan.connection = hello.connection_id;
  plan.paths = hello.total_paths;
  for (const tcp::HandshakeOption& option : hello.options) {
    if (option.type != kPlaneEndpointsOption) continue;
    for (const std::byte number : option.value) {
      const auto index = static_cast<std::size_t>(number);
      if (index >= endpoints_.size()) return malformed("a plane that leads to no endpoint of the listener");
      auto port = std::find_if(carrier.interfaces.begin(), carrier.interfaces.end(), [&](const auto& one) {
        return one.address.same_address(endpoints_[index].address);
      });
      if (port == carrier.interfaces.end())
        return malformed("a plane that leads to no port of this transport");
      plan.ports.push_back(static_cast<std::size_t>(port - carrier.interfaces.begin()));
    }
  }
  if (plan.ports.empty() || plan.ports.size() > tcp::kMostDialledPlanes)
    return malformed("it does not say where its planes lead, or has too many");
  if (plan.paths % plan.ports.size() != 0) return malformed("its paths are not dealt evenly over its planes");
  return Status::ok();
}

// Makes a path ready, and for the first path of a connection the link.
void Fabric::prepare_dialled(const DialledCarrier& carrier, const tcp::Hello& hello,
                             const tcp::IpAddress& from, std::shared_ptr<FabricLink> link, Verdict& verdict) {
  const auto refuse = [&](tcp::RefusalCode code, const Status& why) {
    verdict.code = code;
    verdict.why = why.message();
  };
  std::unique_ptr<tcp::DialledBackend> fresh;
  LinkSettings settings;
  if (!link) {
    if (awaited_.size() >= kMostAwaited) {
      return refuse(tcp::RefusalCode::kLimit,
                    Status(StatusCode::kResourceExhausted,
                           fmt::format("{} connections wait for their first frame", kMostAwaited)));
    }
    tcp::DialledPlan plan;
    if (Status planned = plan_accepted(carrier, hello, plan); !planned)
      return refuse(tcp::RefusalCode::kMalformed, planned);
    settings = dialled_settings(carrier, verdict.parameters, false, plan);
    auto backend = carrier.transport->make_backend(std::move(plan));
    if (!backend) return refuse(tcp::RefusalCode::kLimit, backend.status());
    fresh = std::move(*backend);
  }
  auto prepared = (link ? link->dialled : fresh.get())->prepare(hello, from);
  if (!prepared) return refuse(tcp::RefusalCode::kLimit, prepared.status());
  verdict.options = (*prepared)->options();
  if (fresh) {
    link = add_link(std::make_shared<FabricLink>(hello.connection_id, false, carrier, settings.endpoint,
                                                 std::move(fresh), log_));
    awaited_.push_back({link, hello.listener_id, engine::steady_now() + kFirstFrameWait});
  }
  link->link.with_endpoint([&](multipath::Endpoint& endpoint, engine::Backend&, multipath::TimePoint now) {
    link->dialled->await(std::move(*prepared), endpoint, now);
    return true;
  });
}

void Fabric::step_awaited() {
  if (awaited_.empty()) return;
  const multipath::TimePoint now = engine::steady_now();
  std::erase_if(awaited_, [&](const Awaited& awaited) {
    awaited.link->link.progress();
    const bool connected =
        awaited.link->link.with_endpoint([&](multipath::Endpoint&, engine::Backend&, multipath::TimePoint) {
          return awaited.link->dialled->has_heard();
        });
    if (connected) {
      deliver(awaited.listener, awaited.link);
    } else if (now > awaited.until) {
      retire(awaited.link);
    }
    return connected || now > awaited.until;
  });
}

}  // namespace weft
