// The flushes of a link's device memory: which ports have put data there since they were last read back from,
// and how far the reading is (flush_queue.h says why reading flushes).
//
// At most one read is under way on a port. Flushes that are asked for meanwhile share the next one, which
// begins after all that they are about has arrived; so their number needs no limit and no memory.
//
// A port that goes down may fail to read back what it brought before, or not answer. It is tried anew for
// kPatience; another port's read would not do, for it takes another way through PCIe.
//
// Threads: under the link's lock. Nothing allocates once a port's queue is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "transport/engine/backend.h"
#include "transport/multipath/types.h"
#include "transport/verbs/flush_queue.h"
#include "transport/verbs/registration_cache.h"

namespace weft::verbs {

class Flushes {
 public:
  // Both have an element a plane.
  Flushes(const std::vector<std::shared_ptr<Rail>>& rails,
          std::vector<std::shared_ptr<RegistrationCache>> caches);
  ~Flushes();
  Flushes(const Flushes&) = delete;
  Flushes& operator=(const Flushes&) = delete;

  // Data for device memory has come over the plane, and its completion has been polled.
  void note_landing(std::size_t plane) { landed_ |= std::uint32_t{1} << plane; }
  bool are_pending() const { return pending_ != 0; }
  // `number` as engine::Backend::begin_flush(). An error: `data` cannot be registered with a device.
  Status begin(std::uint32_t number, const std::byte* data);
  void poll();
  // About once a millisecond while some are pending. An error, once: they cannot be carried out.
  Status tick(multipath::TimePoint now);
  engine::FlushState state(std::uint32_t number) const;

 private:
  struct Read {
    bool exists = false;
    std::uint32_t number = 0;  // of the last flush that it serves
    std::uint64_t address = 0;
    RegistrationCache::Held memory;
  };
  struct Port {
    RailPort port;
    std::unique_ptr<FlushQueue> queue;
    Read reading, waiting;
    std::uint32_t covered = 0;  // flushes up to this one are done here; means something while some are not
    std::optional<multipath::TimePoint> unanswered_since, tried;
    std::string failure;
  };

  void drop(std::size_t plane, Read& read);
  void start(std::size_t plane);
  void retry_later(std::size_t plane);
  void poll_port(std::size_t plane);

  const std::vector<std::shared_ptr<RegistrationCache>> caches_;
  std::vector<Port> ports_;
  std::uint32_t landed_ = 0;   // planes
  std::uint32_t pending_ = 0;  // planes with a read that is under way or waits
  bool failed_ = false;
};

}  // namespace weft::verbs
