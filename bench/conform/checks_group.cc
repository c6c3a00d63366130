// Grouped receives: one irecv with several buffers, each taken by the send with its tag.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>

#include "bench/conform/check.h"
#include "bench/conform/session.h"
#include "bench/conform/slot_buffer.h"

namespace weft::bench::conform {
namespace {

struct Part {
  int tag = 0;
  size_t bytes = 0;
};

constexpr size_t kCapacity = 100000;

// Posts one grouped receive and the sends in `send_order`, verifies every part. With equal tags the sends
// must take the slots in the order of posting.
class GroupRound {
 public:
  GroupRound(const Connection& connection, std::vector<Part> parts, std::vector<size_t> send_order,
             uint64_t seed, size_t capacity = kCapacity)
      : connection_(connection),
        capacity_(capacity),
        parts_(std::move(parts)),
        order_(std::move(send_order)),
        seed_(seed),
        source_(connection.session(), connection.send(), parts_.size(), capacity),
        target_(connection.session(), connection.recv(), parts_.size(), capacity),
        sends_(parts_.size(), nullptr) {
    for (size_t i = 0; i < parts_.size(); ++i) {
      source_.fill(i, parts_[i].bytes, seed_ + i);
      target_.poison(i);
    }
  }

  bool post_receive() {
    if (receive_) return false;
    const size_t n = parts_.size();
    std::vector<void*> data(n);
    std::vector<size_t> bytes(n, capacity_);
    std::vector<int> tags(n);
    std::vector<void*> mhandles(n, target_.mhandle());
    std::vector<void*> phandles(n, nullptr);
    for (size_t i = 0; i < n; ++i) {
      data[i] = target_.slot(i);
      tags[i] = parts_[i].tag;
    }
    require_success(plugin().irecv(connection_.recv(), data, bytes, tags, mhandles, phandles, &receive_),
                    "irecv");
    return receive_ != nullptr;
  }

  bool progress_sends() {
    bool moved = false;
    // Each of NCCL's connections sends for itself: a NULL for one does not hold back the next.
    for (size_t position = 0; position < order_.size(); ++position) {
      const size_t i = order_[position];
      if (sends_[i]) continue;
      const bool earlier_equal = std::any_of(order_.begin(), order_.begin() + position, [&](size_t other) {
        return !sends_[other] && parts_[other].tag == parts_[i].tag;
      });
      if (earlier_equal) continue;
      require_success(plugin().isend(connection_.send(), source_.slot(i), parts_[i].bytes, parts_[i].tag,
                                     source_.mhandle(), nullptr, &sends_[i]),
                      "isend");
      moved |= sends_[i] != nullptr;
    }
    for (size_t i : order_) {
      if (!sends_[i] || sends_[i] == finished()) continue;
      int done = 0;
      int size = 0;
      require_success(plugin().test(sends_[i], &done, &size), "test");
      if (done) {
        source_.poison(i);
        sends_[i] = finished();
        moved = true;
      }
    }
    return moved;
  }

  bool progress_receive() {
    if (!receive_ || received_) return false;
    // NCCL hands over an array for its largest group.
    std::array<int, 64> sizes{};
    int done = 0x6B6B6B6B;
    require_success(plugin().test(receive_, &done, sizes.data()), "test");
    require(done != 0x6B6B6B6B, "test of a grouped receive did not write *done");
    if (!done) return false;
    received_ = true;
    for (size_t i = 0; i < parts_.size(); ++i) {
      const std::string what =
          fmt::format("part {} of {} (tag {}, {} bytes)", i, parts_.size(), parts_[i].tag, parts_[i].bytes);
      require(sizes[i] == static_cast<int>(parts_[i].bytes),
              [&] { return fmt::format("{}: the plugin reports {} bytes", what, sizes[i]); });
      target_.verify(i, parts_[i].bytes, seed_ + i, what);
    }
    return true;
  }

  bool is_sent() const {
    return std::all_of(sends_.begin(), sends_.end(), [](void* send) { return send == finished(); });
  }
  bool complete() const { return received_ && is_sent(); }

  void deregister() {
    source_.deregister();
    target_.deregister();
  }

 private:
  static void* finished() { return reinterpret_cast<void*>(uintptr_t{0xF1A1}); }
  NetPlugin& plugin() const { return connection_.session().plugin(); }

  const Connection& connection_;
  const size_t capacity_;
  std::vector<Part> parts_;
  std::vector<size_t> order_;
  uint64_t seed_;
  SlotBuffer source_;
  SlotBuffer target_;
  std::vector<void*> sends_;
  void* receive_ = nullptr;
  bool received_ = false;
};

void run_round(const Connection& connection, const std::vector<Part>& parts, const std::vector<size_t>& order,
               uint64_t seed) {
  GroupRound round(connection, parts, order, seed);
  Patience patience = connection.session().patience();
  while (!round.complete()) {
    bool moved = round.post_receive();
    moved |= round.progress_sends();
    moved |= round.progress_receive();
    if (moved)
      patience.moved();
    else
      patience.wait([&] { return fmt::format("a grouped receive of {}", parts.size()); });
  }
  round.deregister();
}

int group_size(const Session& session) {
  const int max = session.max_recvs();
  if (max < 2) throw Skip("maxRecvs is 1: the plugin offers no grouped receives");
  return std::min(max, 8);
}

std::vector<size_t> forward(size_t n) {
  std::vector<size_t> order(n);
  for (size_t i = 0; i < n; ++i) order[i] = i;
  return order;
}

void group_by_tag(CheckContext& context) {
  Session session(context);
  const int n = group_size(session);
  Connection connection(session);
  std::mt19937 random(5);
  for (uint64_t round = 0; round < 40; ++round) {
    std::vector<Part> parts;
    for (int i = 0; i < n; ++i) parts.push_back({100 + 7 * i, 1 + random() % kCapacity});
    auto order = forward(n);
    std::shuffle(order.begin(), order.end(), random);
    run_round(connection, parts, order, 1000 * round);
  }
  connection.close();
}

void group_equal_tags(CheckContext& context) {
  Session session(context);
  const int n = group_size(session);
  Connection connection(session);
  for (uint64_t round = 0; round < 10; ++round) {
    std::vector<Part> parts;
    for (int i = 0; i < n; ++i) parts.push_back({3, 1000u * (i + 1)});
    run_round(connection, parts, forward(n), 1000 * round);
  }
  connection.close();
}

void group_of_every_size(CheckContext& context) {
  Session session(context);
  const int n = group_size(session);
  Connection connection(session);
  for (int size = 1; size <= n; ++size) {
    std::vector<Part> parts;
    for (int i = 0; i < size; ++i) parts.push_back({i, 5000});
    auto order = forward(size);
    std::reverse(order.begin(), order.end());
    run_round(connection, parts, order, 100 * size);
  }
  connection.close();
}

void group_zero_bytes(CheckContext& context) {
  Session session(context);
  const int n = group_size(session);
  Connection connection(session);
  for (uint64_t round = 0; round < 8; ++round) {
    std::vector<Part> parts;
    for (int i = 0; i < n; ++i) parts.push_back({i, (i + round) % 2 == 0 ? size_t{0} : size_t{70000}});
    run_round(connection, parts, forward(n), 100 * round);
  }
  connection.close();
}

void groups_in_flight(CheckContext& context) {
  Session session(context);
  const int n = group_size(session);
  Connection connection(session);
  constexpr int kGroups = nccl::kMaxSteps;
  std::vector<std::unique_ptr<GroupRound>> rounds;
  for (int round = 0; round < kGroups; ++round) {
    std::vector<Part> parts;
    for (int i = 0; i < n; ++i) parts.push_back({50 + i, 20000u + 100 * round + i});
    auto order = forward(n);
    if (round % 2) std::reverse(order.begin(), order.end());
    rounds.push_back(std::make_unique<GroupRound>(connection, parts, order, 1000 * round));
  }
  // Eight groups posted; the same tags stand in each, and a send belongs to the oldest that still misses its
  // tag.
  Patience patience = session.patience();
  int posted = 0;
  while (posted < kGroups) {
    if (rounds[posted]->post_receive())
      ++posted;
    else
      patience.wait([&] { return fmt::format("grouped receive {} of {} to be posted", posted, kGroups); });
  }
  for (int round = 0; round < kGroups; ++round) {
    while (!rounds[round]->complete()) {
      bool moved = rounds[round]->progress_sends();
      moved |= rounds[round]->progress_receive();
      if (moved)
        patience.moved();
      else
        patience.wait([&] { return fmt::format("grouped receive {} of {} in flight", round, kGroups); });
    }
  }
  for (auto& round : rounds) round->deregister();
  connection.close();
}

// All parts of a group are sent, and the group is taken if `take`.
void send_group(const Session& session, GroupRound& round, bool take) {
  Patience patience = session.patience();
  while (take ? !round.complete() : !round.is_sent()) {
    bool moved = round.progress_sends();
    if (take) moved |= round.progress_receive();
    if (moved)
      patience.moved();
    else
      patience.wait([] { return "the parts of a grouped receive"; });
  }
}

void group_completed_out_of_order(CheckContext& context) {
  Session session(context);
  const int n = group_size(session);
  Connection connection(session);
  constexpr size_t kBytes = 4096;
  std::vector<std::unique_ptr<GroupRound>> rounds;
  const auto add_round = [&](int parts_count) -> GroupRound& {
    std::vector<Part> parts;
    for (int i = 0; i < parts_count; ++i) parts.push_back({i, kBytes - 10 * rounds.size() - i});
    rounds.push_back(
        std::make_unique<GroupRound>(connection, parts, forward(parts.size()), 100 * rounds.size(), kBytes));
    return *rounds.back();
  };
  // As many as the plugin takes. The first is of another size, so that the rest does not fall into its place.
  size_t posted = 0;
  while (posted < nccl::kMaxRequests) {
    if (rounds.size() == posted) add_round(posted == 0 ? n / 2 : n);
    if (!rounds[posted]->post_receive()) break;
    ++posted;
  }
  require(posted >= 2, "the plugin does not take two grouped receives at once");
  send_group(session, *rounds[0], false);
  send_group(session, *rounds[1], true);
  if (rounds.size() == posted) add_round(n);
  // NULL or a request, never an error.
  bool last_posted = rounds.back()->post_receive();
  for (size_t i = 0; i < rounds.size(); ++i) {
    if (i == rounds.size() - 1) {
      Patience patience = session.patience();
      while (!last_posted) {
        last_posted = rounds.back()->post_receive();
        if (!last_posted) patience.wait([] { return "room for a grouped receive, with none in flight"; });
      }
    }
    send_group(session, *rounds[i], true);
  }
  for (auto& round : rounds) round->deregister();
  connection.close();
}

}  // namespace

std::vector<Check> group_checks() {
  return {
      {"group_by_tag", "the tag chooses the slot of a grouped receive, in whatever order the sends come",
       group_by_tag},
      {"group_equal_tags", "equal tags in one group occur; the sends take the slots in order",
       group_equal_tags},
      {"group_of_every_size", "a group may have any number of buffers up to maxRecvs", group_of_every_size},
      {"group_zero_bytes", "a part of a group may have no bytes", group_zero_bytes},
      {"group_eight_in_flight", "eight groups are in flight; a send belongs to the oldest", groups_in_flight},
      {"group_completed_out_of_order",
       "queues that share a connection are tested apart: a group may be taken before an older one",
       group_completed_out_of_order},
  };
}

}  // namespace weft::bench::conform
