// A device whose every answer a test decides: what its queue pairs have received, which sends are complete,
// what it refuses. It stands in for libibverbs where a test must say exactly what a peer's NIC, hostile or
// broken, brings, and in which order. What real devices do is tested over libibverbs in emulated machines.
//
// One thread, and beside it the one that buries queue pairs. The device outlives what is made of it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "transport/verbs/rail.h"
#include "transport/verbs/registration_cache.h"
#include "transport/verbs/verbs_library.h"

namespace weft::verbs {

class ScriptedDevice {
 public:
  struct Sent {
    std::uint64_t id = 0;
    ibv_wr_opcode operation{};
    bool signaled = false;
    std::vector<std::byte> message;  // of a SEND
    int pieces = 0;
    bool copied = false;  // inline: by the CPU
    std::uint64_t remote_address = 0;
    std::uint32_t remote_key = 0;
    std::uint32_t length = 0;
    std::uint64_t local_address = 0;  // of what it reads first
    std::uint32_t local_key = 0;
  };
  struct Refusals {
    bool modify_to_error = false;  // ibv_modify_qp to ERR
    bool poll = false;
    bool receives = false;  // ibv_post_srq_recv
    bool sends = false;     // ibv_post_send
  };

  ScriptedDevice();
  ~ScriptedDevice();
  ScriptedDevice(const ScriptedDevice&) = delete;
  ScriptedDevice& operator=(const ScriptedDevice&) = delete;

  // A port of it at 10.0.PLANE.1.
  RailPort port(std::uint8_t plane);

  Refusals refuses;
  std::atomic<bool> refuses_to_destroy{false};  // ibv_destroy_qp
  // Called by ibv_destroy_qp first, on its caller's thread. Set while no queue pair is being buried.
  std::function<void()> before_destroying;

  // What happens at a queue pair, to be found by the next poll. Nothing where it is gone: its completion
  // queue is then told all the same, as a NIC may that was late.
  void receive(std::uint32_t queue_pair, std::span<const std::byte> message);
  void receive_immediate(std::uint32_t queue_pair, std::uint32_t immediate, std::uint32_t bytes);
  void complete_sends(std::uint32_t queue_pair, ibv_wc_status status = IBV_WC_SUCCESS);
  void complete(std::size_t completion_queue, const ibv_wc& completion);
  // As IBV_EVENT_CQ_ERR says.
  void report_failure(std::size_t completion_queue);

  // What was posted and is not complete.
  const std::deque<Sent>& sends(std::uint32_t queue_pair) const;
  // Those of all queue pairs in order, since the last call.
  std::vector<Sent> take_sent();
  bool is_in_service(std::uint32_t queue_pair) const;
  std::size_t queue_pairs() const;
  // The numbers of those that were made, the last one behind.
  const std::vector<std::uint32_t>& made() const { return made_; }

 private:
  struct Completions;
  struct Receives;
  struct Queue;

  static ScriptedDevice& of(const ibv_context* context);
  void install_functions();
  void push(Completions& to, const ibv_wc& completion);
  // The receive that a message takes; none where nothing is posted.
  std::optional<std::uint64_t> take_receive(Receives& receives, std::span<const std::byte> message);
  Queue* find(std::uint32_t number) const;

  mutable std::recursive_mutex mutex_;  // of all below
  VerbsLibrary verbs_;
  ibv_context context_{};
  ibv_pd domain_{};
  std::vector<Completions*> completion_queues_;
  std::map<std::uint32_t, Queue*> queues_;
  std::map<std::uint32_t, std::pair<Completions*, Receives*>> places_;  // of those that are gone, too
  std::vector<std::uint32_t> made_;
  std::vector<Sent> sent_;
  std::uint32_t next_number_ = 17;
  std::uint32_t next_key_ = 1;
};

// Keeps account of keys: which are live, and for what.
class ScriptedRegistrar final : public Registrar {
 public:
  Result<Registration> add(std::uintptr_t address, std::size_t bytes, MemoryAccess access,
                           const MemoryOrigin& origin) override;
  void remove(const Registration& registration) override;

  bool covers(std::uint32_t key, std::uint64_t address, std::size_t bytes) const;
  std::size_t live() const { return live_.size(); }

 private:
  struct Range {
    std::uintptr_t address = 0;
    std::size_t bytes = 0;
  };
  std::map<std::uint32_t, Range> live_;
  std::uint32_t next_ = 1000;
};

}  // namespace weft::verbs
