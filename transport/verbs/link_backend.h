// The verbs backend of one link: a queue pair a path, a rail a plane, and the dials that bring paths up.
// docs/transport.md says how frames travel.
//
// Threads: under the link's lock, as engine::Backend says; prepare() needs none.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "transport/engine/log.h"
#include "transport/tcp/dialled_transport.h"
#include "transport/verbs/announcements.h"
#include "transport/verbs/flushes.h"
#include "transport/verbs/held_memory.h"
#include "transport/verbs/queue_burial.h"
#include "transport/verbs/queue_dial.h"
#include "transport/verbs/queue_pair.h"
#include "transport/verbs/rail.h"
#include "transport/verbs/wire.h"

namespace weft::verbs {

class LinkBackend final : public tcp::DialledBackend {
 public:
  // `rails` and `caches` have an element a plane. `burial` outlives the link.
  LinkBackend(tcp::DialledPlan plan, std::vector<std::shared_ptr<Rail>> rails,
              std::vector<std::shared_ptr<RegistrationCache>> caches, QueueBurial& burial,
              std::shared_ptr<const engine::Log> log);
  ~LinkBackend() override;

  bool receive(multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  void send(const multipath::Transmission& transmission, multipath::Endpoint& endpoint,
            multipath::TimePoint now) override;
  void flush(multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  void fence(multipath::PathId path) override;
  void reconnect(multipath::PathId path, multipath::Incarnation incarnation,
                 multipath::TimePoint now) override;
  void tick(multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  void abandon_buffers(multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  void request_done(multipath::RequestSlot request) override;
  Status takes_device_memory() const override;
  void begin_flush(std::uint32_t number, const std::byte* data, multipath::Endpoint& endpoint) override;
  engine::FlushState flush_state(std::uint32_t number) const override { return flushes_.state(number); }
  bool is_drained() const override;
  void cut(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  void describe(multipath::PathId path, PathStatistics& statistics) const override;
  std::string peer_name() const override { return peer_name_; }
  std::string failure() const override { return failure_; }

  bool is_settled() const override;
  bool has_heard() const override { return has_heard_; }
  const Status& dial_error() const override { return dial_error_; }
  bool is_refused() const override { return refused_; }
  Result<std::unique_ptr<tcp::PreparedPath>> prepare(const tcp::Hello& hello,
                                                     const tcp::IpAddress& from) override;
  void await(std::unique_ptr<tcp::PreparedPath> prepared, multipath::Endpoint& endpoint,
             multipath::TimePoint now) override;

 private:
  // A queue pair that serves at the accepting end, made before its link's lock was taken.
  struct Prepared final : tcp::PreparedPath {
    const std::vector<tcp::HandshakeOption>& options() const override { return answer; }

    multipath::PathId path{};
    multipath::Incarnation incarnation{};
    std::unique_ptr<QueuePair> queue;
    bool peer_may_write = true;
    PathOffer peer;
    std::vector<tcp::HandshakeOption> answer;
  };
  struct PathSlot {
    std::unique_ptr<QueuePair> queue;
    multipath::Incarnation incarnation{};
    std::uint32_t next_sequence = 0;  // of the data frames that come
    // The last feedback that went out on the path, and the last that came: what an immediate stands for.
    std::uint32_t sent_acknowledged = 0, sent_credit_seen = 0;
    std::uint32_t heard_acknowledged = 0, heard_credit_seen = 0;
    bool blocked = false;
    bool marked = false;
    std::uint32_t mark = 0;             // QueuePair::completed() when the path became suspicious
    std::unique_ptr<Prepared> awaited;  // accepting side: serves, and its first frame has not come
    multipath::TimePoint awaited_until{};
    std::unique_ptr<QueueDial> dial;
    multipath::TimePoint dial_began{};
    bool attempted = false;  // a dial has ended, well or not
    std::string device, local_address, peer_address;
  };
  struct RemoteReceive {
    std::uint32_t number = 0;  // low half of the receive's number
    bool announced = false;
    Place place;
  };
  // What was seen of a port's events so far.
  struct EventMarks {
    std::uint32_t went_down = 0, address_changed = 0, device_failed = 0;
  };
  // A queue pair that was broken off, until its completions have come.
  struct Remains {
    std::unique_ptr<QueuePair> queue;
    int ticks_left = 0;
  };

  PathSlot& at(multipath::PathId path) { return paths_[multipath::index(path)]; }
  std::size_t plane_of(multipath::PathId path) const {
    return multipath::index(plan_.path_planes[multipath::index(path)]);
  }
  std::uint32_t new_token(multipath::PathId path);
  void install(multipath::PathId path, multipath::Incarnation incarnation, std::unique_ptr<QueuePair> queue,
               const PathOffer& offer, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void lose(multipath::PathId path, multipath::LossReason reason, multipath::Endpoint& endpoint,
            multipath::TimePoint now);
  // Whether the path's NIC is done with a work request.
  auto nic_is_done() {
    return [this](multipath::PathId path, std::uint32_t work_request) {
      const PathSlot& slot = at(path);
      return !slot.queue || slot.queue->is_done_with(work_request);
    };
  }
  void discard(std::unique_ptr<QueuePair> queue);
  bool is_in_service(multipath::PathId path, const multipath::Endpoint& endpoint) const;
  void give_up_unfenced(multipath::Endpoint& endpoint);

  // link_backend_send.cc
  bool put_place(const multipath::Transmission& transmission, Place& place, multipath::Endpoint& endpoint);
  std::optional<LocalBytes> registered_payload(const multipath::Transmission& transmission,
                                               multipath::Endpoint& endpoint);
  bool stage_payload(const multipath::Transmission& transmission, PathSlot& slot, bool& by_immediate,
                     multipath::Endpoint& endpoint);
  bool needs_no_header(const multipath::Transmission& transmission, const PathSlot& slot) const;
  void give_up(const std::string& why, multipath::Endpoint& endpoint);
  void flush_path(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);

  // link_backend_receive.cc
  bool poll_rail(std::size_t plane, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void handle_sent(const ibv_wc& completion, multipath::Endpoint& endpoint, multipath::TimePoint now);
  bool handle_received(std::size_t plane, const ibv_wc& completion, multipath::Endpoint& endpoint,
                       multipath::TimePoint now);
  void handle_arrivals(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void answer(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);
  bool accept_awaited(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);
  const char* handle_message(multipath::PathId path, std::span<const std::byte> message,
                             multipath::Endpoint& endpoint, multipath::TimePoint now);
  const char* handle_data(multipath::PathId path, const multipath::FrameHeader& header,
                          std::span<const std::byte> payload, multipath::Endpoint& endpoint,
                          multipath::TimePoint now);
  const char* handle_chunk(multipath::PathId path, const Arrival& arrival, multipath::Endpoint& endpoint,
                           multipath::TimePoint now);
  const char* take_place(const multipath::FrameHeader& header, std::span<const std::byte>& rest,
                         std::optional<Place>& place) const;
  const char* keep_place(const multipath::FrameHeader& header, const Place& place);
  void protocol_error(multipath::PathId path, const char* what, multipath::Endpoint& endpoint,
                      multipath::TimePoint now);
  void drop_dead_awaited(multipath::PathId path, multipath::Endpoint& endpoint);

  // Once a tick.
  void replace_rail(std::size_t plane, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void step_dial(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void heed_events(std::size_t plane, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void ask_nic(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void bury_remains();

  tcp::DialledPlan plan_;
  std::vector<std::shared_ptr<Rail>> rails_;
  // A rail is replaced under both it and the link's lock, so that prepare() needs but it.
  std::mutex rails_mutex_;
  multipath::TimePoint replace_rails_at_{};
  std::vector<EventMarks> events_;
  HeldMemory memory_;
  Flushes flushes_;
  QueueBurial& burial_;
  std::shared_ptr<const engine::Log> log_;
  std::vector<PathSlot> paths_;
  std::vector<Remains> remains_;
  std::array<RemoteReceive, multipath::kSlots> remote_{};
  Announcements sent_, heard_;
  std::uint64_t dirty_ = 0;  // paths with work requests that nothing has flushed
  std::atomic<std::uint32_t> tokens_{0};
  // Cleared for good when user memory goes away that a peer knows the keys of: later queue pairs let nobody
  // write.
  std::atomic<bool> peer_may_write_{true};
  bool has_connected_ = false;
  bool has_heard_ = false;
  bool refused_ = false;
  Status dial_error_{StatusCode::kUnreachable, "there was no attempt"};
  std::string peer_name_ = "(not yet connected)";
  std::string failure_;
  std::string unfenced_;  // what could not be put out of service
};

}  // namespace weft::verbs
