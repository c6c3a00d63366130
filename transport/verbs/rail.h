// A link's end of one plane: the completion queue and the shared receive queue of its queue pairs on one
// port, and the buffers that receive their messages. Each link has its own, so that links share no lock and
// polling one touches nobody else's completions.
//
// Threads: poll(), message(), recycle() and post_receives() under the link's lock; create() anywhere. Shared
// with its queue pairs, which end before it does. Nothing allocates after create().
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "transport/process/own_descriptor.h"
#include "transport/verbs/gid_choice.h"
#include "transport/verbs/mrc_library.h"
#include "transport/verbs/settings.h"
#include "transport/verbs/verbs_library.h"
#include "transport/verbs/wire.h"

namespace weft::verbs {

class MrcDevice;

// What a port of an open device has reported since it was opened. Counters only grow; whoever cares compares
// with what it saw last. Written by the reader of the device's asynchronous events, read by links.
struct PortEvents {
  std::atomic<std::uint32_t> went_down{0};
  std::atomic<std::uint32_t> address_changed{0};
  std::atomic<std::uint32_t> device_failed{0};
};

// How a port can be reached at the moment.
struct PortAddress {
  GidEntry gid;
  std::uint16_t lid = 0;
  std::uint8_t mtu = 1;  // as in verbs
  LinkLayer link_layer = LinkLayer::kEthernet;
};

// A port of an open device, as its owner hands it out. `owner` keeps context and protection domain alive.
struct RailPort {
  std::shared_ptr<void> owner;
  const VerbsLibrary* verbs = nullptr;
  ibv_context* context = nullptr;
  ibv_pd* protection_domain = nullptr;
  std::uint8_t number = 1;
  std::string name;  // mlx5_0:1
  // Read anew for each queue pair: indexes move when addresses change.
  std::function<Result<PortAddress>()> read_address;
  std::shared_ptr<const PortEvents> events;
  QueuePairSettings settings;
  // Payloads may lie in memory that its NIC reads and writes and the CPU does not touch.
  bool takes_device_memory = false;
  // Null: queue pairs are RC. Else MRC, which have no shared receive queue: each has receives of its own.
  std::shared_ptr<const MrcDevice> mrc;
};

class Rail {
 public:
  // For this many paths. The error names the port and what to do.
  static Result<std::shared_ptr<Rail>> create(const RailPort& port, std::size_t paths);
  ~Rail();
  Rail(const Rail&) = delete;
  Rail& operator=(const Rail&) = delete;

  const RailPort& port() const { return port_; }
  ibv_cq* completions() const { return completions_; }
  ibv_srq* receives() const { return receives_; }
  mrc::Completions* mrc_completions() const { return mrc_completions_; }

  // A queue of it has failed, or was refused: nothing comes by this rail any more, and its owner makes
  // another.
  bool has_failed() const { return failed_.load(std::memory_order_relaxed); }
  // For the reader of the device's events, between ibv_get_async_event() and its acknowledgement: until that
  // the queue in the event cannot be destroyed.
  static void note_failure(const ibv_cq& queue);
  static void note_failure(const ibv_srq& queue);

  // How many completions it took; -1 where the device gives no more. No system call.
  int poll(std::span<ibv_wc> out) {
    const int most = static_cast<int>(out.size());
    const int count =
        completions_ != nullptr ? ibv_poll_cq(completions_, most, out.data()) : poll_mrc(out.data(), most);
    if (count < 0) failed_.store(true, std::memory_order_relaxed);
    return count;
  }
  // The bytes of a message that was received; valid until it is recycled.
  std::span<const std::byte> message(const ibv_wc& completion) const {
    return std::span(buffers_).subspan(completion.wr_id * kMessageBytes, completion.byte_len);
  }
  // A receive completion, whatever its outcome, has given its buffer back; it serves again after
  // post_receives().
  void recycle(const ibv_wc& completion);
  // False: the device refuses.
  bool post_receives();

 private:
  static constexpr std::size_t kBatch = 64;

  Rail(const RailPort& port, std::size_t paths);
  Status open(std::size_t paths);
  Status open_mrc(std::size_t paths, std::size_t most_entries);
  int poll_mrc(ibv_wc* out, int most);
  Status failed(const char* what, const char* advice = "") const;
  bool post_all_receives();

  const RailPort port_;
  std::size_t depth_ = 0;  // of the shared receive queue
  std::vector<std::byte> buffers_;
  ibv_mr* memory_ = nullptr;
  ibv_cq* completions_ = nullptr;
  ibv_srq* receives_ = nullptr;
  mrc::Completions* mrc_completions_ = nullptr;
  std::array<ibv_recv_wr, kBatch> recycled_{};
  std::array<ibv_sge, kBatch> recycled_places_{};
  std::size_t recycled_count_ = 0;
  const process::Birthplace birthplace_;
  std::atomic<bool> failed_{false};
};

// What a completion of a send says of itself in its wr_id; receives have the number of their buffer there.
struct SendMark {
  static constexpr std::uint64_t kSendBit = std::uint64_t{1} << 63;

  std::uint32_t token = 0;   // 31 bits, of the queue pair
  std::uint32_t posted = 0;  // how many work requests had been posted, this one included

  std::uint64_t pack() const { return kSendBit | std::uint64_t{token} << 32 | posted; }
  static SendMark unpack(std::uint64_t id) {
    return {static_cast<std::uint32_t>(id >> 32) & 0x7FFFFFFF, static_cast<std::uint32_t>(id)};
  }
};

}  // namespace weft::verbs
