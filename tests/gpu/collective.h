// One collective operation as plain data, and its right answer: what every rank puts in and must get out.
//
// Pure functions; those that both sides need run on host and device. The host's answer is the reference, the
// device's (device_check.h) only saves copying every round to the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/gpu/element.h"

namespace weft::gputest {

enum class Operation : int {
  kAllReduce,
  kAllGather,
  kAllToAll,   // grouped sends and receives, equal blocks
  kAllToAllV,  // the same with unequal blocks, some of them empty
};

enum class Layout : int {
  kOutOfPlace,
  kInPlace,
  kUnaligned,  // out of place, both buffers one element away from an aligned address
};

struct Collective {
  Operation operation = Operation::kAllReduce;
  ElementType type = ElementType::kFloat32;
  int ranks = 2;
  std::size_t count = 1;  // elements of the whole vector (all-reduce), or of one block
};

// Elements that `from` sends to `to`.
WEFT_HOST_DEVICE constexpr std::size_t block_count(const Collective& c, int from, int to) {
  // 0, 1, 2 or 3 units; every rank sends and receives empty blocks among others.
  if (c.operation == Operation::kAllToAllV)
    return c.count * static_cast<std::size_t>((3 * from + 5 * to + 1) % 4);
  return c.count;
}

// Where in `from`'s input the block for `to` begins, in elements.
WEFT_HOST_DEVICE constexpr std::size_t send_offset(const Collective& c, int from, int to) {
  std::size_t offset = 0;
  for (int peer = 0; peer < to; ++peer) offset += block_count(c, from, peer);
  return offset;
}

// Where in `to`'s output the block of `from` begins, in elements.
WEFT_HOST_DEVICE constexpr std::size_t receive_offset(const Collective& c, int from, int to) {
  std::size_t offset = 0;
  for (int peer = 0; peer < from; ++peer) offset += block_count(c, peer, to);
  return offset;
}

WEFT_HOST_DEVICE constexpr std::size_t input_count(const Collective& c, int rank) {
  const bool blocks = c.operation == Operation::kAllToAll || c.operation == Operation::kAllToAllV;
  return blocks ? send_offset(c, rank, c.ranks) : c.count;
}

WEFT_HOST_DEVICE constexpr std::size_t output_count(const Collective& c, int rank) {
  if (c.operation == Operation::kAllReduce) return c.count;
  if (c.operation == Operation::kAllGather) return c.count * static_cast<std::size_t>(c.ranks);
  return receive_offset(c, c.ranks, rank);
}

// Where in its output a rank's input lies when the operation is in place, in elements.
WEFT_HOST_DEVICE constexpr std::size_t in_place_offset(const Collective& c, int rank) {
  return c.operation == Operation::kAllGather ? c.count * static_cast<std::size_t>(rank) : 0;
}

WEFT_HOST_DEVICE inline std::uint64_t input_bits(const Collective& c, std::uint64_t seed, int rank,
                                                 std::size_t i) {
  return element_bits(c.type, element_number(c.type, seed, rank, i));
}

WEFT_HOST_DEVICE inline std::uint64_t output_bits(const Collective& c, std::uint64_t seed, int rank,
                                                  std::size_t i) {
  switch (c.operation) {
    case Operation::kAllReduce: {
      std::uint64_t sum = 0;
      for (int peer = 0; peer < c.ranks; ++peer) {
        sum += static_cast<std::uint64_t>(element_number(c.type, seed, peer, i));
      }
      return element_bits(c.type, static_cast<std::int64_t>(sum));
    }
    case Operation::kAllGather:
      return input_bits(c, seed, static_cast<int>(i / c.count), i % c.count);
    case Operation::kAllToAll:
    case Operation::kAllToAllV:
      break;
  }
  int from = 0;
  std::size_t within = i;
  while (within >= block_count(c, from, rank)) within -= block_count(c, from++, rank);
  return input_bits(c, seed, from, send_offset(c, from, rank) + within);
}

std::string_view name_of(Operation operation);
std::string_view name_of(Layout layout);
std::string_view name_of(ElementType type);
// Name to value; false if there is none of that name.
bool parse(std::string_view name, Operation& operation);
bool parse(std::string_view name, ElementType& type);

// Fills `buffer` with rank's input.
void fill_input(const Collective& c, std::uint64_t seed, int rank, void* buffer);

struct Comparison {
  std::size_t wrong_bytes = 0;
  std::size_t first_wrong_element = 0;  // meaningful if wrong_bytes > 0
};
// Compares every byte of rank's output with the right answer.
Comparison compare_output(const Collective& c, std::uint64_t seed, int rank, const void* buffer);
// Bytes of `buffer` that are not `value`: guards around a buffer must stay as they were.
std::size_t count_other_bytes(const void* buffer, std::size_t bytes, unsigned char value);

// The fewest bytes that all ranks together must send, whatever the algorithm; counters below it prove that
// traffic went another way. All-reduce: every rank's data out and the result back, over n-1 edges.
std::size_t minimum_wire_bytes(const Collective& c);

// A row of the table: the collective, how its buffers lie, and its largest buffer as "bytes".
struct Case {
  Collective collective;
  Layout layout = Layout::kOutOfPlace;
  std::size_t bytes() const;
  std::string words() const;  // all_reduce of 8 bytes, float32, in-place
};

struct PlanOptions {
  int ranks = 2;
  std::size_t min_bytes = 8;
  std::size_t max_bytes = std::size_t{64} << 20;
  std::size_t factor = 8;
  std::vector<Operation> operations;
  std::vector<ElementType> types;
};
// Every size with one type in all layouts, then every type at two odd sizes. Same options, same plan, on
// every rank.
std::vector<Case> make_plan(const PlanOptions& options);

}  // namespace weft::gputest
