#include "transport/verbs/link_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace weft::verbs {

using multipath::Incarnation;
using multipath::LossReason;
using multipath::mask_of;
using multipath::PathId;
using multipath::TimePoint;

namespace {

constexpr std::chrono::seconds kAwaited{5};
constexpr int kTicksOfRemains = 20;
constexpr std::chrono::milliseconds kShortestRedial{500};
constexpr std::chrono::seconds kLongestRedial{5};

std::string address_text(const QueueAddress& queue) {
  if (queue.link_layer == LinkLayer::kInfiniBand)
    return fmt::format("lid {} qp {}", queue.lid, queue.queue_pair);
  return fmt::format("{} qp {}", gid_text(queue.gid), queue.queue_pair);
}

}  // namespace

LinkBackend::LinkBackend(tcp::DialledPlan plan, std::vector<std::shared_ptr<Rail>> rails,
                         std::vector<std::shared_ptr<RegistrationCache>> caches, QueueBurial& burial,
                         std::shared_ptr<const engine::Log> log)
    : plan_(std::move(plan)),
      rails_(std::move(rails)),
      events_(rails_.size()),
      memory_(caches, plan_.paths),
      flushes_(rails_, std::move(caches)),
      burial_(burial),
      log_(std::move(log)),
      paths_(plan_.paths) {
  for (std::size_t plane = 0; plane < rails_.size(); ++plane) {
    const PortEvents& seen = *rails_[plane]->port().events;
    events_[plane] = {seen.went_down.load(), seen.address_changed.load(), seen.device_failed.load()};
  }
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    paths_[i].device = rails_[plane_of(static_cast<PathId>(i))]->port().name;
    if (i >= plan_.routes.size()) continue;
    paths_[i].local_address = plan_.routes[i].local.address.to_string();
    paths_[i].peer_address = plan_.routes[i].remote.address.to_string();
    if (i == 0) peer_name_ = paths_[i].peer_address;
  }
}

LinkBackend::~LinkBackend() = default;

std::uint32_t LinkBackend::new_token(PathId path) {
  constexpr std::uint32_t kMask = 0x7FFFFFFF;
  return (tokens_.fetch_add(multipath::kMaxPaths) & kMask & ~(multipath::kMaxPaths - 1)) |
         static_cast<std::uint32_t>(multipath::index(path));
}

void LinkBackend::install(PathId path, Incarnation incarnation, std::unique_ptr<QueuePair> queue,
                          const PathOffer& offer, multipath::Endpoint& endpoint, TimePoint now) {
  if (!endpoint.may_connect(path, incarnation)) {
    discard(std::move(queue));
    endpoint.path_connected(path, incarnation, now);  // tells it that the attempt came to nothing
    return;
  }
  lose(path, LossReason::kReplaced, endpoint, now);
  PathSlot& slot = at(path);
  const QueueAddress& peer = offer.queue;
  slot.device = queue->rail().port().name;
  slot.local_address = address_text(queue->address());
  slot.peer_address = fmt::format("{} {}", peer.device, address_text(peer));
  peer_name_ = gid_text(peer.gid);
  slot.queue = std::move(queue);
  slot.incarnation = incarnation;
  slot.next_sequence = 0;
  slot.sent_acknowledged = slot.sent_credit_seen = slot.heard_acknowledged = slot.heard_credit_seen = 0;
  slot.blocked = slot.marked = false;
  sent_.forget(path);
  heard_.forget(path);
  has_connected_ = true;
  endpoint.path_connected(path, incarnation, now);
}

void LinkBackend::lose(PathId path, LossReason reason, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = at(path);
  if (!slot.queue) return;
  fence(path);
  endpoint.path_lost(path, slot.incarnation, reason, now);
}

void LinkBackend::discard(std::unique_ptr<QueuePair> queue) {
  if (queue->break_off()) {
    remains_.push_back({std::move(queue), kTicksOfRemains});
    return;
  }
  // Out of service by another way: without its completions, for which the paths of its plane may have to pay.
  if (!queue->destroy()) {
    unfenced_ = fmt::format(
        "device {} does not take queue pair {} out of service (its log is dmesg), so what it "
        "receives could still land in memory that is the caller's again",
        queue->rail().port().name, queue->number());
    remains_.push_back({std::move(queue), kTicksOfRemains});
  }
}

// Nothing more may be reported done.
void LinkBackend::give_up_unfenced(multipath::Endpoint& endpoint) {
  if (!unfenced_.empty()) give_up(std::exchange(unfenced_, {}), endpoint);
}

void LinkBackend::fence(PathId path) {
  dirty_ &= ~mask_of(path);
  memory_.forget_uses(path);
  if (at(path).queue) discard(std::move(at(path).queue));
}

void LinkBackend::cut(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  lose(path, LossReason::kCut, endpoint, now);
}

// Destroying a queue pair takes its unpolled completions along, and with them the knowledge which receive
// buffers are free again. By the time they are buried all have been polled.
void LinkBackend::bury_remains() {
  std::erase_if(remains_, [this](Remains& remains) {
    if (--remains.ticks_left > 0) return false;
    burial_.take(std::move(remains.queue));
    return true;
  });
}

void LinkBackend::tick(multipath::Endpoint& endpoint, TimePoint now) {
  give_up_unfenced(endpoint);
  bury_remains();
  memory_.sweep(nic_is_done());
  if (flushes_.are_pending()) {
    if (Status moved = flushes_.tick(now); !moved) give_up(moved.message(), endpoint);
  }
  for (std::size_t plane = 0; plane < rails_.size(); ++plane) {
    heed_events(plane, endpoint, now);
    if (rails_[plane]->has_failed()) replace_rail(plane, endpoint, now);
  }
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    PathId path = static_cast<PathId>(i);
    PathSlot& slot = paths_[i];
    if (slot.dial) step_dial(path, endpoint, now);
    if (slot.awaited && now > slot.awaited_until)
      discard(std::move(std::exchange(slot.awaited, nullptr)->queue));
    if (slot.queue && slot.queue->has_failed()) lose(path, LossReason::kLocalFault, endpoint, now);
    if (!slot.queue || !endpoint.is_suspicious(path, now)) {
      slot.marked = false;
    } else {
      ask_nic(path, endpoint, now);
    }
  }
}

// A completion queue or a shared receive queue that has failed stays so. Its queue pairs hold the old rail
// until they are buried.
void LinkBackend::replace_rail(std::size_t plane, multipath::Endpoint& endpoint, TimePoint now) {
  std::size_t paths = 0;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    if (plane_of(static_cast<PathId>(i)) != plane) continue;
    ++paths;
    lose(static_cast<PathId>(i), LossReason::kDeviceFailed, endpoint, now);
    if (paths_[i].awaited) discard(std::move(std::exchange(paths_[i].awaited, nullptr)->queue));
    if (paths_[i].dial) {
      paths_[i].dial.reset();
      paths_[i].attempted = true;
      endpoint.reconnect_failed(static_cast<PathId>(i), now);
    }
  }
  if (now < replace_rails_at_) return;
  auto fresh = Rail::create(rails_[plane]->port(), paths);
  if (!fresh) {
    replace_rails_at_ = now + kShortestRedial;
    if (log_->wants(LogLevel::kDebug)) {
      (*log_)(LogLevel::kDebug,
              fmt::format("plane {} stays out of use: {}", plane, fresh.status().message()));
    }
    return;
  }
  std::lock_guard lock(rails_mutex_);
  rails_[plane] = std::move(*fresh);
}

void LinkBackend::heed_events(std::size_t plane, multipath::Endpoint& endpoint, TimePoint now) {
  const PortEvents& seen = *rails_[plane]->port().events;
  EventMarks& marks = events_[plane];
  EventMarks fresh{seen.went_down.load(std::memory_order_relaxed),
                   seen.address_changed.load(std::memory_order_relaxed),
                   seen.device_failed.load(std::memory_order_relaxed)};
  std::optional<LossReason> reason;
  if (fresh.address_changed != marks.address_changed) reason = LossReason::kAddressGone;
  if (fresh.went_down != marks.went_down) reason = LossReason::kPortDown;
  if (fresh.device_failed != marks.device_failed) reason = LossReason::kDeviceFailed;
  if (!reason) return;
  marks = fresh;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    PathId path = static_cast<PathId>(i);
    if (plane_of(path) == plane) lose(path, *reason, endpoint, now);
  }
}

// No frame has come for a while. The NIC knows whether what was sent has arrived; if it has, the peer's
// process is slow, and that is no reason to leave the path.
void LinkBackend::ask_nic(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = at(path);
  bool moved = slot.marked && slot.queue->completed() != slot.mark;
  bool owes_nothing = slot.queue->in_flight() == 0;
  if (moved || owes_nothing) endpoint.path_progressed(path, now);
  if (!moved && owes_nothing) endpoint.request_probe(path);  // so that the NIC has something to hear about
  slot.marked = true;
  slot.mark = slot.queue->completed();
}

void LinkBackend::reconnect(PathId path, Incarnation incarnation, TimePoint now) {
  const std::size_t i = multipath::index(path);
  paths_[i].dial_began = now;
  tcp::DialSettings settings = plan_.dialing;
  settings.hello.purpose = has_connected_ ? tcp::PathPurpose::kAdditionalPath : tcp::PathPurpose::kFirstPath;
  paths_[i].dial = std::make_unique<QueueDial>(
      QueuePair::create(rails_[plane_of(path)], new_token(path), peer_may_write_.load()), plan_.routes[i],
      settings, path, incarnation, now);
}

void LinkBackend::step_dial(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = at(path);
  tcp::DialState state = slot.dial->step(now);
  if (state == tcp::DialState::kPending) return;
  std::unique_ptr<QueueDial> dial = std::move(slot.dial);
  slot.attempted = true;
  if (state == tcp::DialState::kConnected) {
    // A fresh dial may take a few round trips; a far peer's are longer than a near one's.
    plan_.dialing.attempt_timeout =
        std::clamp<multipath::Duration>(8 * (now - slot.dial_began), kShortestRedial, kLongestRedial);
    plan_.payload_checksum = dial->welcome().parameters.payload_checksum;
    endpoint.limit_chunk_bytes(dial->welcome().parameters.chunk_limit_bytes);
    install(path, dial->incarnation(), dial->take_queue(), dial->peer(), endpoint, now);
    // The first frame, which tells the peer that this end serves too.
    if (slot.queue) endpoint.request_probe(path);
    dial_error_ = Status(
        StatusCode::kUnreachable,
        fmt::format(
            "path {} on device {}, {} -> peer {}: TCP connects the two interfaces, but nothing comes back by "
            "RDMA; are RoCE packets (UDP port 4791) let through, and as large as the port's MTU? "
            "WEFT_TRANSPORT=tcp does without them",
            multipath::index(path), slot.device, slot.local_address, slot.peer_address));
    return;
  }
  // A listener that has heard nothing by RDMA forgets the connection, and says so to later attempts. That is
  // a consequence.
  const bool is_consequence = has_connected_ && !has_heard_ && dial->is_forgotten();
  if (!is_consequence) dial_error_ = dial->error();
  refused_ |= !has_connected_ && dial->is_refused();
  if (log_->wants(LogLevel::kDebug)) (*log_)(LogLevel::kDebug, dial->error().message());
  endpoint.reconnect_failed(path, now);
  if (has_connected_ && dial->is_forgotten()) endpoint.peer_forgot();
}

Result<std::unique_ptr<tcp::PreparedPath>> LinkBackend::prepare(const tcp::Hello& hello,
                                                                const tcp::IpAddress& from) {
  std::optional<PathOffer> offer = find_offer(hello.options);
  if (!offer || hello.path_index >= paths_.size())
    return Status(StatusCode::kProtocolError, "its offer of a queue pair cannot be read");
  if (!leads_to(offer->queue, from)) {
    return Status(StatusCode::kProtocolError,
                  fmt::format("its queue pair is at {}, but it was dialled from {}",
                              gid_text(offer->queue.gid), from.to_string()));
  }
  auto prepared = std::make_unique<Prepared>();
  prepared->path = static_cast<PathId>(hello.path_index);
  prepared->incarnation = static_cast<Incarnation>(hello.incarnation);
  prepared->peer = *offer;
  prepared->peer_may_write = peer_may_write_.load();
  std::shared_ptr<Rail> rail;
  {
    std::lock_guard lock(rails_mutex_);
    rail = rails_[plane_of(prepared->path)];
  }
  auto queue = QueuePair::create(std::move(rail), new_token(prepared->path), prepared->peer_may_write);
  if (!queue) return queue.status();
  prepared->queue = std::move(*queue);
  Status connected = prepared->queue->connect(
      *offer, flow_label(flow_salt(plan_.connection), hello.path_index, hello.incarnation));
  if (!connected) return connected;
  prepared->answer.push_back(offer_option(prepared->queue->offer()));
  return std::unique_ptr<tcp::PreparedPath>(std::move(prepared));
}

void LinkBackend::await(std::unique_ptr<tcp::PreparedPath> prepared, multipath::Endpoint& endpoint,
                        TimePoint now) {
  std::unique_ptr<Prepared> fresh(static_cast<Prepared*>(prepared.release()));
  PathSlot& slot = at(fresh->path);
  if (slot.awaited && slot.awaited->incarnation > fresh->incarnation) return discard(std::move(fresh->queue));
  if (slot.awaited) discard(std::move(slot.awaited->queue));
  slot.awaited = nullptr;
  bool stale = !endpoint.may_connect(fresh->path, fresh->incarnation);
  stale |= &fresh->queue->rail() != rails_[plane_of(fresh->path)].get();
  if (stale || (fresh->peer_may_write && !peer_may_write_.load())) return discard(std::move(fresh->queue));
  slot.awaited = std::move(fresh);
  slot.awaited_until = now + kAwaited;
}

// Nothing may be written to user memory any more, nor read from it. Where a peer knows a key of it, every
// queue pair by which it could use it goes out of service, and later ones let nobody write. Otherwise the
// paths stay, for the goodbye.
void LinkBackend::abandon_buffers(multipath::Endpoint& endpoint, TimePoint now) {
  const bool exposed = memory_.holds_receives();
  if (exposed) peer_may_write_.store(false);
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    PathSlot& slot = paths_[i];
    slot.dial.reset();
    if (exposed && slot.awaited) discard(std::move(std::exchange(slot.awaited, nullptr)->queue));
    if (slot.queue && (exposed || slot.queue->reads_user_memory()))
      lose(static_cast<PathId>(i), LossReason::kClosed, endpoint, now);
  }
  memory_.release_all();
}

void LinkBackend::request_done(multipath::RequestSlot request) {
  if (request.receives) {
    memory_.release_receive(request.slot);
  } else {
    memory_.finish_send(request.slot, nic_is_done());
  }
}

Status LinkBackend::takes_device_memory() const {
  const auto refused = [](std::string why) { return Status(StatusCode::kInvalidArgument, std::move(why)); };
  if (plan_.payload_checksum)
    return refused("WEFT_CHECKSUM=1, of this end or the peer's, has the CPU read all payloads");
  for (const auto& rail : rails_) {
    if (!rail->port().takes_device_memory)
      return refused("device " + rail->port().name +
                     " cannot be given such memory, or it is switched off (WEFT_GPU_DIRECT)");
  }
  return Status::ok();
}

void LinkBackend::begin_flush(std::uint32_t number, const std::byte* data, multipath::Endpoint& endpoint) {
  if (Status begun = flushes_.begin(number, data); !begun) give_up(begun.message(), endpoint);
}

bool LinkBackend::is_drained() const {
  return std::all_of(paths_.begin(), paths_.end(),
                     [](const PathSlot& slot) { return !slot.queue || slot.queue->in_flight() == 0; });
}

bool LinkBackend::is_settled() const {
  return std::all_of(paths_.begin(), paths_.end(),
                     [](const PathSlot& slot) { return slot.queue || slot.attempted; });
}

void LinkBackend::describe(PathId path, PathStatistics& statistics) const {
  const PathSlot& slot = paths_[multipath::index(path)];
  statistics.local_device = slot.device;
  statistics.local_address = slot.local_address.empty() ? "(not dialled yet)" : slot.local_address;
  statistics.peer_address = slot.peer_address.empty() ? "(not dialled yet)" : slot.peer_address;
}

}  // namespace weft::verbs
