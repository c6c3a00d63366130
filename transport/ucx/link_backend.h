// The UCX backend of one link: a worker a path, and the dials that bring paths up. docs/transport.md says how
// frames travel.
//
// Threads: under the link's lock, as engine::Backend says; prepare() needs none.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "transport/engine/log.h"
#include "transport/tcp/dialled_transport.h"
#include "transport/ucx/path_worker.h"
#include "transport/ucx/worker_dial.h"
#include "transport/ucx/worker_shelf.h"

namespace weft::ucx {

class LinkBackend final : public tcp::DialledBackend {
 public:
  // `devices` has the name of each plane's device.
  LinkBackend(tcp::DialledPlan plan, std::shared_ptr<WorkerShelf> shelf, std::vector<std::string> devices,
              std::shared_ptr<const engine::Log> log);
  ~LinkBackend() override;

  bool receive(multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  void send(const multipath::Transmission& transmission, multipath::Endpoint& endpoint,
            multipath::TimePoint now) override;
  void flush(multipath::Endpoint&, multipath::TimePoint) override {}  // send() has done it
  void fence(multipath::PathId path) override;
  void reconnect(multipath::PathId path, multipath::Incarnation incarnation,
                 multipath::TimePoint now) override;
  void tick(multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  void abandon_buffers(multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  bool is_drained() const override;
  void cut(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  void describe(multipath::PathId path, PathStatistics& statistics) const override;
  std::string peer_name() const override { return peer_name_; }

  bool is_settled() const override;
  bool has_heard() const override { return has_heard_; }
  const Status& dial_error() const override { return dial_error_; }
  bool is_refused() const override { return refused_; }
  Result<std::unique_ptr<tcp::PreparedPath>> prepare(const tcp::Hello& hello,
                                                     const tcp::IpAddress& from) override;
  void await(std::unique_ptr<tcp::PreparedPath> prepared, multipath::Endpoint& endpoint,
             multipath::TimePoint now) override;

 private:
  struct Prepared;
  class Inlet;  // takes what arrives on one path during one turn
  // A payload that is being fetched.
  struct Landing {
    multipath::FrameHeader header;
    std::byte* at = nullptr;
  };
  struct PathSlot {
    std::unique_ptr<PathWorker> worker;
    multipath::Incarnation incarnation{};
    std::array<Landing, multipath::kPathWindowFrames> landings;
    std::uint64_t landing = 0;  // those in use
    // A probe's answer says that all data before it is here, so it waits for what was being fetched.
    multipath::FrameHeader held_probe;
    std::uint64_t probe_waits_for = 0;
    // What the peer has acknowledged last, and what of it the endpoint was told.
    std::uint32_t heard_acknowledged = 0, told_acknowledged = 0;
    bool blocked = false;
    bool marked = false;
    std::uint32_t mark = 0;             // PathWorker::activity() when the path became suspicious
    std::unique_ptr<Prepared> awaited;  // connected, and its first frame has not come
    multipath::TimePoint awaited_until{};
    std::unique_ptr<WorkerDial> dial;
    bool attempted = false;     // a dial has ended, well or not
    unsigned failed_dials = 0;  // one after another
    std::string device, local_address, peer_address;
  };

  PathSlot& at(multipath::PathId path) { return paths_[multipath::index(path)]; }
  std::size_t plane_of(multipath::PathId path) const {
    return multipath::index(plan_.path_planes[multipath::index(path)]);
  }
  void install(std::unique_ptr<Prepared> end, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void lose(multipath::PathId path, multipath::LossReason reason, multipath::Endpoint& endpoint,
            multipath::TimePoint now);
  void step_dial(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void greet(multipath::PathId path, std::unique_ptr<WorkerDial> dial, multipath::TimePoint now);
  void give_up_awaited(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);

  // link_backend_receive.cc
  bool accept_awaited(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void settle_path(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void protocol_error(multipath::PathId path, const char* what, multipath::Endpoint& endpoint,
                      multipath::TimePoint now);
  const char* read_header(multipath::PathId path, std::span<const std::byte> bytes, std::size_t payload_bytes,
                          multipath::FrameHeader& header);
  bool collides(const multipath::FrameHeader& header) const;
  const char* handle_data(multipath::PathId path, const multipath::FrameHeader& header,
                          std::span<const std::byte> payload, multipath::Endpoint& endpoint,
                          multipath::TimePoint now);
  const char* handle_control(multipath::PathId path, const multipath::FrameHeader& header,
                             multipath::Endpoint& endpoint, multipath::TimePoint now);
  FrameTaker::Place begin_landing(multipath::PathId path, const multipath::FrameHeader& header,
                                  multipath::Endpoint& endpoint, multipath::TimePoint now);
  const char* end_landing(multipath::PathId path, std::uint32_t number, multipath::Endpoint& endpoint,
                          multipath::TimePoint now);
  const char* tell_feedback(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);

  tcp::DialledPlan plan_;
  const std::shared_ptr<WorkerShelf> shelf_;
  const std::vector<std::string> devices_;  // one a plane
  const std::shared_ptr<const engine::Log> log_;
  std::vector<PathSlot> paths_;
  // A counter of the connection's, so no new incarnation sets it back: what of our clear-to-sends the peer
  // has seen, as it said last, and what we said last of its.
  std::uint32_t heard_credit_seen_ = 0, said_credit_seen_ = 0;
  bool has_connected_ = false;
  bool has_heard_ = false;
  bool refused_ = false;
  bool closing_ = false;
  Status dial_error_{StatusCode::kUnreachable, "there was no attempt"};
  std::string peer_name_ = "(not yet connected)";
};

}  // namespace weft::ucx
