// The handle that NCCL carries from listen to connect, and the connects that are under way.
//
// connect is called again and again with the same handle until it gives a communicator; what is under way is
// kept here and found again through a ticket in the handle's tail. A ticket, not a pointer: the bytes come
// from another process, and a wrong one must do no harm.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "plugins/nccl_net/abi/types.h"
#include "weft/context.h"

namespace weft::nccl_net {

// All zero in the tail when it leaves listen. `process` keeps tickets of two processes apart.
struct ConnectTicket {
  std::uint64_t process = 0;
  std::uint64_t number = 0;
};
static_assert(Address::kBytes + sizeof(ConnectTicket) == nccl::kHandleBytes);

// `handle` points at nccl::kHandleBytes bytes without any alignment.
void write_handle(const Address& address, void* handle);
Address address_of(const void* handle);
ConnectTicket ticket_of(const void* handle);
void set_ticket(const ConnectTicket& ticket, void* handle);

// Threads: every call from any; a Connector that find() gave is used by the one thread that drives that
// connect.
class PendingConnects {
 public:
  using Clock = std::chrono::steady_clock;

  PendingConnects();

  // Null: nothing of ours is under way under this ticket, so a new connect begins.
  Connector* find(const ConnectTicket& ticket, Clock::time_point now);
  // `owner` is NCCL's context, or null before v11.
  ConnectTicket add(std::unique_ptr<Connector> connector, const void* owner, Clock::time_point now);
  void remove(const ConnectTicket& ticket);
  // NCCL drops half-open connects without a call. These end them: with their owner, ...
  void remove_all_of(const void* owner);
  void remove_all();
  // ... or, for versions without finalize, when nobody has asked for longer than `patience`.
  void remove_abandoned(Clock::time_point now, Clock::duration patience);
  std::size_t size() const;

 private:
  struct Pending {
    std::unique_ptr<Connector> connector;
    const void* owner = nullptr;
    Clock::time_point last_asked;
  };
  using Table = std::unordered_map<std::uint64_t, Pending>;

  template <typename Predicate>
  void remove_where(Predicate predicate);

  const std::uint64_t process_;
  mutable std::mutex mutex_;
  std::uint64_t next_number_ = 1;
  Table pending_;
};

}  // namespace weft::nccl_net
