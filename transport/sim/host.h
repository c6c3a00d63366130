// One end: an Endpoint of the core, and around it what a backend and a driver do: connections, fences,
// landing, ticks, and at times nothing at all (a stall).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "transport/multipath/endpoint.h"
#include "transport/sim/core_scope.h"
#include "transport/sim/fabric.h"
#include "transport/sim/trace.h"

namespace weft::sim {

class Host;

// The caller of an endpoint: posts and tests requests.
class HostUser {
 public:
  virtual ~HostUser() = default;
  virtual void host_ran(int host) = 0;
};

class Host : public Actor, public FabricUser {
 public:
  static constexpr std::uint32_t kNone = ~0u;

  Host(int id, Clock& clock, Fabric& fabric, Account& account, Trace& trace, Random random,
       const Scenario& scenario);
  void join(HostUser& user) { user_ = &user; }
  void start(std::size_t connected_paths);

  // Calls into the core are made through this, so that they can be told from the simulator's own work.
  class Core {
   public:
    explicit Core(multipath::Endpoint& endpoint) : endpoint_(endpoint) {}
    multipath::Endpoint* operator->() { return &endpoint_; }

   private:
    CoreScope scope_;
    multipath::Endpoint& endpoint_;
  };
  Core core() { return Core(endpoint_); }
  const multipath::Endpoint& endpoint() const { return endpoint_; }

  void stall(bool begins);
  // Closes the endpoint and, a little later, everything else: from then on this end answers nothing.
  void leave();
  bool is_stalled() const { return stalls_ != 0; }
  void pump();
  void set_tick(Duration tick) { tick_ = tick; }
  bool has_failed() const { return failed_news_; }
  bool has_left() const { return gone_; }
  // Incarnation of the connection that stands at this end, or kNone.
  std::uint32_t attached(std::size_t path) const { return sides_[path].attached; }
  // As an administrator. False: refused.
  bool set_denied(std::size_t path, bool denied);

  void frame_begins(FrameIndex frame) override;
  void frame_arrives(FrameIndex frame) override;
  void path_drained(std::size_t path) override;
  void connection_breaks(std::size_t path, std::uint32_t incarnation, bool closed) override;
  void connect_request(std::size_t path, std::uint32_t incarnation) override;
  void connect_reply(std::size_t path, std::uint32_t incarnation, bool accepted) override;
  void connect_timeout(std::size_t path, std::uint32_t incarnation) override;
  void on_event(std::uint32_t what, std::uint64_t about) override;

 private:
  enum Event : std::uint32_t { kTick, kFenceStands, kIdle, kGone };
  enum class InputKind : std::uint8_t { kBegins, kArrives, kBreaks, kRequest, kReply, kTimeout, kFenced };
  struct Input {
    InputKind kind{};
    std::size_t path = 0;
    std::uint32_t incarnation = 0;
    FrameIndex frame = 0;
    bool flag = false;
  };
  // This host's end of a path.
  struct Side {
    std::uint32_t attached = kNone;  // incarnation of the connection that stands here
    std::uint32_t attempt = kNone;   // that is being connected
    bool fencing = false;
    bool denied = false;
    std::vector<FrameIndex> early;  // came for the attempt before its answer did
  };

  void take(const Input& input);
  void handle(const Input& input);
  void begin_landing(FrameIndex index);
  void handle_arrival(FrameIndex index);
  void place(WireFrame& frame, std::uint32_t from, std::uint32_t to);
  bool direct_landing(FrameIndex index);
  void handle_request(std::size_t path, std::uint32_t incarnation);
  void handle_reply(std::size_t path, std::uint32_t incarnation, bool accepted);
  void attach(std::size_t path, std::uint32_t incarnation);
  void drop_early(std::size_t path);
  void detach(std::size_t path, bool tell_peer);
  void run_actions();
  void run_action(const multipath::Action& action);
  void give_hints();
  multipath::PathId id_of(std::size_t path) const { return static_cast<multipath::PathId>(path); }

  int id_;
  Clock& clock_;
  Fabric& fabric_;
  Account& account_;
  Trace& trace_;
  Random random_;
  const Scenario& scenario_;
  multipath::Endpoint endpoint_;
  HostUser* user_ = nullptr;
  std::vector<Side> sides_;
  std::deque<Input> inbox_;  // what came during a stall
  int stalls_ = 0;
  bool pumping_ = false;
  bool pump_again_ = false;
  bool idle_scheduled_ = false;
  bool failed_news_ = false;
  bool gone_ = false;
  Duration tick_;
};

}  // namespace weft::sim
