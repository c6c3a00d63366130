// The simulated fabric: two hosts, planes with a rate in each direction, paths with delay, and what goes
// wrong on them. It moves frames and connection attempts; what a host makes of them is the host's (host.h).
//
//   Port: one direction of a plane. Paths take turns; a frame's payload is read when it leaves, not before.
//   Link: one direction of a path: delay, order, outages, and what is held back by them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "transport/multipath/frame.h"
#include "transport/sim/account.h"
#include "transport/sim/clock.h"
#include "transport/sim/random.h"
#include "transport/sim/scenario.h"

namespace weft::sim {

struct WireFrame {
  int from = 0;
  std::size_t path = 0;
  std::uint32_t incarnation = 0;
  std::array<std::byte, multipath::kHeaderBytes> header{};
  std::uint32_t length = 0;
  std::uint64_t number = 0;  // of the message, for data
  std::uint64_t offset = 0;
  bool is_data = false;
  const std::byte* source = nullptr;  // in the sender's memory, until it leaves
  std::vector<std::byte> payload;     // as it was when it left
  TimePoint sent{};
  Duration transfer{};  // time between its first and its last byte
  int references = 0;
  // At the receiver: where the endpoint wants it.
  std::byte* landing_at = nullptr;
  bool begun = false;
};
using FrameIndex = std::uint32_t;

// A host, as the fabric sees it.
class FabricUser {
 public:
  virtual ~FabricUser() = default;
  virtual void frame_begins(FrameIndex frame) = 0;   // its first bytes are here
  virtual void frame_arrives(FrameIndex frame) = 0;  // all of it
  virtual void path_drained(std::size_t path) = 0;   // below half of the socket's room again
  virtual void connection_breaks(std::size_t path, std::uint32_t incarnation, bool closed) = 0;
  virtual void connect_request(std::size_t path, std::uint32_t incarnation) = 0;
  virtual void connect_reply(std::size_t path, std::uint32_t incarnation, bool accepted) = 0;
  virtual void connect_timeout(std::size_t path, std::uint32_t incarnation) = 0;
};

class Fabric : public Actor {
 public:
  Fabric(Clock& clock, Random random, const FabricSetup& setup, Account& account);
  void join(FabricUser& first, FabricUser& second) { users_ = {&first, &second}; }

  std::size_t paths() const { return setup_.paths(); }
  std::size_t plane_of(std::size_t path) const { return path / setup_.paths_per_plane; }
  bool is_direct() const {
    return setup_.kind == PathKind::kDirect || setup_.kind == PathKind::kDirectUnordered;
  }
  bool is_stream() const { return setup_.kind == PathKind::kStream; }
  WireFrame& frame(FrameIndex index) { return frames_[index]; }

  // Returns whether the path is full now.
  bool transmit(int from, std::size_t path, std::uint32_t incarnation, const multipath::FrameHeader& header,
                const std::byte* payload);
  // The sender's end of a connection is gone: what has not left never leaves; what has may still arrive.
  void detach(int side, std::size_t path, std::uint32_t incarnation, bool tell_peer);
  // A frame came to an end that has no such connection: a stream's sender hears of it.
  void refuse(FrameIndex frame);
  void break_connection(int side, std::size_t path, std::uint32_t incarnation);

  void connect(int from, std::size_t path, std::uint32_t incarnation);
  void answer_connect(int from, std::size_t path, std::uint32_t incarnation, bool accepted);

  // Outages nest: a link works when nothing holds it down.
  void hold_down(int direction, std::size_t path, bool down);
  void set_rate_factor(int direction, std::size_t plane, double factor);
  bool works(std::size_t path) const { return is_up(0, path) && is_up(1, path); }
  bool is_up(int direction, std::size_t path) const { return links_[direction][path].outages == 0; }

  // The peer's kernel took a frame of this path: the sender's kernel hears of it.
  void note_progress(FrameIndex frame) { links_[frames_[frame].from][frames_[frame].path].progressed = true; }
  // Bytes of this path moved since the last time that this was asked.
  bool take_progress(int from, std::size_t path);

  void on_event(std::uint32_t what, std::uint64_t about) override;
  std::uint64_t payload_bytes_carried(int direction) const { return payload_carried_[direction]; }
  void release(FrameIndex frame);

 private:
  enum Event : std::uint32_t {
    kPortFree,
    kFrameBegins,
    kFrameArrives,
    kBreakNotice,
    kConnectRequest,
    kConnectReply,
    kConnectTimeout
  };
  struct Link {
    int outages = 0;
    Duration delay{};
    TimePoint last_arrival{};
    std::deque<FrameIndex> queue;  // not yet on the wire
    std::uint64_t queued_bytes = 0;
    bool full = false;
    bool progressed = false;
    std::vector<FrameIndex> held;  // reliable kinds: arrived during an outage, comes after it
  };
  struct Port {
    double bytes_per_ns = 1;
    double factor = 1;
    bool busy = false;
    std::size_t turn = 0;
    FrameIndex in_transfer = 0;
  };
  struct Notice {
    int to = 0;
    std::size_t path = 0;
    std::uint32_t incarnation = 0;
    bool flag = false;
  };

  bool keeps_order() const { return setup_.kind == PathKind::kStream || setup_.kind == PathKind::kDirect; }
  bool is_reliable() const { return setup_.kind != PathKind::kDatagram; }
  FrameIndex new_frame();
  void start_port(int direction, std::size_t plane);
  void depart(FrameIndex frame, Duration transfer);
  void launch(FrameIndex frame, TimePoint earliest);
  void arrive(FrameIndex frame);
  void release_held(int direction, std::size_t path);
  std::uint64_t add_notice(Notice notice);
  Duration delay_of(int direction, std::size_t path);

  Clock& clock_;
  Random random_;
  FabricSetup setup_;
  Account& account_;
  std::array<FabricUser*, 2> users_{};
  std::vector<Link> links_[2];
  std::vector<Port> ports_[2];
  std::deque<WireFrame> frames_;
  std::vector<FrameIndex> free_frames_;
  std::deque<Notice> notices_;
  std::vector<std::uint64_t> free_notices_;
  std::uint64_t payload_carried_[2] = {0, 0};
};

}  // namespace weft::sim
