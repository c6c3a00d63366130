#include "transport/sim/simulation.h"

#include <algorithm>

namespace weft::sim {
namespace {

constexpr Duration kJudgeInterval = std::chrono::milliseconds(1);
constexpr Duration kDrain = std::chrono::milliseconds(100);

bool draws_connects(const FabricSetup& fabric) {
  return fabric.connect_late > 0 || fabric.connect_refused > 0;
}

// How long a path that works may stay out of use. The endpoint tries every 400 ms at least; the simulated
// backend needs up to its timeout for each try, and some tries fail by draw.
Duration revival_limit(const Scenario& scenario) {
  Duration limit = std::chrono::seconds(1);
  if (draws_connects(scenario.fabric)) limit = std::chrono::seconds(8);
  if (scenario.fabric.loss > 0 || scenario.fabric.control_loss > 0 || scenario.fabric.late_frames > 0)
    limit = std::chrono::seconds(8);
  return limit + scenario.fabric.fence_delay + scenario.fabric.connect_timeout;
}

}  // namespace

RunResult run_scenario(const Scenario& scenario, std::FILE* trace) {
  Simulation simulation(scenario, trace);
  return simulation.run();
}

Simulation::Simulation(const Scenario& scenario, std::FILE* trace)
    : scenario_(scenario),
      trace_(clock_, trace),
      random_(scenario.seed ^ 0x5EED),
      fabric_(clock_, random_.split(), scenario_.fabric, account_),
      hosts_{{0, clock_, fabric_, account_, trace_, random_.split(), scenario_},
             {1, clock_, fabric_, account_, trace_, random_.split(), scenario_}},
      traffic_(clock_, random_.split(), scenario_, account_, *this),
      health_(scenario_.fabric.paths()),
      began_(clock_.now()),
      judge_interval_(kJudgeInterval) {
  fabric_.join(hosts_[0], hosts_[1]);
  traffic_.join(hosts_[0], hosts_[1]);
  std::size_t connected = scenario_.paths_at_start;
  if (connected == 0 || connected > fabric_.paths()) connected = fabric_.paths();
  for (Host& host : hosts_) host.start(connected);
  // Paths of the start have worked since ever; the others need to be connected first.
  for (std::size_t path = 0; path < health_.size(); ++path)
    health_[path].since = path < connected ? TimePoint{} : began_;
  traffic_.start();
  troubles_end_ = began_ + scenario_.runs_at_least;
  for (std::size_t i = 0; i < scenario_.troubles.size(); ++i) {
    const TroubleEvent& trouble = scenario_.troubles[i];
    clock_.at(began_ + trouble.at, *this, kBegins, i);
    clock_.at(began_ + trouble.at + trouble.lasts, *this, kEnds, i);
    troubles_end_ = std::max(troubles_end_, began_ + trouble.at + trouble.lasts);
  }
  if (scenario_.quiet) {
    clock_.at(began_ + scenario_.quiet->from, *this, kQuiet);
    clock_.at(began_ + scenario_.quiet->until, *this, kQuietEnds);
  }
  clock_.after(kJudgeInterval, *this, kJudge);
}

void Simulation::apply(const TroubleEvent& trouble, bool begins) {
  auto hold = [&](std::size_t path) {
    for (int direction : {0, 1}) fabric_.hold_down(direction, path, begins);
  };
  auto break_at = [&](int side, std::size_t path) {
    if (begins && hosts_[side].attached(path) != Host::kNone)
      fabric_.break_connection(side, path, hosts_[side].attached(path));
  };
  switch (trouble.what) {
    case Trouble::kCutHeard:
      break_at(trouble.side, trouble.where);
      return hold(trouble.where);
    case Trouble::kCut:
      return hold(trouble.where);
    case Trouble::kReset:
      break_at(0, trouble.where);
      return break_at(1, trouble.where);
    case Trouble::kCutOneWay:
      return fabric_.hold_down(trouble.side, trouble.where, begins);
    case Trouble::kCutPlane:
      for (std::size_t path = 0; path < fabric_.paths(); ++path)
        if (fabric_.plane_of(path) == trouble.where) hold(path);
      return;
    case Trouble::kCutAll:
      for (std::size_t path = 0; path < fabric_.paths(); ++path) hold(path);
      return;
    case Trouble::kCutAllOneWay:
      for (std::size_t path = 0; path < fabric_.paths(); ++path)
        fabric_.hold_down(trouble.side, path, begins);
      return;
    case Trouble::kSlow:
      for (int direction : {0, 1})
        fabric_.set_rate_factor(direction, trouble.where, begins ? trouble.factor : 1);
      return;
    case Trouble::kStall:
      return hosts_[trouble.side].stall(begins);
    case Trouble::kDeny:
      if (hosts_[trouble.side].set_denied(trouble.where, begins) || !begins)
        health_[trouble.where].denials = begins ? 1 : 0;
      return;
  }
}

void Simulation::refresh_health() {
  bool hosts_work = !hosts_[0].is_stalled() && !hosts_[1].is_stalled() && !hosts_[0].has_failed() &&
                    !hosts_[1].has_failed();
  for (std::size_t path = 0; path < health_.size(); ++path) {
    PathHealth& health = health_[path];
    bool works = hosts_work && fabric_.works(path) && health.denials == 0;
    if (works == health.works) continue;
    health.works = works;
    health.since = clock_.now();
    health.awaits_revival = works;
  }
}

bool Simulation::may_fail(int) {
  refresh_health();
  if (hosts_[0].has_failed() || hosts_[1].has_failed()) return true;
  if (scenario_.safe_path) return false;
  return std::none_of(health_.begin(), health_.end(), [&](const PathHealth& path) {
    return path.works && clock_.now() - path.since >= scenario_.peer_timeout;
  });
}

bool Simulation::nothing_worked_since(TimePoint& since) const {
  since = TimePoint{};
  for (const PathHealth& path : health_) {
    if (path.works) return false;
    since = std::max(since, path.since);
  }
  return true;
}

// I5, and the other side of I4: whoever waits is served or told in time.
void Simulation::judge_deadline() {
  Duration slack = scenario_.peer_timeout / 4 + scenario_.fabric.fence_delay + std::chrono::milliseconds(50);
  TimePoint since;
  if (nothing_worked_since(since)) {
    for (int host : {0, 1}) {
      if (hosts_[host].is_stalled() || !traffic_.pending(host)) continue;
      TimePoint waits_since = std::max(since, traffic_.oldest_posted(host));
      if (clock_.now() - waits_since > scenario_.peer_timeout + slack)
        account_.violation("I5: requests are pending long after every path failed: " +
                           traffic_.describe_pending() + path_words());
    }
    return;
  }
  TimePoint works_since = TimePoint::max();
  for (const PathHealth& path : health_)
    if (path.works) works_since = std::min(works_since, path.since);
  TimePoint waits_since = traffic_.oldest_wait();
  if (waits_since == TimePoint::max()) return;
  double slowest = 1e9;
  for (const PlaneSetup& plane : scenario_.fabric.planes) slowest = std::min(slowest, plane.bytes_per_ns);
  const double slowest_plane = slowest;
  for (const TroubleEvent& trouble : scenario_.troubles)
    if (trouble.what == Trouble::kSlow) slowest = std::min(slowest, slowest_plane * trouble.factor);
  double window = static_cast<double>(scenario_.traffic.largest_bytes) *
                  static_cast<double>(scenario_.traffic.send_depth);
  Duration transfer(static_cast<std::int64_t>(4 * window / slowest));
  Duration bound = std::chrono::milliseconds(3000) + revival_limit(scenario_) + transfer;
  // Every loss costs its path, and the time until the loss is certain and the path is back.
  double losses = (window / static_cast<double>(scenario_.chunk_bytes) + 10) *
                  (scenario_.fabric.loss + scenario_.fabric.control_loss);
  bound += Duration(static_cast<std::int64_t>(losses * 4e9));
  if (clock_.now() - std::max(works_since, waits_since) > bound)
    account_.violation("I4: a message waits although a path works: " + traffic_.describe_pending() +
                       path_words());
}

void Simulation::judge_revivals() {
  if (hosts_[0].endpoint().peer_closed() || hosts_[1].endpoint().peer_closed()) return;
  for (std::size_t path = 0; path < health_.size(); ++path) {
    PathHealth& health = health_[path];
    if (!health.works) continue;
    Duration limit = revival_limit(scenario_);
    Duration worked = clock_.now() - health.since;
    bool in_use = hosts_[0].endpoint().paths()[path].usable() && hosts_[1].endpoint().paths()[path].usable();
    if (in_use && health.awaits_revival) {
      health.awaits_revival = false;
      revival_times_.push_back(worked);
    }
    // A path that was in use may fail again by itself: loss, or a plane so slow that it looks silent.
    if (in_use || !health.awaits_revival) continue;
    bool both_know =
        !hosts_[0].endpoint().paths()[path].trusted && !hosts_[1].endpoint().paths()[path].trusted;
    if (!both_know) {
      health.known_since = clock_.now();
      limit = limit + scenario_.peer_timeout;
    } else {
      worked = std::min(worked, clock_.now() - health.known_since);
    }
    if (worked > limit) account_.violation("a path that works again is not in use in time:" + path_words());
  }
}

void Simulation::judge() {
  if (hosts_[0].has_left() || hosts_[1].has_left()) return;
  refresh_health();
  judge_deadline();
  judge_revivals();
  judge_windows();
}

// I7: what an endpoint keeps of a path is bounded.
void Simulation::judge_windows() {
  for (const Host& host : hosts_)
    for (const multipath::Path& path : host.endpoint().paths())
      if (path.in_flight_frames() > multipath::kPathWindowFrames)
        account_.violation("I7: more frames in flight on a path than the window:" + path_words());
}

std::string Simulation::path_words() const {
  std::string text;
  for (std::size_t path = 0; path < health_.size(); ++path) {
    text += "\n  path " + std::to_string(path) + (health_[path].works ? " works" : " does not work") + ";";
    for (const Host& host : hosts_) {
      const multipath::Path& seen = host.endpoint().paths()[path];
      text += std::string(" ") + to_string(seen.state) + (seen.connected ? " connected" : " apart") +
              (seen.trusted ? " trusted" : "") + (seen.unresolved ? " unresolved" : "") +
              (seen.fence_pending ? " fencing" : "") + " in flight " +
              std::to_string(seen.in_flight_frames()) + ";";
    }
  }
  return text;
}

void Simulation::on_event(std::uint32_t what, std::uint64_t about) {
  if (what == kJudge) {
    clock_.after(judge_interval_, *this, kJudge);
    return judge();
  }
  if (what == kQuiet || what == kQuietEnds) {
    bool quiet = what == kQuiet;
    judge_interval_ = quiet ? scenario_.quiet->tick : kJudgeInterval;
    for (Host& host : hosts_) host.set_tick(quiet ? scenario_.quiet->tick : scenario_.tick);
    return;
  }
  const TroubleEvent& trouble = scenario_.troubles[about];
  static constexpr const char* kNames[] = {"cut",     "cut and heard",   "reset", "cut one way", "cut plane",
                                           "cut all", "cut all one way", "slow",  "stall",       "deny"};
  trace_.line(-1, "trouble: %s of %zu, side %d, %s", kNames[static_cast<int>(trouble.what)], trouble.where,
              trouble.side, what == kBegins ? "begins" : "ends");
  if (what == kBegins && traffic_.oldest_wait() != TimePoint::max()) ++troubles_in_traffic_;
  apply(trouble, what == kBegins);
  refresh_health();
}

void Simulation::step_until(TimePoint end, bool stop_when_done) {
  while (!account_.broken() && clock_.now() < end) {
    if (stop_when_done && clock_.now() >= troubles_end_ && traffic_.done()) return;
    if (!clock_.step()) return;
  }
}

// One end leaves; what waits at the other fails soon, and says so.
void Simulation::farewell() {
  int leaves = static_cast<int>(random_.below(2));
  traffic_.post_stray_receive(1 - leaves);
  step_until(clock_.now() + Duration(random_.below(5'000'000)), false);
  hosts_[leaves].leave();
  Duration limit = scenario_.peer_timeout + scenario_.peer_timeout / 4 + scenario_.fabric.fence_delay +
                   std::chrono::milliseconds(100);
  TimePoint end = clock_.now() + limit;
  while (!account_.broken() && clock_.now() < end && !traffic_.stray_failed()) clock_.step();
  // A goodbye can be lost; then nothing tells a peer that has left from one that has nothing to say.
  bool can_be_lost = scenario_.fabric.kind == PathKind::kDatagram;
  if (!traffic_.stray_failed() && !can_be_lost)
    account_.violation("I5: a receive is still pending after the peer has closed");
}

RunResult Simulation::run() {
  step_until(troubles_end_ + std::chrono::seconds(120), true);
  traffic_ended_ = clock_.now();
  if (!account_.broken() && !traffic_.done())
    account_.violation("the traffic does not end: " + traffic_.describe_pending() + path_words());
  bool failed = hosts_[0].has_failed() || hosts_[1].has_failed();
  if (!account_.broken() && !failed) {
    step_until(clock_.now() + kDrain, false);
    for (const Host& host : hosts_)
      if (host.endpoint().has_pending_requests())
        account_.violation("an endpoint counts pending requests at the end");
  }
  if (!account_.broken() && !failed) farewell();
  step_until(clock_.now() + kDrain, false);
  traffic_.check_buffers();
  return collect();
}

RunResult Simulation::collect() {
  RunResult result;
  result.violation = account_.first_violation();
  result.began = began_;
  result.ended = clock_.now();
  result.virtual_time = clock_.now() - began_;
  result.events = clock_.events_run();
  result.messages_completed = account_.completed;
  result.requests_failed = account_.failed;
  result.bytes_received = account_.bytes_received;
  result.bytes_landed_again = account_.bytes_landed_again;
  for (const Host& host : hosts_) {
    for (const multipath::Path& path : host.endpoint().paths()) {
      result.path_failures += path.failures;
      result.path_revivals += path.revivals;
    }
    result.stalls += host.endpoint().stalls();
    result.longest_stall = std::max(result.longest_stall, host.endpoint().longest_stall());
  }
  result.longest_gap = traffic_.longest_gap();
  result.longest_latency = traffic_.longest_latency();
  result.traffic_time = traffic_.last_receive() - began_;
  result.revival_times = revival_times_;
  result.deliveries = traffic_.deliveries();
  result.last_failure = traffic_.last_failure();
  result.troubles_in_traffic = troubles_in_traffic_;
  return result;
}

}  // namespace weft::sim
