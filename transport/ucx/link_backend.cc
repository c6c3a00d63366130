#include "transport/ucx/link_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "transport/multipath/crc32c.h"
#include "transport/ucx/path_offer.h"
#include "transport/ucx/prepared_path.h"

namespace weft::ucx {

using multipath::FrameHeader;
using multipath::Incarnation;
using multipath::LossReason;
using multipath::PathId;
using multipath::TimePoint;

namespace {

constexpr std::chrono::seconds kAwaited{10};
constexpr std::chrono::seconds kAnswered{5};
constexpr std::chrono::seconds kFirstAnswer{10};
constexpr unsigned kMostDoublings = 3;
constexpr std::chrono::milliseconds kShortestRedial{500};
constexpr std::chrono::seconds kLongestRedial{5};

}  // namespace

LinkBackend::LinkBackend(tcp::DialledPlan plan, std::shared_ptr<WorkerShelf> shelf,
                         std::vector<std::string> devices, std::shared_ptr<const engine::Log> log)
    : plan_(std::move(plan)),
      shelf_(std::move(shelf)),
      devices_(std::move(devices)),
      log_(std::move(log)),
      paths_(plan_.paths) {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    paths_[i].device = devices_[plane_of(static_cast<PathId>(i))];
    paths_[i].local_address = paths_[i].peer_address = "(not dialled yet)";
    if (i >= plan_.routes.size()) continue;
    paths_[i].local_address = plan_.routes[i].local.address.to_string();
    paths_[i].peer_address = plan_.routes[i].remote.address.to_string();
    if (i == 0) peer_name_ = paths_[i].peer_address;
  }
}

LinkBackend::~LinkBackend() = default;

void LinkBackend::install(std::unique_ptr<Prepared> end, multipath::Endpoint& endpoint, TimePoint now) {
  const PathId path = end->path;
  lose(path, LossReason::kReplaced, endpoint, now);
  PathSlot& slot = at(path);
  slot.peer_address = fmt::format("{} {}", end->peer_device, end->peer_address);
  peer_name_ = end->peer_address;
  slot.worker = std::move(end->worker);
  slot.incarnation = end->incarnation;
  slot.landing = slot.probe_waits_for = 0;
  slot.heard_acknowledged = slot.told_acknowledged = 0;
  slot.blocked = slot.marked = false;
  slot.attempted = has_connected_ = true;
  endpoint.path_connected(path, slot.incarnation, now);
  // The accepting end's answer to the first frame.
  if (plan_.routes.empty()) endpoint.request_probe(path);
}

void LinkBackend::lose(PathId path, LossReason reason, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = at(path);
  if (!slot.worker) return;
  if (slot.worker->is_broken() && log_->wants(LogLevel::kDebug)) {
    (*log_)(LogLevel::kDebug,
            fmt::format("path {} on device {}, {} -> peer {}: {}", multipath::index(path), slot.device,
                        slot.local_address, slot.peer_address, slot.worker->broken()));
  }
  fence(path);
  endpoint.path_lost(path, slot.incarnation, reason, now);
}

void LinkBackend::fence(PathId path) {
  PathSlot& slot = at(path);
  slot.worker.reset();
  slot.landing = slot.probe_waits_for = 0;
}

void LinkBackend::cut(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  lose(path, LossReason::kCut, endpoint, now);
}

void LinkBackend::send(const multipath::Transmission& transmission, multipath::Endpoint& endpoint,
                       TimePoint now) {
  PathSlot& slot = at(transmission.path);
  if (!slot.worker) return;
  said_credit_seen_ = transmission.header.credit_seen;
  bool sent = false;
  if (plan_.payload_checksum && transmission.header.length != 0) {
    FrameHeader header = transmission.header;
    header.flags |= multipath::kFlagChecksum;
    header.payload_checksum = multipath::crc32c(0, transmission.payload, header.length);
    sent = slot.worker->send(header, transmission.payload);
  } else {
    sent = slot.worker->send(transmission.header, transmission.payload);
  }
  if (!sent) return lose(transmission.path, LossReason::kReset, endpoint, now);
  if (!slot.worker->has_room()) {
    slot.blocked = true;
    endpoint.path_blocked(transmission.path);
  }
}

void LinkBackend::reconnect(PathId path, Incarnation incarnation, TimePoint) {
  const std::size_t i = multipath::index(path);
  tcp::DialSettings settings = plan_.dialing;
  // Where many connect at once the peer has many workers to make before it answers. It makes those of
  // attempts that were given up, too, so whoever was not answered must wait longer, lest nobody ever is.
  if (!has_connected_) {
    settings.attempt_timeout = std::max<multipath::Duration>(
        settings.attempt_timeout, kFirstAnswer * (1U << std::min(paths_[i].failed_dials, kMostDoublings)));
  }
  settings.hello.purpose = has_connected_ ? tcp::PathPurpose::kAdditionalPath : tcp::PathPurpose::kFirstPath;
  paths_[i].dial = std::make_unique<WorkerDial>(shelf_, plan_.ports[plane_of(path)], plan_.routes[i],
                                                std::move(settings), path, incarnation);
}

void LinkBackend::step_dial(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = at(path);
  tcp::DialState state = slot.dial->step(now);
  if (state == tcp::DialState::kPending) return;
  std::unique_ptr<WorkerDial> dial = std::move(slot.dial);
  if (state == tcp::DialState::kConnected) {
    endpoint.limit_chunk_bytes(dial->welcome().parameters.chunk_limit_bytes);
    return greet(path, std::move(dial), now);
  }
  slot.attempted = true;
  ++slot.failed_dials;
  dial_error_ = dial->error();
  refused_ |= !has_connected_ && dial->is_refused();
  if (log_->wants(LogLevel::kDebug)) (*log_)(LogLevel::kDebug, dial_error_.message());
  endpoint.reconnect_failed(path, now);
  if (has_connected_ && dial->is_forgotten()) endpoint.peer_forgot();
}

// UCX connects two workers while frames wait, in a time that is its own: the path is one when the peer has
// answered a first frame. Until then nothing is asked of it, and no deadline runs but this.
void LinkBackend::greet(PathId path, std::unique_ptr<WorkerDial> dial, TimePoint now) {
  PathSlot& slot = at(path);
  slot.failed_dials = 0;
  // A fresh dial may take a few round trips; a far peer's are longer than a near one's.
  plan_.dialing.attempt_timeout =
      std::clamp<multipath::Duration>(8 * (now - dial->dial_began()), kShortestRedial, kLongestRedial);
  plan_.payload_checksum = dial->welcome().parameters.payload_checksum;
  slot.awaited = std::make_unique<Prepared>();
  slot.awaited->path = path;
  slot.awaited->incarnation = dial->incarnation();
  slot.awaited->worker = dial->take_worker();
  slot.awaited->peer_device = dial->peer_device();
  slot.awaited->peer_address = plan_.routes[multipath::index(path)].remote.address.to_string();
  slot.awaited_until = now + kAnswered;
  FrameHeader first;
  first.credit_seen = said_credit_seen_;
  slot.awaited->worker->send(first, nullptr);  // where that fails, nothing will come
}

void LinkBackend::give_up_awaited(PathId path, multipath::Endpoint& endpoint, TimePoint now) {
  PathSlot& slot = at(path);
  const std::string broken = slot.awaited->worker->broken();
  slot.awaited.reset();
  if (plan_.routes.empty()) return;
  slot.attempted = true;
  dial_error_ = Status(
      StatusCode::kUnreachable,
      fmt::format(
          "path {} on device {}, {} -> peer {}: TCP connects the two interfaces, but nothing comes back by "
          "UCX{}{}; does ucx_perftest work between the two hosts over this device?",
          multipath::index(path), slot.device, slot.local_address, slot.peer_address,
          broken.empty() ? "" : ", which says: ", broken));
  if (log_->wants(LogLevel::kDebug)) (*log_)(LogLevel::kDebug, dial_error_.message());
  endpoint.reconnect_failed(path, now);
}

Result<std::unique_ptr<tcp::PreparedPath>> LinkBackend::prepare(const tcp::Hello& hello,
                                                                const tcp::IpAddress& from) {
  std::optional<PathOffer> offer = find_offer(hello.options);
  if (!offer || hello.path_index >= paths_.size())
    return Status(StatusCode::kProtocolError, "its offer of a UCX worker cannot be read");
  auto prepared = std::make_unique<Prepared>();
  prepared->path = static_cast<PathId>(hello.path_index);
  prepared->incarnation = static_cast<Incarnation>(hello.incarnation);
  prepared->peer_device = offer->device;
  prepared->peer_address = from.to_string();
  auto worker = shelf_->take(plan_.ports[plane_of(prepared->path)]);
  if (!worker) return worker.status();
  prepared->worker = std::move(*worker);
  if (Status connected = prepared->worker->connect(offer->address); !connected) return connected;
  prepared->answer.push_back(
      {kPathOfferOption, encode(PathOffer{prepared->worker->address(), prepared->worker->device().name})});
  return std::unique_ptr<tcp::PreparedPath>(std::move(prepared));
}

void LinkBackend::await(std::unique_ptr<tcp::PreparedPath> prepared, multipath::Endpoint& endpoint,
                        TimePoint now) {
  std::unique_ptr<Prepared> fresh(static_cast<Prepared*>(prepared.release()));
  PathSlot& slot = at(fresh->path);
  if (slot.awaited && slot.awaited->incarnation > fresh->incarnation) return;
  slot.awaited.reset();
  if (!endpoint.may_connect(fresh->path, fresh->incarnation)) return;
  slot.awaited = std::move(fresh);
  slot.awaited_until = now + kAwaited;
}

void LinkBackend::tick(multipath::Endpoint& endpoint, TimePoint now) {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    PathId path = static_cast<PathId>(i);
    PathSlot& slot = paths_[i];
    if (slot.dial) step_dial(path, endpoint, now);
    // A worker that waits for its first frame has let nothing land, so there is no haste.
    if (slot.awaited && (now > slot.awaited_until || slot.awaited->worker->is_broken()))
      give_up_awaited(path, endpoint, now);
    if (closing_ && slot.worker) slot.worker->flush();
    // No frame has come for a while. As long as UCX moves anything on the path's worker, which serves nothing
    // else, the path works: a large payload is under way, or waits in a queue that drains.
    if (!slot.worker || !endpoint.is_suspicious(path, now)) {
      slot.marked = false;
    } else {
      if (slot.marked && slot.worker->activity() != slot.mark) endpoint.path_progressed(path, now);
      slot.marked = true;
      slot.mark = slot.worker->activity();
    }
  }
}

// Nothing may be fetched into user memory any more, nor read from it: the paths that do are broken. The
// others stay, for the goodbye.
void LinkBackend::abandon_buffers(multipath::Endpoint& endpoint, TimePoint now) {
  closing_ = true;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    PathSlot& slot = paths_[i];
    slot.dial.reset();
    if (slot.worker && (slot.landing != 0 || slot.worker->is_reading()))
      lose(static_cast<PathId>(i), LossReason::kClosed, endpoint, now);
  }
}

bool LinkBackend::is_drained() const {
  return std::all_of(paths_.begin(), paths_.end(),
                     [](const PathSlot& slot) { return !slot.worker || slot.worker->is_drained(); });
}

bool LinkBackend::is_settled() const {
  return std::all_of(paths_.begin(), paths_.end(),
                     [](const PathSlot& slot) { return slot.worker || slot.attempted; });
}

void LinkBackend::describe(PathId path, PathStatistics& statistics) const {
  const PathSlot& slot = paths_[multipath::index(path)];
  statistics.local_device = slot.device;
  statistics.local_address = slot.local_address;
  statistics.peer_address = slot.peer_address;
}

}  // namespace weft::ucx
