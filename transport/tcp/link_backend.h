// The TCP backend of one link: a socket a path, one epoll set, and the dials that bring paths up.
//
// Threads: under the link's lock, as engine::Backend says.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "transport/engine/backend.h"
#include "transport/engine/log.h"
#include "transport/tcp/dial.h"
#include "transport/tcp/path_stream.h"

namespace weft::tcp {

// What both ends of a link have agreed on, and what this one was told.
struct LinkTerms {
  bool payload_checksum = false;
  std::chrono::milliseconds peer_timeout{};
  CodingTerms coding;
};

class LinkBackend final : public engine::Backend {
 public:
  // `routes` has one element a path on the connecting side and is empty on the accepting one.
  LinkBackend(Socket epoll, std::size_t paths, std::vector<PathRoute> routes, DialSettings dialing,
              const LinkTerms& terms, std::shared_ptr<const engine::Log> log);

  // A connected socket, its handshake done, becomes the path. False, and it is closed: the incarnation is
  // stale.
  bool adopt(multipath::PathId path, multipath::Incarnation incarnation, Socket socket, std::string device,
             multipath::Endpoint& endpoint, multipath::TimePoint now);

  bool receive(multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  void send(const multipath::Transmission& transmission, multipath::Endpoint& endpoint,
            multipath::TimePoint now) override;
  void flush(multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  void fence(multipath::PathId path) override;
  void reconnect(multipath::PathId path, multipath::Incarnation incarnation,
                 multipath::TimePoint now) override;
  void tick(multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  void abandon_buffers(multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  bool is_drained() const override;
  void cut(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now) override;
  void describe(multipath::PathId path, PathStatistics& statistics) const override;
  std::string peer_name() const override { return peer_name_; }
  void describe_compression(CompressionStatistics& statistics) const override { coder_.describe(statistics); }
  Status takes_device_memory() const override {
    return {StatusCode::kInvalidArgument, "it runs over TCP, whose payloads the CPU copies"};
  }

  // Connecting side: no first attempt is under way any more.
  bool is_settled() const;

 private:
  struct PathSlot {
    std::unique_ptr<PathStream> stream;
    std::unique_ptr<Dial> dial;
    multipath::Incarnation dialed{};
    bool waits_for_room = false;
    std::uint32_t watched_events = 0;  // as the epoll set has it; 0: it is not in the set
    bool attempted = false;            // a dial has ended, well or not
    bool marked = false;
    std::uint64_t mark = 0;      // PathStream::KernelView::mark when the path became suspicious
    std::uint64_t received = 0;  // KernelView::received then
    std::string device, local_address, peer_address;
  };

  void warn_of_coding() const;
  void name_paths_of_plane(multipath::PathId path, const std::string& local_address,
                           const multipath::Endpoint& endpoint);
  void lose(multipath::PathId path, multipath::LossReason reason, multipath::Endpoint& endpoint,
            multipath::TimePoint now);
  void handle(multipath::PathId path, StreamOutcome outcome, multipath::Endpoint& endpoint,
              multipath::TimePoint now);
  void flush_path(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void wait_for_room(multipath::PathId path, bool wait);
  void watch(multipath::PathId path);
  void watch_all();
  bool has_single_stream() const { return streams_ != 0 && (streams_ & (streams_ - 1)) == 0; }
  multipath::PathId lone_stream() const { return static_cast<multipath::PathId>(std::countr_zero(streams_)); }
  bool read(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);
  void ask_kernel(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);
  std::uint64_t unsent_bytes(multipath::PathId path, const multipath::Endpoint& endpoint) const;
  void step_dial(multipath::PathId path, multipath::Endpoint& endpoint, multipath::TimePoint now);

  const LinkTerms terms_;
  PayloadCoder coder_;
  std::vector<PathSlot> paths_;
  std::optional<multipath::PathId> likely_;  // the path that alone had news when all were asked
  unsigned polls_ = 0;
  std::vector<PathRoute> routes_;
  DialSettings dialing_;
  std::shared_ptr<const engine::Log> log_;
  Socket epoll_;
  std::uint64_t streams_ = 0;  // paths that have one
  std::uint64_t dirty_ = 0;    // paths with frames that send() took and nothing has flushed
  std::string peer_name_ = "(not yet connected)";
};

}  // namespace weft::tcp
