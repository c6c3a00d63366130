// What a simulated run is made of: the fabric, the traffic, and what goes wrong and when. A scenario is drawn
// from a seed (draw_scenario) or has a name (named_scenario).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "transport/multipath/types.h"

namespace weft::sim {

using multipath::Duration;
using multipath::TimePoint;

// What a path does with frames, as the backends' transports do.
enum class PathKind : std::uint8_t {
  kStream,    // TCP: in order, nothing lost until it breaks; payload read through the endpoint; close is seen
  kDirect,    // RDMA, reliable: in order; the NIC writes to memory whatever the endpoint thinks of the path
  kDatagram,  // loses, repeats and reorders frames; payload read through the endpoint
  kDirectUnordered,  // RDMA over a fabric that sprays: direct, reordered, nothing repeated
};

struct PlaneSetup {
  double bytes_per_ns = 1.25;
  Duration delay = std::chrono::microseconds(5);
  bool standby = false;  // at both ends
};

struct FabricSetup {
  std::vector<PlaneSetup> planes;
  std::size_t paths_per_plane = 1;
  PathKind kind = PathKind::kStream;
  Duration jitter{};        // of a frame's delay; reorders frames where the kind allows it
  double loss = 0;          // kDatagram, a frame
  double control_loss = 0;  // kDatagram, a frame without data, besides
  double duplication = 0;   // kDatagram, a frame
  double late_frames = 0;   // share of frames that take up to late_by more
  Duration late_by{};
  std::uint64_t socket_bytes = 1 << 20;  // a path is blocked when so much waits in front of the wire
  Duration fence_delay{};                // largest; 0: a fence stands at once
  Duration connect_timeout = std::chrono::milliseconds(100);
  double connect_refused = 0;  // share of attempts that fail at once
  double connect_late = 0;     // share of attempts whose handshake takes about the timeout
  Duration resend_delay = std::chrono::milliseconds(5);  // until a reliable path goes on after an outage
  double close_seen = 1;                                 // kStream: share of closes that the peer hears of

  std::size_t paths() const { return planes.size() * paths_per_plane; }
};

struct TrafficSetup {
  std::uint64_t messages = 100;  // in each direction
  std::uint64_t largest_bytes = 100000;
  bool fixed_size = false;  // all of largest_bytes
  std::uint32_t tags = 1;
  std::size_t shuffle = 1;     // receives are posted in another order within blocks of so many
  std::size_t send_depth = 8;  // pending at once
  std::size_t receive_depth = 8;
  double truncated = 0;  // share of sends larger than their receive
  Duration pause{};      // longest between two posts at one end
  bool one_direction = false;
  bool lazy_test = false;  // requests are tested only now and then
  // Where there are any: each releases messages / bursts of the messages at both ends, in ascending order.
  std::vector<Duration> bursts;
  std::size_t receives_ahead = 0;  // so many bursts before their sends
};

enum class Trouble : std::uint8_t {
  kCut,           // a path carries nothing, and nobody is told
  kCutHeard,      // and one end is told that it broke
  kReset,         // the connection breaks for both ends, the way is fine
  kCutOneWay,     // one direction carries nothing
  kCutPlane,      // all paths of a plane
  kCutAll,        // everything
  kCutAllOneWay,  // everything in one direction
  kSlow,          // a plane has only a share of its rate
  kStall,         // a host does nothing
  kDeny,          // an administrator takes a path out
};

// One trouble: it begins at `at` and ends `lasts` later.
struct TroubleEvent {
  Trouble what{};
  Duration at{};
  Duration lasts{};
  std::size_t where = 0;  // path, plane or host
  int side = 0;           // direction or end
  double factor = 1;      // kSlow
};

// Hosts and judge look only so often during a time in which next to nothing happens.
struct QuietTime {
  Duration from{};
  Duration until{};
  Duration tick{};
};

struct Scenario {
  std::string name;
  std::uint64_t seed = 0;
  FabricSetup fabric;
  TrafficSetup traffic;
  std::vector<TroubleEvent> troubles;
  std::size_t chunk_bytes = 64 * 1024;
  Duration path_timeout = std::chrono::milliseconds(15);
  Duration peer_timeout = std::chrono::seconds(2);
  Duration tick = std::chrono::milliseconds(1);
  bool flush_when_idle = true;  // the driver flushes feedback when it has nothing to do; else at ticks only
  bool progress_hints = true;
  std::size_t paths_at_start = 0;  // 0: all; others are left to the connecting end
  // No trouble ever touches this path, so no request may fail, and every message must come through in time.
  std::optional<std::size_t> safe_path;
  Duration runs_at_least{};  // even if the traffic is done before
  std::optional<QuietTime> quiet;
};

Scenario draw_scenario(std::uint64_t seed);
// None: there is no such scenario.
std::optional<Scenario> named_scenario(const std::string& name, std::uint64_t seed);
std::vector<std::string> scenario_names();

std::string describe(const Scenario& scenario);

}  // namespace weft::sim
