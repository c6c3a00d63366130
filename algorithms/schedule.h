// A collective as plain data: what one rank sends and receives, in which order, and what has to be done
// before.
//
// An algorithm is a function that returns a Schedule; an executor runs it. Neither knows the other: the same
// schedule runs over connections on host memory (algorithms/host), in a test on plain arrays, or on a GPU.
//
// The caller's elements are cut into `blocks` parts as equal as they can be. A schedule names blocks, not
// bytes, so that it is made once and serves every size. Blocks with no elements are not sent at all; every
// rank knows which those are. An executor may cut a block further, into slices, and start slice i of an
// action as soon as slice i of the action named by `after` is finished: that is how reduction and transfer
// overlap.
//
// Order: two ranks see the messages between them in the order of their actions. The n-th send of rank a to
// rank b meets the n-th receive at b from a, and both name the same block or blocks of the same size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

namespace weft::algorithms {

enum class Buffer : unsigned char { kInput, kOutput };

// One thing that a rank does with one block. `after` is the index of an earlier action of this rank on the
// same block: the one whose result this one sends, or whose bytes this one writes over.
struct Action {
  enum class Kind : unsigned char {
    kSend,           // from `buffer` to the peer
    kReceive,        // from the peer into the output
    kReceiveReduce,  // output = input (op) what the peer sent
    kCopy,           // output = input; no peer
  };
  static constexpr int kNothing = -1;

  Kind kind = Kind::kSend;
  int step = 0;
  int peer = 0;
  int block = 0;
  Buffer buffer = Buffer::kInput;  // kSend only
  bool last_reduction = false;     // kReceiveReduce: every rank's part is in now (an average is divided here)
  int after = kNothing;
};

struct Schedule {
  std::string_view name;
  int rank = 0;
  int ranks = 1;
  int blocks = 1;
  std::vector<Action> actions;

  // Returns the index of the action, for the `after` of later ones.
  int add(const Action& action) {
    actions.push_back(action);
    return static_cast<int>(actions.size()) - 1;
  }
};

// The elements of a block: [first, first + count).
struct Range {
  std::size_t first = 0;
  std::size_t count = 0;
};

// The first `elements % blocks` blocks have one element more than the others.
inline Range block_range(std::size_t elements, int blocks, int block) {
  const auto n = static_cast<std::size_t>(blocks);
  const auto b = static_cast<std::size_t>(block);
  const std::size_t size = elements / n;
  const std::size_t longer = elements % n;
  return {b * size + std::min(b, longer), size + (b < longer ? 1 : 0)};
}

}  // namespace weft::algorithms
