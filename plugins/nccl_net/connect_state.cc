#include "plugins/nccl_net/connect_state.h"

#include <cstring>
#include <random>
#include <utility>
#include <vector>

namespace weft::nccl_net {
namespace {

std::uint64_t random_word() {
  std::random_device device;
  std::uint64_t word = 0;
  while (word == 0) word = (std::uint64_t{device()} << 32) | device();
  return word;
}

}  // namespace

void write_handle(const Address& address, void* handle) {
  std::memset(handle, 0, nccl::kHandleBytes);
  std::memcpy(handle, address.bytes.data(), Address::kBytes);
}

Address address_of(const void* handle) {
  Address address;
  std::memcpy(address.bytes.data(), handle, Address::kBytes);
  return address;
}

ConnectTicket ticket_of(const void* handle) {
  ConnectTicket ticket;
  std::memcpy(&ticket, static_cast<const std::byte*>(handle) + Address::kBytes, sizeof ticket);
  return ticket;
}

void set_ticket(const ConnectTicket& ticket, void* handle) {
  std::memcpy(static_cast<std::byte*>(handle) + Address::kBytes, &ticket, sizeof ticket);
}

PendingConnects::PendingConnects() : process_(random_word()) {}

Connector* PendingConnects::find(const ConnectTicket& ticket, Clock::time_point now) {
  if (ticket.process != process_) return nullptr;
  std::lock_guard lock(mutex_);
  const auto found = pending_.find(ticket.number);
  if (found == pending_.end()) return nullptr;
  found->second.last_asked = now;
  return found->second.connector.get();
}

ConnectTicket PendingConnects::add(std::unique_ptr<Connector> connector, const void* owner,
                                   Clock::time_point now) {
  std::lock_guard lock(mutex_);
  const std::uint64_t number = next_number_++;
  pending_.emplace(number, Pending{std::move(connector), owner, now});
  return {process_, number};
}

void PendingConnects::remove(const ConnectTicket& ticket) {
  if (ticket.process != process_) return;
  Table::node_type node;  // destroyed after the lock is released, as a Connector may take its time to close
  std::lock_guard lock(mutex_);
  node = pending_.extract(ticket.number);
}

template <typename Predicate>
void PendingConnects::remove_where(Predicate predicate) {
  std::vector<Table::node_type> nodes;
  std::lock_guard lock(mutex_);
  for (auto it = pending_.begin(); it != pending_.end();) {
    const auto current = it++;
    if (predicate(current->second)) nodes.push_back(pending_.extract(current));
  }
}

void PendingConnects::remove_all_of(const void* owner) {
  remove_where([owner](const Pending& pending) { return pending.owner == owner; });
}

void PendingConnects::remove_all() {
  remove_where([](const Pending&) { return true; });
}

void PendingConnects::remove_abandoned(Clock::time_point now, Clock::duration patience) {
  remove_where([&](const Pending& pending) { return now - pending.last_asked > patience; });
}

std::size_t PendingConnects::size() const {
  std::lock_guard lock(mutex_);
  return pending_.size();
}

}  // namespace weft::nccl_net
