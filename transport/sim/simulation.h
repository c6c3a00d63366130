// One run: a scenario on a fabric with two hosts, its troubles, and the judgement of what came of it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "transport/sim/account.h"
#include "transport/sim/clock.h"
#include "transport/sim/fabric.h"
#include "transport/sim/host.h"
#include "transport/sim/scenario.h"
#include "transport/sim/trace.h"
#include "transport/sim/traffic.h"

namespace weft::sim {

struct RunResult {
  TimePoint began{};
  std::string violation;  // empty: every promise was kept
  TimePoint ended{};
  Duration virtual_time{};
  std::uint64_t events = 0;
  std::uint64_t messages_completed = 0;
  std::uint64_t requests_failed = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_landed_again = 0;
  std::uint64_t path_failures = 0, path_revivals = 0;
  std::uint64_t stalls = 0;
  Duration longest_stall{};             // as the endpoints count them
  Duration longest_gap{};               // between two reported receives
  Duration longest_latency{};           // of a message, since both ends had posted it
  Duration traffic_time{};              // from the first post to the last report
  std::vector<Duration> revival_times;  // of paths that came back after a trouble, since they work again
  std::vector<Traffic::Delivery> deliveries;
  TimePoint last_failure{};               // of a request, where there was any
  std::uint64_t troubles_in_traffic = 0;  // that began while a message was on its way
};

class Simulation : public Actor, public FailureJudge {
 public:
  Simulation(const Scenario& scenario, std::FILE* trace);
  RunResult run();

  bool may_fail(int host) override;
  void on_event(std::uint32_t what, std::uint64_t about) override;

 private:
  enum Event : std::uint32_t { kBegins, kEnds, kJudge, kQuiet, kQuietEnds };
  struct PathHealth {
    int denials = 0;
    bool works = true;
    TimePoint since{};  // works or not since then
    bool awaits_revival = false;
    TimePoint known_since{};  // both ends know that it has failed
  };

  void apply(const TroubleEvent& trouble, bool begins);
  void refresh_health();
  void judge();
  void judge_revivals();
  void judge_deadline();
  void judge_windows();
  bool nothing_worked_since(TimePoint& since) const;
  void farewell();
  void step_until(TimePoint end, bool stop_when_done);
  RunResult collect();
  std::string path_words() const;

  Scenario scenario_;
  Clock clock_;
  Account account_;
  Trace trace_;
  Random random_;
  Fabric fabric_;
  Host hosts_[2];
  Traffic traffic_;
  std::vector<PathHealth> health_;
  TimePoint began_;
  TimePoint troubles_end_{};
  TimePoint traffic_ended_{};
  std::vector<Duration> revival_times_;
  std::uint64_t troubles_in_traffic_ = 0;
  Duration judge_interval_;
};

RunResult run_scenario(const Scenario& scenario, std::FILE* trace);

}  // namespace weft::sim
