// Runs the schedules of all ranks on plain vectors of numbers, one action at a time, in a seeded random order
// among those that are ready. It knows nothing of slices, connections or types: what an algorithm means, in
// the fewest lines.
//
// A send is finished by an acknowledgement, some time after its message has arrived. Until then a transport
// may have to send it again, so that its source must not have changed: that is checked.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "algorithms/schedule.h"

namespace weft::algorithms {

class PlainExecutor {
 public:
  using Numbers = std::vector<std::uint64_t>;

  PlainExecutor(std::vector<Schedule> schedules, std::vector<Numbers> inputs, std::vector<Numbers> outputs,
                bool in_place, unsigned seed)
      : schedules_(std::move(schedules)),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        in_place_(in_place),
        random_(seed),
        started_(schedules_.size()),
        finished_(schedules_.size()),
        sent_elements_(schedules_.size(), 0),
        last_step_(schedules_.size(), -1) {
    for (std::size_t rank = 0; rank < schedules_.size(); ++rank) {
      started_[rank].resize(schedules_[rank].actions.size());
      finished_[rank].resize(schedules_[rank].actions.size());
    }
  }

  // An empty string, or what was wrong.
  std::string run() {
    for (;;) {
      std::vector<std::pair<std::size_t, std::size_t>> ready;
      std::size_t left = 0;
      for (std::size_t rank = 0; rank < schedules_.size(); ++rank) {
        for (std::size_t action = 0; action < schedules_[rank].actions.size(); ++action) {
          if (finished_[rank][action]) continue;
          ++left;
          if (!started_[rank][action] && is_ready(rank, action)) ready.emplace_back(rank, action);
        }
      }
      if (left == 0) return messages_left() == 0 ? "" : "messages were sent that nobody received";
      if (ready.empty() && unacknowledged_.empty()) {
        return std::to_string(left) + " actions are left and none can run: a deadlock";
      }
      const std::size_t choice = random_() % (ready.size() + unacknowledged_.size());
      std::string error = choice < ready.size() ? perform(ready[choice].first, ready[choice].second)
                                                : acknowledge(choice - ready.size());
      if (!error.empty()) return error;
    }
  }

  const Numbers& output(std::size_t rank) const { return in_place_ ? inputs_[rank] : outputs_[rank]; }
  const Numbers& input(std::size_t rank) const { return inputs_[rank]; }
  std::size_t sent_elements(std::size_t rank) const { return sent_elements_[rank]; }
  int steps() const {
    int most = 0;
    for (int last : last_step_) most = std::max(most, last + 1);
    return most;
  }

 private:
  struct Message {
    std::size_t rank, action;  // that sent it
    Numbers numbers;
  };

  Numbers source_of(std::size_t rank, std::size_t index) {
    const Action& action = schedules_[rank].actions[index];
    const Numbers& source = action.buffer == Buffer::kInput || in_place_ ? inputs_[rank] : outputs_[rank];
    const Range range = block_range(source.size(), schedules_[rank].blocks, action.block);
    const auto begin = source.begin() + static_cast<std::ptrdiff_t>(range.first);
    return {begin, begin + static_cast<std::ptrdiff_t>(range.count)};
  }

  std::string acknowledge(std::size_t choice) {
    const Message message = std::move(unacknowledged_[choice]);
    unacknowledged_.erase(unacknowledged_.begin() + static_cast<std::ptrdiff_t>(choice));
    finished_[message.rank][message.action] = true;
    return source_of(message.rank, message.action) == message.numbers
               ? ""
               : "rank " + std::to_string(message.rank) + " wrote over a block before its send had finished";
  }

  bool is_ready(std::size_t rank, std::size_t index) const {
    const Action& action = schedules_[rank].actions[index];
    if (action.after != Action::kNothing && !finished_[rank][static_cast<std::size_t>(action.after)])
      return false;
    if (action.kind == Action::Kind::kCopy) return true;
    const bool sends = action.kind == Action::Kind::kSend;
    // In the order of the list for each peer and direction.
    for (std::size_t earlier = 0; earlier < index; ++earlier) {
      const Action& other = schedules_[rank].actions[earlier];
      if (other.kind == Action::Kind::kCopy || started_[rank][earlier] || other.peer != action.peer) continue;
      if ((other.kind == Action::Kind::kSend) == sends) return false;
    }
    if (sends) return true;
    const auto queue = wires_.find({action.peer, static_cast<int>(rank)});
    return queue != wires_.end() && !queue->second.empty();
  }

  std::string perform(std::size_t rank, std::size_t index) {
    const Action& action = schedules_[rank].actions[index];
    Numbers& output = in_place_ ? inputs_[rank] : outputs_[rank];
    const Range range = block_range(output.size(), schedules_[rank].blocks, action.block);
    started_[rank][index] = true;
    finished_[rank][index] = action.kind != Action::Kind::kSend;
    if (action.kind == Action::Kind::kCopy) {
      for (std::size_t i = 0; i < range.count; ++i) output[range.first + i] = inputs_[rank][range.first + i];
      return {};
    }
    last_step_[rank] = std::max(last_step_[rank], action.step);
    if (action.kind == Action::Kind::kSend) {
      wires_[{static_cast<int>(rank), action.peer}].push_back({rank, index, source_of(rank, index)});
      sent_elements_[rank] += range.count;
      return {};
    }
    Message message = std::move(wires_[{action.peer, static_cast<int>(rank)}].front());
    wires_[{action.peer, static_cast<int>(rank)}].pop_front();
    if (message.numbers.size() != range.count) return "sender and receiver differ on the size of a block";
    for (std::size_t i = 0; i < range.count; ++i) {
      const std::uint64_t own =
          action.kind == Action::Kind::kReceiveReduce ? inputs_[rank][range.first + i] : 0;
      output[range.first + i] = own + message.numbers[i];
    }
    unacknowledged_.push_back(std::move(message));
    return {};
  }

  std::size_t messages_left() const {
    std::size_t left = 0;
    for (const auto& [wire, queue] : wires_) left += queue.size();
    return left;
  }

  std::vector<Schedule> schedules_;
  std::vector<Numbers> inputs_, outputs_;
  bool in_place_;
  std::mt19937 random_;
  std::vector<std::vector<char>> started_, finished_;
  std::vector<Message> unacknowledged_;
  std::map<std::pair<int, int>, std::deque<Message>> wires_;
  std::vector<std::size_t> sent_elements_;
  std::vector<int> last_step_;
};

}  // namespace weft::algorithms
