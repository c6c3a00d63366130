// Scenarios that have a name: what a figure or a promise is about, and nothing else.
#include <algorithm>
#include <cstdio>

#include "transport/sim/random.h"
#include "transport/sim/scenario.h"

namespace weft::sim {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kPlanes = 4;
constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;

// Four planes of 10 Gbit/s with one TCP connection each, and the limits that a user gets.
Scenario four_planes(const std::string& name, std::uint64_t seed) {
  Scenario scenario;
  scenario.name = name;
  scenario.seed = seed;
  scenario.fabric.planes.assign(kPlanes, PlaneSetup{1.25, microseconds(5)});
  scenario.fabric.kind = PathKind::kStream;
  scenario.chunk_bytes = 512 * kKiB;
  scenario.path_timeout = milliseconds(20);
  scenario.peer_timeout = milliseconds(1800);
  scenario.traffic.fixed_size = true;
  scenario.traffic.one_direction = true;
  return scenario;
}

Scenario one_large_transfer(const std::string& name, std::uint64_t seed) {
  Scenario scenario = four_planes(name, seed);
  scenario.traffic.messages = 1;
  scenario.traffic.largest_bytes = 256 * kMiB;
  return scenario;
}

Scenario one_plane_at_a_quarter(const std::string& name, std::uint64_t seed) {
  Scenario scenario = one_large_transfer(name, seed);
  scenario.troubles.push_back({Trouble::kSlow, Duration(0), seconds(1), 1, 0, 0.25});
  return scenario;
}

// Transfers of 4 MiB without a pause for about 100 ms; the trouble comes in their midst.
Scenario in_the_midst(const std::string& name, std::uint64_t seed, Trouble what, Duration lasts) {
  Scenario scenario = four_planes(name, seed);
  scenario.traffic.messages = 120;
  scenario.traffic.largest_bytes = 4 * kMiB;
  scenario.troubles.push_back({what, milliseconds(40), lasts, 1, 0, 1});
  return scenario;
}

void burst_every(Scenario& scenario, Duration every, Duration until, std::uint64_t messages) {
  for (Duration at{}; at < until; at += every) scenario.traffic.bursts.push_back(at);
  scenario.traffic.messages = messages * scenario.traffic.bursts.size();
}

Scenario plane_back(const std::string& name, std::uint64_t seed) {
  Scenario scenario = four_planes(name, seed);
  scenario.traffic.largest_bytes = kMiB;
  burst_every(scenario, milliseconds(5), seconds(3), 4);
  scenario.troubles.push_back({Trouble::kCutPlane, milliseconds(500), seconds(1), 1, 0, 1});
  return scenario;
}

Scenario near_plane_cut(const std::string& name, std::uint64_t seed) {
  Scenario scenario = plane_back(name, seed);
  scenario.fabric.planes[2].standby = scenario.fabric.planes[3].standby = true;
  return scenario;
}

Scenario plane_down_for_days(const std::string& name, std::uint64_t seed) {
  Scenario scenario = four_planes(name, seed);
  scenario.traffic.largest_bytes = 4 * kMiB;
  Duration back = hours(48) + milliseconds(10);
  // Traffic when it goes, now and then while it is away, and when it is back.
  for (Duration at : {Duration(0), Duration(milliseconds(9)), Duration(hours(24)), back + seconds(1),
                      Duration(back + seconds(2))})
    scenario.traffic.bursts.push_back(at);
  scenario.traffic.messages = 8 * scenario.traffic.bursts.size();
  scenario.troubles.push_back({Trouble::kCutPlane, milliseconds(10), back - milliseconds(10), 1, 0, 1});
  scenario.quiet = QuietTime{seconds(5), back - seconds(5), milliseconds(200)};
  return scenario;
}

Scenario one_path_silent(const std::string& name, std::uint64_t seed) {
  Scenario scenario = four_planes(name, seed);
  scenario.chunk_bytes = 64 * kKiB;
  scenario.traffic.largest_bytes = 64 * kKiB;
  scenario.traffic.send_depth = 128;
  scenario.traffic.receive_depth = 128;
  burst_every(scenario, microseconds(100), milliseconds(500), 1);
  scenario.traffic.receives_ahead = 64;
  scenario.troubles.push_back({Trouble::kCutPlane, milliseconds(200), milliseconds(150), 1, 0, 1});
  return scenario;
}

// A plane counts as away for so long after it works again: who has just come back is not yet of use, and a
// fabric on which planes only ever relay each other has none that is always up.
constexpr Duration kComesBack = seconds(2);

bool leaves_a_plane(const std::vector<TroubleEvent>& troubles, const TroubleEvent& more) {
  auto all_away_at = [&](Duration when) {
    bool away[kPlanes] = {};
    away[more.where] = true;
    for (const TroubleEvent& other : troubles)
      if (other.at <= when && when < other.at + other.lasts + kComesBack) away[other.where] = true;
    return std::all_of(std::begin(away), std::end(away), [](bool one) { return one; });
  };
  if (all_away_at(more.at)) return false;
  return std::none_of(troubles.begin(), troubles.end(), [&](const TroubleEvent& other) {
    return other.at > more.at && other.at < more.at + more.lasts + kComesBack && all_away_at(other.at);
  });
}

// An hour, a thousand cuts and as many restorations, and traffic on its way at every cut.
Scenario hour(const std::string& name, std::uint64_t seed) {
  constexpr std::size_t kCuts = 1000;
  constexpr std::size_t kOtherBursts = 500;
  constexpr Duration kSpan = hours(1);
  Random random(seed);
  Scenario scenario = four_planes(name, seed);
  for (PlaneSetup& plane : scenario.fabric.planes) plane.bytes_per_ns = 0.1;
  scenario.fabric.jitter = microseconds(20);
  scenario.fabric.fence_delay = milliseconds(1);
  scenario.chunk_bytes = 16 * kKiB;
  scenario.traffic.one_direction = false;
  scenario.traffic.largest_bytes = 128 * kKiB;
  scenario.traffic.send_depth = 16;
  scenario.traffic.receive_depth = 16;
  while (scenario.troubles.size() < kCuts) {
    TroubleEvent trouble;
    double what = random.unit();
    trouble.what = what < 0.5 ? Trouble::kCutPlane : what < 0.75 ? Trouble::kCutHeard : Trouble::kCutOneWay;
    trouble.at = random.duration(milliseconds(10), kSpan - seconds(20));
    trouble.lasts = milliseconds(1) + Duration(random.scaled(20'000'000'000));
    trouble.where = random.below(kPlanes);
    trouble.side = static_cast<int>(random.below(2));
    if (leaves_a_plane(scenario.troubles, trouble)) scenario.troubles.push_back(trouble);
  }
  std::vector<Duration>& bursts = scenario.traffic.bursts;
  for (const TroubleEvent& trouble : scenario.troubles)
    bursts.push_back(trouble.at - random.duration(microseconds(50), milliseconds(1)));
  for (std::size_t i = 0; i < kOtherBursts; ++i) bursts.push_back(random.duration(Duration(0), kSpan));
  std::sort(bursts.begin(), bursts.end());
  scenario.traffic.messages = 4 * bursts.size();
  scenario.runs_at_least = kSpan;
  return scenario;
}

}  // namespace

std::vector<std::string> scenario_names() {
  return {"hour",          "four_equal_planes",   "one_plane_at_a_quarter", "plane_cut",
          "plane_back",    "plane_down_for_days", "every_plane_cut",        "one_path_silent_others_go_on",
          "near_plane_cut"};
}

std::optional<Scenario> named_scenario(const std::string& name, std::uint64_t seed) {
  if (name == "hour") return hour(name, seed);
  if (name == "four_equal_planes") return one_large_transfer(name, seed);
  if (name == "one_plane_at_a_quarter") return one_plane_at_a_quarter(name, seed);
  if (name == "plane_cut") return in_the_midst(name, seed, Trouble::kCutPlane, milliseconds(300));
  if (name == "plane_back") return plane_back(name, seed);
  if (name == "plane_down_for_days") return plane_down_for_days(name, seed);
  if (name == "every_plane_cut") return in_the_midst(name, seed, Trouble::kCutAll, seconds(10));
  if (name == "one_path_silent_others_go_on") return one_path_silent(name, seed);
  if (name == "near_plane_cut") return near_plane_cut(name, seed);
  return std::nullopt;
}

std::string describe(const Scenario& scenario) {
  char text[200];
  std::snprintf(
      text, sizeof text,
      "%s, seed %llu: %zu planes, %zu paths, %llu messages of at most %llu bytes in %s, %zu troubles",
      scenario.name.c_str(), static_cast<unsigned long long>(scenario.seed), scenario.fabric.planes.size(),
      scenario.fabric.paths(), static_cast<unsigned long long>(scenario.traffic.messages),
      static_cast<unsigned long long>(scenario.traffic.largest_bytes),
      scenario.traffic.one_direction ? "one direction" : "each direction", scenario.troubles.size());
  return text;
}

}  // namespace weft::sim
