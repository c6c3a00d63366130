#include "transport/sim/fabric.h"

#include <algorithm>
#include <cstring>

namespace weft::sim {

Fabric::Fabric(Clock& clock, Random random, const FabricSetup& setup, Account& account)
    : clock_(clock), random_(random), setup_(setup), account_(account) {
  for (int direction : {0, 1}) {
    links_[direction].resize(paths());
    ports_[direction].resize(setup_.planes.size());
    for (std::size_t plane = 0; plane < setup_.planes.size(); ++plane)
      ports_[direction][plane].bytes_per_ns = setup_.planes[plane].bytes_per_ns;
    for (std::size_t path = 0; path < paths(); ++path)
      links_[direction][path].delay = setup_.planes[plane_of(path)].delay;
  }
}

FrameIndex Fabric::new_frame() {
  if (free_frames_.empty()) {
    frames_.emplace_back();
    return static_cast<FrameIndex>(frames_.size() - 1);
  }
  FrameIndex index = free_frames_.back();
  free_frames_.pop_back();
  return index;
}

void Fabric::release(FrameIndex index) {
  if (--frames_[index].references == 0) free_frames_.push_back(index);
}

bool Fabric::transmit(int from, std::size_t path, std::uint32_t incarnation,
                      const multipath::FrameHeader& header, const std::byte* payload) {
  FrameIndex index = new_frame();
  WireFrame& frame = frames_[index];
  frame.from = from;
  frame.path = path;
  frame.incarnation = incarnation;
  multipath::encode(header, frame.header);
  frame.is_data = header.type == multipath::FrameType::kData;
  frame.length = header.length;
  frame.number = frame.is_data ? multipath::message_number(header.epoch, header.slot) : 0;
  frame.offset = header.offset;
  frame.source = payload;
  frame.payload.clear();
  frame.references = 1;
  frame.landing_at = nullptr;
  frame.begun = false;
  Link& link = links_[from][path];
  link.queue.push_back(index);
  link.queued_bytes += multipath::kHeaderBytes + frame.length;
  if (link.queued_bytes >= setup_.socket_bytes) link.full = true;
  start_port(from, plane_of(path));
  return links_[from][path].full;
}

void Fabric::start_port(int direction, std::size_t plane) {
  Port& port = ports_[direction][plane];
  if (port.busy) return;
  std::size_t first = plane * setup_.paths_per_plane;
  for (std::size_t step = 0; step < setup_.paths_per_plane; ++step) {
    std::size_t path = first + (port.turn + step) % setup_.paths_per_plane;
    Link& link = links_[direction][path];
    if (link.queue.empty()) continue;
    FrameIndex index = link.queue.front();
    link.queue.pop_front();
    WireFrame& frame = frames_[index];
    std::uint64_t bytes = multipath::kHeaderBytes + frame.length;
    link.queued_bytes -= bytes;
    port.turn = (path - first + 1) % setup_.paths_per_plane;
    port.busy = true;
    port.in_transfer = index;
    Duration transfer(
        static_cast<std::int64_t>(static_cast<double>(bytes) / (port.bytes_per_ns * port.factor)) + 1);
    depart(index, transfer);
    clock_.after(transfer, *this, kPortFree, static_cast<std::uint64_t>(direction) << 32 | plane);
    if (link.full && link.queued_bytes < setup_.socket_bytes / 2) {
      link.full = false;
      users_[static_cast<std::size_t>(direction)]->path_drained(path);
    }
    return;
  }
}

// The frame begins to leave: now its payload is read.
void Fabric::depart(FrameIndex index, Duration transfer) {
  WireFrame& frame = frames_[index];
  frame.sent = clock_.now();
  frame.transfer = transfer;
  if (frame.is_data) {
    account_.departs(frame.from, frame.number, frame.source, frame.offset, frame.length, frame.path);
    frame.payload.assign(frame.source, frame.source + frame.length);
  }
  double loss = setup_.loss + (frame.is_data ? 0 : setup_.control_loss);
  if (!is_reliable() && random_.chance(loss)) return release(index);
  bool again = setup_.kind == PathKind::kDatagram && random_.chance(setup_.duplication);
  launch(index, clock_.now() + transfer);
  if (!again) return;
  // A copy of its own, because each has its own fate at the receiver.
  FrameIndex copy = new_frame();
  WireFrame& twin = frames_[copy];
  twin = frames_[index];
  twin.references = 1;
  launch(copy, clock_.now() + transfer);
}

Duration Fabric::delay_of(int direction, std::size_t path) {
  Duration delay = links_[direction][path].delay + random_.duration(Duration(0), setup_.jitter);
  if (setup_.late_frames > 0 && random_.chance(setup_.late_frames))
    delay += random_.duration(Duration(0), setup_.late_by);
  return delay;
}

void Fabric::launch(FrameIndex index, TimePoint earliest) {
  WireFrame& frame = frames_[index];
  Link& link = links_[frame.from][frame.path];
  TimePoint arrival = earliest + delay_of(frame.from, frame.path);
  if (keeps_order()) {
    arrival = std::max(arrival, link.last_arrival + Duration(1));
    link.last_arrival = arrival;
  }
  if (is_stream() && frame.is_data && frame.length != 0) {
    ++frame.references;
    clock_.at(std::max(arrival - frame.transfer, clock_.now()), *this, kFrameBegins, index);
  }
  clock_.at(arrival, *this, kFrameArrives, index);
}

void Fabric::arrive(FrameIndex index) {
  WireFrame& frame = frames_[index];
  Link& link = links_[frame.from][frame.path];
  if (link.outages != 0) {
    if (!is_reliable()) return release(index);
    link.held.push_back(index);
    return;
  }
  if (frame.is_data) payload_carried_[frame.from] += frame.length;
  users_[static_cast<std::size_t>(1 - frame.from)]->frame_arrives(index);
}

// After an outage a reliable connection sends again what was not acknowledged.
void Fabric::release_held(int direction, std::size_t path) {
  Link& link = links_[direction][path];
  TimePoint when = clock_.now() + random_.duration(Duration(0), setup_.resend_delay);
  std::vector<FrameIndex> held;
  held.swap(link.held);
  for (FrameIndex index : held) {
    when = std::max(when, keeps_order() ? link.last_arrival : when) + Duration(1);
    link.last_arrival = std::max(link.last_arrival, when);
    clock_.at(when, *this, kFrameArrives, index);
  }
}

void Fabric::detach(int side, std::size_t path, std::uint32_t incarnation, bool tell_peer) {
  Link& link = links_[side][path];
  auto is_its = [&](FrameIndex index) { return frames_[index].incarnation == incarnation; };
  for (FrameIndex index : link.queue)
    if (is_its(index)) {
      link.queued_bytes -= multipath::kHeaderBytes + frames_[index].length;
      release(index);
    }
  std::erase_if(link.queue, is_its);
  link.full = link.queued_bytes >= setup_.socket_bytes;
  // Nobody sends it again, but the network may have a copy that comes late.
  std::erase_if(link.held, [&](FrameIndex index) {
    if (!is_its(index) || random_.chance(0.3)) return false;
    release(index);
    return true;
  });
  if (tell_peer && is_stream() && random_.chance(setup_.close_seen) && is_up(side, path)) {
    TimePoint when = std::max(clock_.now() + delay_of(side, path), link.last_arrival + Duration(1));
    clock_.at(when, *this, kBreakNotice, add_notice({1 - side, path, incarnation, true}));
  }
}

void Fabric::refuse(FrameIndex index) {
  const WireFrame& frame = frames_[index];
  if (is_stream() && random_.chance(setup_.close_seen) && is_up(1 - frame.from, frame.path))
    clock_.after(delay_of(1 - frame.from, frame.path), *this, kBreakNotice,
                 add_notice({frame.from, frame.path, frame.incarnation, false}));
  release(index);
}

void Fabric::break_connection(int side, std::size_t path, std::uint32_t incarnation) {
  clock_.after(random_.duration(Duration(0), std::chrono::milliseconds(2)), *this, kBreakNotice,
               add_notice({side, path, incarnation, false}));
}

void Fabric::connect(int from, std::size_t path, std::uint32_t incarnation) {
  Duration delay = delay_of(from, path);
  if (random_.chance(setup_.connect_late)) delay += random_.duration(Duration(0), 2 * setup_.connect_timeout);
  clock_.after(setup_.connect_timeout, *this, kConnectTimeout, add_notice({from, path, incarnation, false}));
  if (random_.chance(setup_.connect_refused)) {
    clock_.after(2 * delay, *this, kConnectReply, add_notice({from, path, incarnation, false}));
    return;
  }
  clock_.after(delay, *this, kConnectRequest, add_notice({1 - from, path, incarnation, false}));
}

void Fabric::answer_connect(int from, std::size_t path, std::uint32_t incarnation, bool accepted) {
  Duration delay = delay_of(from, path);
  if (random_.chance(setup_.connect_late)) delay += random_.duration(Duration(0), 2 * setup_.connect_timeout);
  clock_.after(delay, *this, kConnectReply, add_notice({1 - from, path, incarnation, accepted}));
}

void Fabric::hold_down(int direction, std::size_t path, bool down) {
  Link& link = links_[direction][path];
  link.outages += down ? 1 : -1;
  if (link.outages == 0) release_held(direction, path);
}

void Fabric::set_rate_factor(int direction, std::size_t plane, double factor) {
  ports_[direction][plane].factor = factor;
}

bool Fabric::take_progress(int from, std::size_t path) {
  if (!works(path)) return false;
  Link& link = links_[from][path];
  const Port& port = ports_[from][plane_of(path)];
  bool moving = port.busy && frames_[port.in_transfer].path == path && frames_[port.in_transfer].from == from;
  bool progressed = link.progressed || moving;
  link.progressed = false;
  return progressed;
}

std::uint64_t Fabric::add_notice(Notice notice) {
  if (free_notices_.empty()) {
    notices_.push_back(notice);
    return notices_.size() - 1;
  }
  std::uint64_t index = free_notices_.back();
  free_notices_.pop_back();
  notices_[index] = notice;
  return index;
}

void Fabric::on_event(std::uint32_t what, std::uint64_t about) {
  if (what == kPortFree) {
    int direction = static_cast<int>(about >> 32);
    std::size_t plane = about & 0xFFFFFFFF;
    ports_[direction][plane].busy = false;
    return start_port(direction, plane);
  }
  if (what == kFrameArrives) return arrive(static_cast<FrameIndex>(about));
  if (what == kFrameBegins) {
    FrameIndex index = static_cast<FrameIndex>(about);
    const WireFrame& frame = frames_[index];
    if (links_[frame.from][frame.path].outages == 0)
      users_[static_cast<std::size_t>(1 - frame.from)]->frame_begins(index);
    return release(index);
  }
  Notice notice = notices_[about];
  free_notices_.push_back(about);
  FabricUser& user = *users_[static_cast<std::size_t>(notice.to)];
  int direction = 1 - notice.to;
  switch (static_cast<Event>(what)) {
    case kBreakNotice:
      return user.connection_breaks(notice.path, notice.incarnation, notice.flag);
    case kConnectRequest:
      if (is_up(direction, notice.path)) user.connect_request(notice.path, notice.incarnation);
      return;
    case kConnectReply:
      if (is_up(direction, notice.path)) user.connect_reply(notice.path, notice.incarnation, notice.flag);
      return;
    case kConnectTimeout:
      return user.connect_timeout(notice.path, notice.incarnation);
    default:
      return;
  }
}

}  // namespace weft::sim
