#include "transport/tcp/link_backend.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/epoll.h>

#include <bit>
#include <system_error>

#include "transport/engine/environment.h"
#include "transport/tcp/ip_address.h"

namespace weft::tcp {

using multipath::mask_of;

using multipath::Incarnation;
using multipath::LossReason;
using multipath::PathId;
using multipath::TimePoint;

namespace {

// How long a path should be able to send while nobody looks after it. What waits longer is given too early:
// it cannot go over another path that turns out to be faster.
constexpr std::chrono::milliseconds kUnsentTime{4};

// So often at least all paths are asked, not only the likely one.
constexpr unsigned kAskAllEvery = 4;

using AddressCall = int (*)(int, sockaddr*, socklen_t*);

std::string address_text(int fd, AddressCall call, bool with_port) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* generic = reinterpret_cast<sockaddr*>(&storage);
  if (call(fd, generic, &size) != 0) return "(unknown)";
  auto address = IpAddress::from_sockaddr(generic);
  if (!address) return "(unknown)";
  bool ipv4 = storage.ss_family == AF_INET;
  std::uint16_t port = ntohs(ipv4 ? reinterpret_cast<sockaddr_in*>(&storage)->sin_port
                                  : reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port);
  return with_port ? address->to_string_with_port(port) : address->to_string();
}

}  // namespace

LinkBackend::LinkBackend(Socket epoll, std::size_t paths, std::vector<PathRoute> routes, DialSettings dialing,
                         const LinkTerms& terms, std::shared_ptr<const engine::Log> log)
    : terms_(terms),
      coder_(terms.coding),
      paths_(paths),
      routes_(std::move(routes)),
      dialing_(std::move(dialing)),
      log_(std::move(log)),
      epoll_(std::move(epoll)) {
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    paths_[i].device = routes_[i].local.name;
    paths_[i].local_address = routes_[i].local.address.to_string();
    paths_[i].peer_address = routes_[i].remote.address.to_string_with_port(routes_[i].remote.port);
  }
}

bool LinkBackend::adopt(PathId path, Incarnation incarnation, Socket socket, std::string device,
                        multipath::Endpoint& endpoint, TimePoint now) {
  if (!endpoint.may_connect(path, incarnation)) {
    socket.reset();
    return endpoint.path_connected(path, incarnation, now);  // tells it that the attempt came to nothing
  }
  lose(path, LossReason::kReplaced, endpoint, now);
  PathSlot& slot = paths_[multipath::index(path)];
  set_path_options(socket, terms_.peer_timeout);
  slot.device = std::move(device);
  slot.local_address = address_text(socket.fd(), getsockname, true);
  slot.peer_address = address_text(socket.fd(), getpeername, true);
  peer_name_ = address_text(socket.fd(), getpeername, false);
  name_paths_of_plane(path, address_text(socket.fd(), getsockname, false), endpoint);
  slot.stream = std::make_unique<PathStream>(std::move(socket), path, incarnation, terms_.payload_checksum,
                                             terms_.coding.agreed ? &coder_ : nullptr);
  if (!terms_.coding.agreed) warn_of_coding();
  streams_ |= mask_of(path);
  slot.waits_for_room = false;
  slot.marked = false;
  watch_all();
  return endpoint.path_connected(path, incarnation, now);
}

// Who asks for a level wants to know where there is none.
void LinkBackend::warn_of_coding() const {
  const CompressionChoice asked = terms_.coding.sends;
  if (asked == CompressionChoice::kOff || asked == CompressionChoice::kAuto ||
      !log_->wants(LogLevel::kWarn) || !log_->is_first("compression with " + peer_name_))
    return;
  (*log_)(LogLevel::kWarn,
          fmt::format("WEFT_COMPRESS={} has no effect on what goes to peer {}: {}. {}", to_string(asked),
                      peer_name_, why_not_agreed(terms_.coding), remedy_if_not_agreed(terms_.coding)));
}

// On the accepting side nothing is known of a path before the peer dials it but where its plane runs.
void LinkBackend::name_paths_of_plane(PathId path, const std::string& local_address,
                                      const multipath::Endpoint& endpoint) {
  const PathSlot& model = paths_[multipath::index(path)];
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    if (!paths_[i].device.empty() ||
        endpoint.paths()[i].plane != endpoint.paths()[multipath::index(path)].plane)
      continue;
    paths_[i].device = model.device;
    paths_[i].local_address = local_address;
    paths_[i].peer_address = peer_name_;
  }
}

void LinkBackend::lose(PathId path, LossReason reason, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = paths_[multipath::index(path)];
  if (!slot.stream) return;
  Incarnation incarnation = slot.stream->incarnation();
  fence(path);
  endpoint.path_lost(path, incarnation, reason, now);
}

void LinkBackend::fence(PathId path) {
  PathSlot& slot = paths_[multipath::index(path)];
  if (slot.stream) slot.stream->reset();  // leaves the epoll set by being closed
  slot.stream.reset();
  slot.watched_events = 0;
  streams_ &= ~mask_of(path);
  dirty_ &= ~mask_of(path);
  watch_all();
}

void LinkBackend::cut(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  lose(path, LossReason::kCut, endpoint, now);
}

bool LinkBackend::receive(multipath::Endpoint& endpoint, TimePoint now) {
  // News mostly comes the way the last news came: asking that socket alone costs one system call, not two.
  std::optional<PathId> alone = has_single_stream()            ? std::optional(lone_stream())
                                : ++polls_ % kAskAllEvery != 0 ? likely_
                                                               : std::nullopt;
  if (alone) {
    PathSlot& slot = paths_[multipath::index(*alone)];
    if (slot.stream && !slot.waits_for_room) return read(*alone, endpoint, now);
  }
  std::array<epoll_event, multipath::kMaxPaths> events;
  int count = epoll_wait(epoll_.fd(), events.data(), static_cast<int>(events.size()), 0);
  bool moved = false;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    PathId path = static_cast<PathId>(event.data.u32);
    if (event.events & EPOLLOUT) flush_path(path, endpoint, now);
    if (!paths_[event.data.u32].stream || !(event.events & (EPOLLIN | EPOLLERR | EPOLLHUP))) continue;
    moved |= read(path, endpoint, now);
    likely_ = path;
  }
  if (count > 1) likely_.reset();
  return moved;
}

bool LinkBackend::read(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  StreamOutcome outcome = paths_[multipath::index(path)].stream->receive(endpoint, now);
  if (outcome == StreamOutcome::kIdle) return false;
  handle(path, outcome, endpoint, now);
  return outcome == StreamOutcome::kMoved;
}

void LinkBackend::handle(PathId path, StreamOutcome outcome, multipath::Endpoint& endpoint, TimePoint now) {
  switch (outcome) {
    case StreamOutcome::kIdle:
    case StreamOutcome::kMoved:
    case StreamOutcome::kBlocked:
      return;
    case StreamOutcome::kClosed:
      lose(path, LossReason::kClosed, endpoint, now);
      return;
    case StreamOutcome::kBroken:
      lose(path, LossReason::kReset, endpoint, now);
      return;
    case StreamOutcome::kProtocolError:
    case StreamOutcome::kBadChecksum: {
      const PathSlot& slot = paths_[multipath::index(path)];
      bool checksum = outcome == StreamOutcome::kBadChecksum;
      (*log_)(
          LogLevel::kWarn,
          fmt::format(
              "path {} on device {}, {} -> peer {}, is closed: the peer sent a malformed frame: {}. Do both "
              "ends run the same version of Weft?",
              multipath::index(path), slot.device, slot.local_address, slot.peer_address,
              checksum ? "its payload checksum is wrong" : slot.stream->error()));
      lose(path, checksum ? LossReason::kChecksum : LossReason::kProtocolError, endpoint, now);
      return;
    }
  }
}

void LinkBackend::send(const multipath::Transmission& transmission, multipath::Endpoint& endpoint,
                       TimePoint now) {
  PathSlot& slot = paths_[multipath::index(transmission.path)];
  if (!slot.stream) return;
  slot.stream->enqueue(transmission);
  dirty_ |= mask_of(transmission.path);
  if (slot.stream->wants_flush()) flush_path(transmission.path, endpoint, now);
}

void LinkBackend::flush(multipath::Endpoint& endpoint, TimePoint now) {
  for (std::uint64_t rest = dirty_; rest != 0; rest &= rest - 1) {
    flush_path(static_cast<PathId>(std::countr_zero(rest)), endpoint, now);
  }
}

void LinkBackend::flush_path(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  dirty_ &= ~mask_of(path);
  PathSlot& slot = paths_[multipath::index(path)];
  if (!slot.stream) return;
  StreamOutcome outcome = slot.stream->flush();
  if (outcome == StreamOutcome::kBroken) {
    lose(path, LossReason::kReset, endpoint, now);
    return;
  }
  bool blocked = outcome == StreamOutcome::kBlocked;
  if (blocked) {
    endpoint.path_blocked(path);
  } else {
    endpoint.path_writable(path);
  }
  wait_for_room(path, blocked);
}

void LinkBackend::wait_for_room(PathId path, bool wait) {
  PathSlot& slot = paths_[multipath::index(path)];
  if (slot.waits_for_room == wait) return;
  slot.waits_for_room = wait;
  watch(path);
}

void LinkBackend::watch_all() {
  for (std::uint64_t rest = streams_; rest != 0; rest &= rest - 1)
    watch(static_cast<PathId>(std::countr_zero(rest)));
}

// A lone path that waits for nothing is not watched: it is read anyway, and what arrives on a watched socket
// costs the peer's kernel thread, on one host even the peer, the entry in our ready list.
void LinkBackend::watch(PathId path) {
  PathSlot& slot = paths_[multipath::index(path)];
  std::uint32_t wanted = EPOLLIN;
  if (slot.waits_for_room) {
    wanted |= EPOLLOUT;
  } else if (has_single_stream()) {
    wanted = 0;
  }
  if (slot.watched_events == wanted) return;
  epoll_event event{};
  event.events = wanted;
  event.data.u32 = static_cast<std::uint32_t>(multipath::index(path));
  int operation = EPOLL_CTL_MOD;
  if (slot.watched_events == 0) operation = EPOLL_CTL_ADD;
  if (wanted == 0) operation = EPOLL_CTL_DEL;
  slot.watched_events = wanted;
  if (epoll_ctl(epoll_.fd(), operation, slot.stream->fd(), &event) != 0 && log_->wants(LogLevel::kWarn)) {
    (*log_)(LogLevel::kWarn,
            fmt::format("path {} on device {}, {} -> peer {}, cannot be watched: {}; raise the limit "
                        "fs.epoll.max_user_watches",
                        multipath::index(path), slot.device, slot.local_address, slot.peer_address,
                        std::generic_category().message(errno)));
  }
}

void LinkBackend::reconnect(PathId path, Incarnation incarnation, TimePoint now) {
  PathSlot& slot = paths_[multipath::index(path)];
  slot.dialed = incarnation;
  slot.dial = std::make_unique<Dial>(routes_[multipath::index(path)], dialing_, path, incarnation, now);
}

void LinkBackend::step_dial(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = paths_[multipath::index(path)];
  DialState state = slot.dial->step(now);
  if (state == DialState::kPending) return;
  std::unique_ptr<Dial> dial = std::move(slot.dial);
  slot.attempted = true;
  if (state == DialState::kConnected) {
    adopt(path, slot.dialed, dial->take_socket(), routes_[multipath::index(path)].local.name, endpoint, now);
    return;
  }
  log_failed_dial(*dial, *log_);
  endpoint.reconnect_failed(path, now);
  if (dial->is_forgotten()) endpoint.peer_forgot();
}

// The endpoint counts in payload, sockets in what it was coded to.
std::uint64_t LinkBackend::unsent_bytes(PathId path, const multipath::Endpoint& endpoint) const {
  return static_cast<std::uint64_t>(static_cast<double>(endpoint.bytes_drained_in(kUnsentTime, path)) *
                                    coder_.wire_share());
}

void LinkBackend::tick(multipath::Endpoint& endpoint, TimePoint now) {
  if (terms_.coding.agreed) coder_.tick(endpoint, now);
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    PathId path = static_cast<PathId>(i);
    PathSlot& slot = paths_[i];
    if (slot.dial) step_dial(path, endpoint, now);
    if (slot.stream) slot.stream->limit_unsent(unsent_bytes(path, endpoint));
    if (!slot.stream || !endpoint.is_suspicious(path, now)) {
      slot.marked = false;
    } else {
      ask_kernel(path, endpoint, now);
    }
  }
}

// No frame has come for a while. The kernel knows whether that is the network's fault or the peer's process
// is slow, and a slow process is no reason to leave a path.
void LinkBackend::ask_kernel(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = paths_[multipath::index(path)];
  PathStream::KernelView view = slot.stream->kernel_view();
  bool moved = slot.marked && view.mark != slot.mark;
  if (moved || view.owes_nothing) endpoint.path_progressed(path, now);
  if (slot.marked && view.received != slot.received) endpoint.peer_spoke(now);
  if (!moved && view.owes_nothing)
    endpoint.request_probe(path);  // so that the kernel has something to hear about
  slot.marked = true;
  slot.mark = view.mark;
  slot.received = view.received;
}

void LinkBackend::abandon_buffers(multipath::Endpoint& endpoint, TimePoint now) {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    paths_[i].dial.reset();
    if (paths_[i].stream && !paths_[i].stream->abandon_buffers()) {
      lose(static_cast<PathId>(i), LossReason::kClosed, endpoint, now);
    }
  }
}

bool LinkBackend::is_drained() const {
  for (const PathSlot& slot : paths_)
    if (slot.stream && (slot.stream->has_output() || slot.stream->unacknowledged_bytes() != 0)) return false;
  return true;
}

bool LinkBackend::is_settled() const {
  for (const PathSlot& slot : paths_)
    if (!slot.stream && !slot.attempted) return false;
  return true;
}

void LinkBackend::describe(PathId path, PathStatistics& statistics) const {
  const PathSlot& slot = paths_[multipath::index(path)];
  bool known = !slot.device.empty();
  statistics.local_device = known ? slot.device : "(not dialled by the peer)";
  statistics.local_address = known ? slot.local_address : "(unknown)";
  statistics.peer_address = known ? slot.peer_address : peer_name_;
}

}  // namespace weft::tcp
