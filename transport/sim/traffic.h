// The callers of both ends: they post sends and receives, test them, and do with their buffers what real
// callers do: reuse a send buffer at once, look at a receive buffer much later.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "transport/sim/account.h"
#include "transport/sim/host.h"
#include "transport/sim/random.h"
#include "transport/sim/scenario.h"

namespace weft::sim {

// Says whether a request of this host may fail now: no path has worked for the peer timeout.
class FailureJudge {
 public:
  virtual ~FailureJudge() = default;
  virtual bool may_fail(int host) = 0;
};

class Traffic : public Actor, public HostUser {
 public:
  Traffic(Clock& clock, Random random, const Scenario& scenario, Account& account, FailureJudge& judge);
  void join(Host& first, Host& second);
  void start();

  void host_ran(int host) override;
  void on_event(std::uint32_t what, std::uint64_t about) override;

  bool done() const;             // everything was posted and reported, or failed
  bool pending(int host) const;  // this host waits for something
  // The oldest request that a host waits for: since when both ends have posted it. None: max().
  TimePoint oldest_wait() const;
  TimePoint oldest_posted(int host) const;
  TimePoint last_receive() const { return last_receive_; }
  Duration longest_gap() const { return longest_gap_; }
  Duration longest_latency() const { return longest_latency_; }
  // A message that came through.
  struct Delivery {
    TimePoint posted{};  // by both ends
    Duration took{};
    std::uint64_t paths = 0;  // that carried any of it
  };
  const std::vector<Delivery>& deliveries() const { return deliveries_; }
  TimePoint last_failure() const { return last_failure_; }
  // Every receive buffer still holds what it held when it was reported.
  void check_buffers();
  // A receive that no send will ever meet; it can only fail. Reported by stray_failed().
  void post_stray_receive(int host);
  bool stray_failed() const { return stray_failed_; }
  std::string describe_pending() const;

 private:
  struct Kept {  // a buffer and what it shall still hold
    std::unique_ptr<Buffer> buffer;
    std::uint64_t id = 0;
    std::uint64_t bytes = 0;
  };
  struct Request {
    RequestId id{};
    std::size_t k = 0;
    std::unique_ptr<Buffer> buffer;
  };
  struct End {
    Host* host = nullptr;
    std::size_t next_send = 0;
    std::size_t next_receive = 0;
    std::vector<std::size_t> receive_order;  // of the other end's sends
    std::vector<Request> sends, receives;    // pending
    std::vector<Kept> pool;
    TimePoint next_post{};
    TimePoint next_test{};
    RequestId stray = RequestId::kNone;
    std::unique_ptr<Buffer> stray_buffer;
  };

  void plan(int sender);
  std::size_t released(std::size_t planned, std::size_t ahead) const;
  void post(int host);
  bool post_send(int host);
  bool post_receive(int host);
  void test(int host);
  void test_requests(int host, bool sends);
  void finish_send(int host, Request& request, const Completion& completion);
  void finish_receive(int host, Request& request, const Completion& completion);
  std::unique_ptr<Buffer> take_buffer(int host, std::size_t bytes);
  void check_kept(const Kept& kept);

  Clock& clock_;
  Random random_;
  const Scenario& scenario_;
  Account& account_;
  FailureJudge& judge_;
  End ends_[2];
  TimePoint last_receive_{};
  Duration longest_gap_{};
  Duration longest_latency_{};
  std::vector<Delivery> deliveries_;
  TimePoint last_failure_{};
  TimePoint began_{};
  mutable std::size_t bursts_begun_ = 0;
  bool stray_failed_ = false;
};

}  // namespace weft::sim
