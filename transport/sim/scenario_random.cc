// Scenarios drawn from a seed.
#include <algorithm>

#include "transport/sim/random.h"
#include "transport/sim/scenario.h"

namespace weft::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

FabricSetup draw_fabric(Random& random) {
  FabricSetup fabric;
  std::size_t planes = random.between(1, 4);
  fabric.paths_per_plane = random.between(1, planes == 1 ? 8 : 4);
  bool equal = random.chance(0.5);
  PlaneSetup plane;
  for (std::size_t i = 0; i < planes; ++i) {
    if (i == 0 || !equal) {
      plane.bytes_per_ns = 0.25 * static_cast<double>(std::uint64_t{1} << random.below(6));
      plane.delay = microseconds(random.chance(0.1) ? random.between(500, 20000) : random.between(1, 200));
    }
    fabric.planes.push_back(plane);
  }
  double kind = random.unit();
  fabric.kind = kind < 0.35   ? PathKind::kStream
                : kind < 0.65 ? PathKind::kDirect
                : kind < 0.85 ? PathKind::kDatagram
                              : PathKind::kDirectUnordered;
  if (random.chance(0.7)) fabric.jitter = Duration(random.scaled(500'000));
  if (fabric.kind == PathKind::kDatagram) {
    if (random.chance(0.7)) fabric.loss = random.unit() * random.unit() * 0.03;
    if (random.chance(0.5)) fabric.control_loss = random.unit() * 0.2;
    if (random.chance(0.7)) fabric.duplication = random.unit() * 0.1;
  }
  if (random.chance(0.3)) {
    fabric.late_frames = random.unit() * 0.05;
    fabric.late_by = random.duration(microseconds(100), milliseconds(30));
  }
  fabric.socket_bytes = std::uint64_t{1} << random.between(16, 22);
  if (random.chance(0.5)) fabric.fence_delay = Duration(random.scaled(40'000'000));
  fabric.connect_timeout = random.duration(milliseconds(50), milliseconds(300));
  if (random.chance(0.3)) fabric.connect_refused = random.unit() * 0.5;
  if (random.chance(0.3)) fabric.connect_late = random.unit() * 0.5;
  fabric.resend_delay = Duration(random.scaled(50'000'000));
  fabric.close_seen = random.chance(0.5) ? 1 : random.unit();
  return fabric;
}

TrafficSetup draw_traffic(Random& random) {
  TrafficSetup traffic;
  traffic.largest_bytes = std::uint64_t{1} << random.between(3, 21);
  std::uint64_t volume = random.between(1, 4) << 20;
  traffic.messages = std::clamp<std::uint64_t>(volume * 4 / traffic.largest_bytes, 10, 600);
  traffic.fixed_size = random.chance(0.2);
  if (traffic.fixed_size) traffic.messages = traffic.messages / 4 + 4;
  traffic.tags = static_cast<std::uint32_t>(random.chance(0.5) ? 1 : random.between(2, 5));
  traffic.send_depth = random.chance(0.1) ? 256 : random.between(1, 32);
  traffic.receive_depth = random.chance(0.1) ? 256 : random.between(1, 32);
  std::size_t depth = std::min(traffic.send_depth, traffic.receive_depth);
  if (traffic.tags > 1 && random.chance(0.6)) traffic.shuffle = random.between(1, depth);
  if (random.chance(0.3)) traffic.truncated = random.unit() * 0.2;
  // The pauses stretch the traffic over the time of the troubles.
  if (random.chance(0.8)) traffic.pause = Duration(random.scaled(2'000'000'000 / traffic.messages * 4));
  traffic.one_direction = random.chance(0.25);
  traffic.lazy_test = random.chance(0.2);
  return traffic;
}

class TroubleDrawer {
 public:
  TroubleDrawer(Random& random, Scenario& scenario) : random_(random), scenario_(scenario) {}

  void draw(Duration span) {
    std::uint64_t count = random_.scaled(24);
    double longest_ms = random_.chance(0.3) ? 3000 : 300;
    for (std::uint64_t i = 0; i < count; ++i) {
      TroubleEvent trouble;
      trouble.at = random_.duration(Duration(0), span);
      trouble.lasts = Duration(random_.scaled(static_cast<std::uint64_t>(longest_ms * 1e6)));
      trouble.side = static_cast<int>(random_.below(2));
      choose(trouble);
      add(trouble);
    }
  }

 private:
  void choose(TroubleEvent& trouble) {
    double what = random_.unit();
    trouble.where = random_.below(scenario_.fabric.paths());
    if (what < 0.25) {
      trouble.what = Trouble::kCut;
    } else if (what < 0.4) {
      trouble.what = Trouble::kCutHeard;
    } else if (what < 0.5) {
      trouble.what = Trouble::kReset;
      trouble.lasts = Duration(0);
    } else if (what < 0.62) {
      trouble.what = Trouble::kCutOneWay;
    } else if (what < 0.74) {
      trouble.what = Trouble::kCutPlane;
      trouble.where = random_.below(scenario_.fabric.planes.size());
    } else if (what < 0.82) {
      trouble.what = random_.chance(0.6) ? Trouble::kCutAll : Trouble::kCutAllOneWay;
    } else if (what < 0.88) {
      trouble.what = Trouble::kSlow;
      trouble.where = random_.below(scenario_.fabric.planes.size());
      trouble.factor = 0.02 + 0.5 * random_.unit();
    } else if (what < 0.95) {
      trouble.what = Trouble::kStall;
      trouble.lasts = std::min<Duration>(trouble.lasts, milliseconds(300));
    } else {
      trouble.what = Trouble::kDeny;
    }
  }

  bool touches_safe_path(const TroubleEvent& trouble) const {
    if (!scenario_.safe_path) return false;
    std::size_t safe = *scenario_.safe_path;
    switch (trouble.what) {
      case Trouble::kCutAll:
      case Trouble::kCutAllOneWay:
        return true;
      case Trouble::kCutPlane:
        return safe / scenario_.fabric.paths_per_plane == trouble.where;
      case Trouble::kSlow:
      case Trouble::kStall:
        return false;
      default:
        return safe == trouble.where;
    }
  }

  void add(TroubleEvent trouble) {
    if (touches_safe_path(trouble)) return;
    scenario_.troubles.push_back(trouble);
    if (random_.chance(0.2)) {  // a second failure right behind, while the first is being settled
      TroubleEvent second = trouble;
      second.at += Duration(random_.scaled(60'000'000));
      second.where = random_.below(scenario_.fabric.paths());
      second.what = random_.chance(0.5) ? Trouble::kCut : Trouble::kCutHeard;
      if (!touches_safe_path(second)) scenario_.troubles.push_back(second);
    }
    if (random_.chance(0.15)) {  // flapping
      std::uint64_t flaps = random_.between(2, 12);
      for (std::uint64_t i = 0; i < flaps; ++i) {
        trouble.at += trouble.lasts + Duration(random_.scaled(100'000'000));
        trouble.lasts = Duration(random_.scaled(100'000'000));
        scenario_.troubles.push_back(trouble);
      }
    }
  }

  Random& random_;
  Scenario& scenario_;
};

}  // namespace

Scenario draw_scenario(std::uint64_t seed) {
  Random random(seed);
  Scenario scenario;
  scenario.name = "random";
  scenario.seed = seed;
  scenario.fabric = draw_fabric(random);
  scenario.traffic = draw_traffic(random);
  scenario.chunk_bytes = std::size_t{1} << random.between(10, 19);
  // Not so many frames that a seed takes long: what they would find, others find sooner.
  while (scenario.traffic.largest_bytes * scenario.traffic.messages / scenario.chunk_bytes > 8000)
    scenario.chunk_bytes *= 2;
  if (random.chance(0.2)) scenario.path_timeout = random.duration(milliseconds(2), milliseconds(100));
  if (random.chance(0.15)) scenario.tick = random.duration(microseconds(200), milliseconds(12));
  scenario.flush_when_idle = random.chance(0.8);
  scenario.progress_hints = random.chance(0.7);
  std::size_t paths = scenario.fabric.paths();
  if (random.chance(0.3)) scenario.paths_at_start = random.between(1, paths);
  if (paths > 1 && random.chance(0.6)) {
    std::size_t connected = scenario.paths_at_start == 0 ? paths : scenario.paths_at_start;
    scenario.safe_path = random.below(connected);
  }
  if (random.chance(0.95))
    TroubleDrawer(random, scenario).draw(random.duration(milliseconds(20), seconds(3)));
  if (random.chance(0.3))
    for (PlaneSetup& plane : scenario.fabric.planes) plane.standby = random.chance(0.5);
  return scenario;
}

}  // namespace weft::sim
