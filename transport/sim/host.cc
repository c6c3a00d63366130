#include "transport/sim/host.h"

#include <cstring>

namespace weft::sim {

using multipath::ActionKind;
using multipath::FrameHeader;
using multipath::Incarnation;
using multipath::Landing;
using multipath::LandingVerdict;
using multipath::LossReason;

namespace {

constexpr std::uint64_t kMostFramesAtOnce = 1'000'000;

multipath::EndpointConfig make_config(int id, const Scenario& scenario) {
  multipath::EndpointConfig config;
  for (std::size_t path = 0; path < scenario.fabric.paths(); ++path)
    config.path_planes.push_back(static_cast<multipath::PlaneId>(path / scenario.fabric.paths_per_plane));
  for (std::size_t plane = 0; plane < scenario.fabric.planes.size(); ++plane)
    if (scenario.fabric.planes[plane].standby) config.standby_planes |= std::uint64_t{1} << plane;
  config.connects = id == 0;
  config.chunk_bytes = scenario.chunk_bytes;
  config.path_timeout = scenario.path_timeout;
  config.peer_timeout = scenario.peer_timeout;
  return config;
}

}  // namespace

Host::Host(int id, Clock& clock, Fabric& fabric, Account& account, Trace& trace, Random random,
           const Scenario& scenario)
    : id_(id),
      clock_(clock),
      fabric_(fabric),
      account_(account),
      trace_(trace),
      random_(random),
      scenario_(scenario),
      endpoint_(make_config(id, scenario)),
      sides_(scenario.fabric.paths()),
      tick_(scenario.tick) {}

void Host::start(std::size_t connected_paths) {
  for (std::size_t path = 0; path < connected_paths; ++path) {
    core()->path_connected(id_of(path), Incarnation{1}, clock_.now());
    sides_[path].attached = 1;
  }
  clock_.after(random_.duration(Duration(0), tick_), *this, kTick);
}

void Host::leave() {
  trace_.line(id_, "closes");
  core()->close(clock_.now());
  pump();
  clock_.after(std::chrono::milliseconds(2), *this, kGone);
}

void Host::take(const Input& input) {
  if (gone_) {
    if (input.kind == InputKind::kArrives) fabric_.refuse(input.frame);
    if (input.kind == InputKind::kBegins) fabric_.release(input.frame);
    if (input.kind == InputKind::kRequest) fabric_.answer_connect(id_, input.path, input.incarnation, false);
    return;
  }
  if (is_stalled()) {
    inbox_.push_back(input);
    return;
  }
  handle(input);
  pump();
}

void Host::handle(const Input& input) {
  Side& side = sides_[input.path];
  switch (input.kind) {
    case InputKind::kBegins:
      begin_landing(input.frame);
      return fabric_.release(input.frame);
    case InputKind::kArrives:
      return handle_arrival(input.frame);
    case InputKind::kBreaks:
      if (side.attempt == input.incarnation) return handle_reply(input.path, input.incarnation, false);
      if (side.attached != input.incarnation || side.fencing) return;
      trace_.line(id_, "connection %zu.%u breaks", input.path, input.incarnation);
      detach(input.path, false);
      core()->path_lost(id_of(input.path), static_cast<Incarnation>(input.incarnation),
                        input.flag ? LossReason::kClosed : LossReason::kReset, clock_.now());
      return;
    case InputKind::kRequest:
      return handle_request(input.path, input.incarnation);
    case InputKind::kReply:
      return handle_reply(input.path, input.incarnation, input.flag);
    case InputKind::kTimeout:
      return handle_reply(input.path, input.incarnation, false);
    case InputKind::kFenced:
      trace_.line(id_, "fence of path %zu stands", input.path);
      side.fencing = false;
      if (side.attached != kNone) detach(input.path, true);
      core()->path_fenced(id_of(input.path), clock_.now());
      return;
  }
}

void Host::frame_begins(FrameIndex index) {
  ++fabric_.frame(index).references;
  take({InputKind::kBegins, fabric_.frame(index).path, 0, index, false});
}

void Host::frame_arrives(FrameIndex index) {
  if (fabric_.is_direct() && !direct_landing(index)) return;
  const WireFrame& frame = fabric_.frame(index);
  if (!gone_ && sides_[frame.path].attached == frame.incarnation) fabric_.note_progress(index);
  take({InputKind::kArrives, fabric_.frame(index).path, 0, index, false});
}

// The NIC writes whatever comes on a connection that stands, also while the host stalls or the endpoint has
// given the path up, until the fence. Returns whether the host shall hear of it.
bool Host::direct_landing(FrameIndex index) {
  WireFrame& frame = fabric_.frame(index);
  const Side& side = sides_[frame.path];
  if (side.attached != frame.incarnation) {
    if (side.attempt == frame.incarnation) return true;
    fabric_.refuse(index);
    return false;
  }
  if (frame.begun || !frame.is_data) return true;
  frame.begun = true;
  Account::Message* message = account_.by_number(frame.from, frame.number);
  if (message == nullptr) {
    account_.violation("data for a receive that was never posted");
    return true;
  }
  frame.landing_at = message->to == nullptr ? nullptr : message->to + frame.offset;
  place(frame, 0, frame.length);
  return true;
}

void Host::place(WireFrame& frame, std::uint32_t from, std::uint32_t to) {
  if (frame.landing_at == nullptr || from == to) return;
  if (account_.lands(frame.from, frame.number, frame.landing_at + from, frame.offset + from, to - from))
    std::memcpy(frame.landing_at + from, frame.payload.data() + from, to - from);
}

// A driver that reads a stream: it asks the endpoint where the payload goes when the header is here, and
// reads into that place until all of it is.
void Host::begin_landing(FrameIndex index) {
  WireFrame& frame = fabric_.frame(index);
  if (frame.begun || sides_[frame.path].attached != frame.incarnation) return;
  frame.begun = true;
  FrameHeader header;
  multipath::decode(frame.header, header);
  Landing landing =
      core()->data_begins(id_of(frame.path), static_cast<Incarnation>(frame.incarnation), header);
  if (landing.verdict == LandingVerdict::kProtocolError)
    account_.violation(std::string("an honest peer's data was refused: ") + landing.error);
  if (landing.verdict != LandingVerdict::kPlace) return;
  frame.landing_at = landing.at;
  place(frame, 0, frame.length / 2);
}

void Host::handle_arrival(FrameIndex index) {
  WireFrame& frame = fabric_.frame(index);
  Side& side = sides_[frame.path];
  if (side.attached != frame.incarnation) {
    if (side.attempt == frame.incarnation) {
      side.early.push_back(index);
    } else {
      fabric_.refuse(index);
    }
    return;
  }
  FrameHeader header;
  if (multipath::decode(frame.header, header) != multipath::FrameError::kNone)
    account_.violation("a frame does not decode");
  trace_.frame(id_, "receives", frame.path, frame.incarnation, header);
  Incarnation incarnation = static_cast<Incarnation>(frame.incarnation);
  const char* error = nullptr;
  if (frame.is_data) {
    if (!fabric_.is_direct()) {
      begin_landing(index);
      place(frame, frame.length / 2, frame.length);
    }
    if (!account_.broken()) error = core()->data_landed(id_of(frame.path), incarnation, header, clock_.now());
  } else {
    error = core()->handle_frame(id_of(frame.path), incarnation, header, clock_.now());
  }
  if (error != nullptr) account_.violation(std::string("an honest peer's frame was refused: ") + error);
  fabric_.release(index);
}

void Host::path_drained(std::size_t path) {
  if (sides_[path].attached == kNone) return;
  core()->path_writable(id_of(path));
  if (!is_stalled()) pump();
}

void Host::connection_breaks(std::size_t path, std::uint32_t incarnation, bool closed) {
  take({InputKind::kBreaks, path, incarnation, 0, closed});
}
void Host::connect_request(std::size_t path, std::uint32_t incarnation) {
  take({InputKind::kRequest, path, incarnation, 0, false});
}
void Host::connect_reply(std::size_t path, std::uint32_t incarnation, bool accepted) {
  take({InputKind::kReply, path, incarnation, 0, accepted});
}
void Host::connect_timeout(std::size_t path, std::uint32_t incarnation) {
  take({InputKind::kTimeout, path, incarnation, 0, false});
}

// The accepting end. A newer connection replaces the one that stands, which is fenced before the endpoint
// hears of it.
void Host::handle_request(std::size_t path, std::uint32_t incarnation) {
  Side& side = sides_[path];
  std::uint32_t old = side.attached;
  bool accepted = !side.fencing && (old == kNone || old < incarnation);
  if (accepted) {
    if (old != kNone) {
      detach(path, false);
      if (random_.chance(0.5))
        core()->path_lost(id_of(path), static_cast<Incarnation>(old), LossReason::kReplaced, clock_.now());
    }
    accepted = core()->path_connected(id_of(path), static_cast<Incarnation>(incarnation), clock_.now());
    if (!accepted && old != kNone)
      core()->path_lost(id_of(path), static_cast<Incarnation>(old), LossReason::kReplaced, clock_.now());
  }
  trace_.line(id_, "connect request %zu.%u %s", path, incarnation, accepted ? "accepted" : "refused");
  if (accepted) attach(path, incarnation);
  fabric_.answer_connect(id_, path, incarnation, accepted);
}

void Host::handle_reply(std::size_t path, std::uint32_t incarnation, bool accepted) {
  Side& side = sides_[path];
  if (side.attempt != incarnation) return;
  side.attempt = kNone;
  trace_.line(id_, "connect %zu.%u %s", path, incarnation, accepted ? "answered" : "failed");
  if (!accepted) {
    drop_early(path);
    return core()->reconnect_failed(id_of(path), clock_.now());
  }
  if (core()->path_connected(id_of(path), static_cast<Incarnation>(incarnation), clock_.now()))
    return attach(path, incarnation);
  drop_early(path);
  fabric_.detach(id_, path, incarnation, true);
}

void Host::attach(std::size_t path, std::uint32_t incarnation) {
  Side& side = sides_[path];
  side.attached = incarnation;
  std::vector<FrameIndex> early;
  early.swap(side.early);
  for (FrameIndex index : early)
    if (!fabric_.is_direct() || direct_landing(index)) handle_arrival(index);
}

void Host::drop_early(std::size_t path) {
  std::vector<FrameIndex> early;
  early.swap(sides_[path].early);
  for (FrameIndex index : early) fabric_.refuse(index);
}

void Host::detach(std::size_t path, bool tell_peer) {
  Side& side = sides_[path];
  fabric_.detach(id_, path, side.attached, tell_peer);
  side.attached = kNone;
}

void Host::run_action(const multipath::Action& action) {
  std::size_t path = index(action.path);
  Side& side = sides_[path];
  std::uint32_t incarnation = number(action.incarnation);
  switch (action.kind) {
    case ActionKind::kFence: {
      trace_.line(id_, "fence path %zu.%u (%s)", path, incarnation, to_string(action.reason));
      side.fencing = true;
      Duration delay = random_.duration(Duration(0), scenario_.fabric.fence_delay);
      if (scenario_.fabric.fence_delay == Duration(0)) return handle({InputKind::kFenced, path, 0, 0, false});
      return clock_.after(delay, *this, kFenceStands, path);
    }
    case ActionKind::kReconnect:
      trace_.line(id_, "reconnect path %zu.%u", path, incarnation);
      if (side.attempt != kNone || side.attached != kNone)
        account_.violation("a reconnection was ordered while there is a connection");
      side.attempt = incarnation;
      return fabric_.connect(id_, path, incarnation);
    case ActionKind::kLost:
      return trace_.line(id_, "path %zu.%u lost: %s", path, incarnation, to_string(action.reason));
    case ActionKind::kNotRevived:
      return trace_.line(id_, "path %zu.%u lost before it was in use: %s", path, incarnation,
                         to_string(action.reason));
    case ActionKind::kRevived:
      return trace_.line(id_, "path %zu.%u is in use again", path, incarnation);
    case ActionKind::kFailed:
      failed_news_ = true;
      return trace_.line(id_, "the connection has failed");
    case ActionKind::kPeerClosed:
      return trace_.line(id_, "the peer has closed");
  }
}

void Host::run_actions() {
  multipath::Action action;
  while (core()->poll_action(action)) run_action(action);
}

void Host::pump() {
  if (gone_) return;
  if (pumping_) {
    pump_again_ = true;
    return;
  }
  pumping_ = true;
  std::uint64_t frames = 0;
  do {
    pump_again_ = false;
    run_actions();
    multipath::Transmission out;
    while (!account_.broken() && core()->poll_transmit(clock_.now(), out)) {
      std::size_t path = index(out.path);
      if (++frames > kMostFramesAtOnce) account_.violation("an endpoint does not stop transmitting");
      trace_.frame(id_, "sends   ", path, sides_[path].attached, out.header);
      if (sides_[path].attached == kNone) {
        account_.violation("a frame was handed to a path that has no connection");
        break;
      }
      if (out.header.type == multipath::FrameType::kData && sides_[path].denied)
        account_.violation("data was handed to a denied path");
      if (fabric_.transmit(id_, path, sides_[path].attached, out.header, out.payload))
        core()->path_blocked(out.path);
      run_actions();
    }
    if (user_ != nullptr) user_->host_ran(id_);
  } while (pump_again_ && !account_.broken());
  pumping_ = false;
  if (scenario_.flush_when_idle && !idle_scheduled_) {
    idle_scheduled_ = true;
    clock_.after(std::chrono::microseconds(2), *this, kIdle);
  }
}

bool Host::set_denied(std::size_t path, bool denied) {
  bool done = core()->set_denied(id_of(path), denied);
  if (done) sides_[path].denied = denied;
  trace_.line(id_, "%s path %zu%s", denied ? "denies" : "allows", path, done ? "" : " (refused)");
  return done;
}

void Host::give_hints() {
  if (!scenario_.progress_hints || !fabric_.is_stream()) return;
  for (std::size_t path = 0; path < sides_.size(); ++path) {
    if (sides_[path].attached == kNone) continue;
    if (endpoint_.is_suspicious(id_of(path), clock_.now()) && fabric_.take_progress(id_, path))
      core()->path_progressed(id_of(path), clock_.now());
  }
}

void Host::on_event(std::uint32_t what, std::uint64_t about) {
  if (gone_) return;
  switch (static_cast<Event>(what)) {
    case kGone:
      for (std::size_t path = 0; path < sides_.size(); ++path)
        if (sides_[path].attached != kNone) detach(path, true);
      gone_ = true;
      return;
    case kTick:
      clock_.after(tick_, *this, kTick);
      if (is_stalled()) return;
      give_hints();
      core()->tick(clock_.now());
      return pump();
    case kFenceStands:
      return take({InputKind::kFenced, about, 0, 0, false});
    case kIdle:
      idle_scheduled_ = false;
      if (is_stalled()) return;
      core()->flush_feedback();
      idle_scheduled_ =
          true;  // once is enough: a pump that finds nothing to do must not wake itself for ever
      pump();
      idle_scheduled_ = false;
      return;
  }
}

// After a stall the driver takes in what came before it looks at the clock: else it would take its own
// absence for the peer's.
void Host::stall(bool begins) {
  stalls_ += begins ? 1 : -1;
  trace_.line(id_, begins ? "stalls" : "goes on");
  while (!is_stalled() && !inbox_.empty()) {
    Input input = inbox_.front();
    inbox_.pop_front();
    handle(input);
    pump();
  }
}

}  // namespace weft::sim
