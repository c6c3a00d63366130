// The queue pair of one path: its way from RESET to service, the work requests that wait for one doorbell,
// and how many of them the NIC still owes. This one is a reliable connection (RC); what differs where a NIC
// speaks MRC overrides it in mrc_queue.h.
//
// Threads: create() and connect() anywhere, one thread at a time; the rest under the link's lock. Nothing
// allocates after create(), and only connect(), break_off(), destroy() and the destructor make system calls.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "transport/verbs/path_offer.h"
#include "transport/verbs/rail.h"

namespace weft::verbs {

// Memory of this process as its device knows it, and of the peer's as its device does.
struct LocalBytes {
  const std::byte* at = nullptr;
  std::uint32_t length = 0;
  std::uint32_t key = 0;
};
struct RemoteBytes {
  std::uint64_t address = 0;
  std::uint32_t key = 0;
};

// Something that a peer has sent: a message, or a chunk that landed in a posted buffer.
struct Arrival {
  std::span<const std::byte>
      message;  // of a message; valid until the next call of the queue pair or its rail
  bool is_chunk = false;
  bool has_sequence = false;  // else the queue pair has seen to the order by itself
  Immediate chunk;            // of a chunk, and so is `length`
  std::uint32_t length = 0;
  const char* wrong = nullptr;  // not null: it is none that a peer may send, and why
};

class QueuePair {
 public:
  static constexpr std::uint32_t kDepth = 256;  // work requests that may be under way
  static constexpr std::uint32_t kMostPerFrame = 2;

  // In state INIT, of the kind that the rail's port has. `token` marks its sends' completions (SendMark).
  static Result<std::unique_ptr<QueuePair>> create(std::shared_ptr<Rail> rail, std::uint32_t token,
                                                   bool peer_may_write);
  virtual ~QueuePair();
  QueuePair(const QueuePair&) = delete;
  QueuePair& operator=(const QueuePair&) = delete;

  QueueAddress address() const;
  // What the peer has to know.
  virtual PathOffer offer() const { return {address(), std::nullopt}; }
  std::uint32_t number() const { return number_; }
  std::uint32_t token() const { return token_; }
  Rail& rail() const { return *rail_; }
  // Ready to receive and to send. The kernel may ask the network for the peer's MAC address meanwhile: quick
  // where a TCP connection between the same interfaces has just been made.
  virtual Status connect(const PathOffer& peer, std::uint32_t flow_label);

  // Work requests for the next frames, in the order of the path.
  bool has_room() const { return room() >= kMostPerFrame; }
  bool has_plenty_of_room() const { return room() >= most_room_ / 2; }
  std::uint32_t in_flight() const { return staged_total_ - completed_; }
  // Room for a message of kMessageBytes; stage_message() sends its first `bytes`.
  std::byte* message_room() const;
  virtual void stage_message(std::size_t bytes, bool signal);
  // The same with what the NIC is to fetch behind it, from registered memory that the CPU does not touch.
  // Only on ports that take device memory.
  virtual void stage_gathered(std::size_t bytes, const LocalBytes& behind);
  virtual void stage_write(const LocalBytes& from, const RemoteBytes& to);
  virtual void stage_chunk(const LocalBytes& from, const RemoteBytes& to, const Immediate& chunk);
  bool needs_flush() const { return staged_ + kMostPerFrame > kBatch; }
  // Hands what is staged to the NIC, with one doorbell. False: it refuses, and the path is broken.
  bool flush();

  // A completion of a receive of this queue pair's: null, or why it cannot be.
  virtual const char* arrived(const ibv_wc& completion);
  // What has come, in the order in which the peer posted it; false: no more for the moment.
  virtual bool next_arrival(Arrival& out);
  // Behind the last arrival of a turn. True: the queue pair has staged something of its own.
  virtual bool answer_arrivals() { return false; }

  // A completion of this queue pair's, with the count that its SendMark bears. False: it cannot be.
  bool complete(std::uint32_t posted);
  // Of the work request that was staged last; and whether the NIC is done with it. It may have to send again
  // what has arrived long ago, if only the acknowledgement was lost.
  std::uint32_t last_staged() const { return staged_total_; }
  bool is_done_with(std::uint32_t staged) const {
    return static_cast<std::int32_t>(staged - completed_) <= 0;
  }
  bool reads_user_memory() const { return !is_done_with(last_write_); }
  // Changes whenever the NIC has reported that something arrived at the peer's.
  std::uint32_t completed() const { return completed_; }

  // To state ERR: nothing lands by it any more, and nothing of what was posted is sent. Its completions still
  // come, as errors, and want to be polled before it is destroyed. False: the device refuses.
  bool break_off();
  // At once, whatever has not completed. False: the device refuses that too.
  virtual bool destroy();
  // The device has reported that it failed (IBV_EVENT_QP_FATAL and its like).
  bool has_failed() const { return failed_.load(std::memory_order_relaxed); }
  // For the reader of the device's events, between ibv_get_async_event() and its acknowledgement: until that
  // the queue pair in the event cannot be destroyed.
  static void note_failure(const ibv_qp& queue);

 protected:
  QueuePair(std::shared_ptr<Rail> rail, std::uint32_t token);
  virtual Status open(bool peer_may_write);
  virtual std::uint32_t room() const { return kDepth - in_flight(); }
  // 0 or an errno value.
  virtual int post(ibv_send_wr* first);
  virtual bool put_in_error();

  Status failed(const char* what, int error) const;
  Status read_port_address();
  // Whether a queue pair of this kind can be connected to that.
  Status fits(const PathOffer& peer) const;
  Status make_message_places(ibv_pd* domain, std::uint32_t max_inline);
  // Where the peer is, for ibv_modify_qp() to RTR.
  ibv_ah_attr way_to(const QueueAddress& peer) const;
  ibv_send_wr& stage(ibv_wr_opcode operation, const LocalBytes& from);
  LocalBytes staged_message(std::size_t bytes) const;
  // To a request that was just staged.
  void gather_behind(ibv_send_wr& request, const LocalBytes& behind);
  std::uint32_t most_gathered() const { return rail_->port().takes_device_memory ? kMostGathered : 1; }
  std::uint32_t staged_total() const { return staged_total_; }
  void note_write() { last_write_ = staged_total_; }

  const std::shared_ptr<Rail> rail_;
  const std::uint32_t token_;
  PortAddress port_address_;
  std::uint32_t number_ = 0;
  std::uint32_t first_packet_ = 0;
  std::uint32_t most_room_ = kDepth;
  const process::Birthplace birthplace_;

 private:
  static constexpr std::uint32_t kBatch = 32;
  static constexpr std::uint32_t kMostGathered = 2;

  ibv_qp* queue_ = nullptr;
  std::uint32_t max_inline_ = 0;
  std::optional<ibv_wc> arrived_;

  // Where the device takes messages inline they are copied by flush(), else the NIC reads them when it sends:
  // the ring then has a place for each work request that can be under way. And so it has where messages are
  // sent with device memory behind them, for inline would have the CPU copy that.
  std::vector<std::byte> messages_;
  std::uint32_t message_places_ = 0;
  ibv_mr* memory_ = nullptr;

  std::array<ibv_send_wr, kBatch> batch_{};
  std::array<ibv_sge, kBatch * kMostGathered> places_{};
  std::uint32_t staged_ = 0;
  // Work requests ever, modulo 2^32.
  std::uint32_t staged_total_ = 0;
  std::uint32_t completed_ = 0;
  std::uint32_t last_write_ = 0;
  std::atomic<bool> failed_{false};
};

}  // namespace weft::verbs
