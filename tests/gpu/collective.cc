#include "tests/gpu/collective.h"

#include <algorithm>
#include <utility>

namespace weft::gputest {
namespace {

constexpr std::pair<std::string_view, Operation> kOperations[] = {
    {"all_reduce", Operation::kAllReduce},
    {"all_gather", Operation::kAllGather},
    {"all_to_all", Operation::kAllToAll},
    {"all_to_allv", Operation::kAllToAllV},
};

constexpr std::pair<std::string_view, ElementType> kTypes[] = {
    {"int8", ElementType::kInt8},
    {"uint8", ElementType::kUint8},
    {"int32", ElementType::kInt32},
    {"uint32", ElementType::kUint32},
    {"int64", ElementType::kInt64},
    {"uint64", ElementType::kUint64},
    {"float16", ElementType::kFloat16},
    {"float32", ElementType::kFloat32},
    {"float64", ElementType::kFloat64},
    {"bfloat16", ElementType::kBfloat16},
    {"float8e4m3", ElementType::kFloat8E4M3},
    {"float8e5m2", ElementType::kFloat8E5M2},
};

template <typename Table, typename Value>
std::string_view find_name(const Table& table, Value value) {
  for (const auto& [name, candidate] : table) {
    if (candidate == value) return name;
  }
  return "?";
}

template <typename Table, typename Value>
bool find_value(const Table& table, std::string_view name, Value& value) {
  for (const auto& [candidate, result] : table) {
    if (candidate == name) {
      value = result;
      return true;
    }
  }
  return false;
}

Collective sized(Operation operation, ElementType type, int ranks, std::size_t bytes) {
  const std::size_t blocks = operation == Operation::kAllReduce ? 1 : static_cast<std::size_t>(ranks);
  return {operation, type, ranks, std::max<std::size_t>(1, bytes / (size_of(type) * blocks))};
}

}  // namespace

std::string_view name_of(Operation operation) {
  return find_name(kOperations, operation);
}
std::string_view name_of(ElementType type) {
  return find_name(kTypes, type);
}
bool parse(std::string_view name, Operation& operation) {
  return find_value(kOperations, name, operation);
}
bool parse(std::string_view name, ElementType& type) {
  return find_value(kTypes, name, type);
}

std::string_view name_of(Layout layout) {
  switch (layout) {
    case Layout::kOutOfPlace:
      return "out-of-place";
    case Layout::kInPlace:
      return "in-place";
    case Layout::kUnaligned:
      return "unaligned";
  }
  return "?";
}

void fill_input(const Collective& c, std::uint64_t seed, int rank, void* buffer) {
  const std::size_t count = input_count(c, rank);
  for (std::size_t i = 0; i < count; ++i) store_element(c.type, buffer, i, input_bits(c, seed, rank, i));
}

Comparison compare_output(const Collective& c, std::uint64_t seed, int rank, const void* buffer) {
  Comparison result;
  const std::size_t count = output_count(c, rank);
  for (std::size_t i = 0; i < count; ++i) {
    const int wrong = differing_bytes(load_element(c.type, buffer, i), output_bits(c, seed, rank, i));
    if (wrong != 0 && result.wrong_bytes == 0) result.first_wrong_element = i;
    result.wrong_bytes += static_cast<std::size_t>(wrong);
  }
  return result;
}

std::size_t count_other_bytes(const void* buffer, std::size_t bytes, unsigned char value) {
  const auto* begin = static_cast<const unsigned char*>(buffer);
  return bytes - static_cast<std::size_t>(std::count(begin, begin + bytes, value));
}

std::size_t minimum_wire_bytes(const Collective& c) {
  const auto others = static_cast<std::size_t>(c.ranks - 1);
  std::size_t elements = 0;
  switch (c.operation) {
    case Operation::kAllReduce:
      elements = 2 * others * c.count;
      break;
    case Operation::kAllGather:
      elements = others * c.count * static_cast<std::size_t>(c.ranks);
      break;
    case Operation::kAllToAll:
    case Operation::kAllToAllV:
      for (int from = 0; from < c.ranks; ++from) {
        for (int to = 0; to < c.ranks; ++to) elements += from == to ? 0 : block_count(c, from, to);
      }
      break;
  }
  return elements * size_of(c.type);
}

std::size_t Case::bytes() const {
  std::size_t most = 0;
  for (int rank = 0; rank < collective.ranks; ++rank) {
    most = std::max({most, input_count(collective, rank), output_count(collective, rank)});
  }
  return most * size_of(collective.type);
}

std::string Case::words() const {
  return std::string(name_of(collective.operation)) + " of " + std::to_string(bytes()) + " bytes, " +
         std::string(name_of(collective.type)) + ", " + std::string(name_of(layout));
}

std::vector<Case> make_plan(const PlanOptions& options) {
  std::vector<std::size_t> sizes;
  for (std::size_t bytes = options.min_bytes; bytes < options.max_bytes; bytes *= options.factor) {
    sizes.push_back(bytes);
  }
  sizes.push_back(options.max_bytes);
  // Neither size is a multiple of a slice, a chunk or (for wide types) a whole number of elements.
  const std::size_t odd_sizes[] = {1000, 300'007};

  std::vector<Case> plan;
  for (const Operation operation : options.operations) {
    const bool has_in_place = operation == Operation::kAllReduce || operation == Operation::kAllGather;
    const ElementType swept =
        std::find(options.types.begin(), options.types.end(), ElementType::kFloat32) == options.types.end()
            ? options.types.front()
            : ElementType::kFloat32;
    for (const std::size_t bytes : sizes) {
      const Collective c = sized(operation, swept, options.ranks, bytes);
      plan.push_back({c, Layout::kOutOfPlace});
      if (has_in_place) plan.push_back({c, Layout::kInPlace});
    }
    for (const ElementType type : options.types) {
      for (const std::size_t bytes : odd_sizes) {
        // What does not reduce only moves bytes; one size shows that every type has the right width.
        if (bytes > options.max_bytes || (operation != Operation::kAllReduce && bytes == odd_sizes[0]))
          continue;
        plan.push_back({sized(operation, type, options.ranks, bytes), Layout::kUnaligned});
      }
    }
  }
  return plan;
}

}  // namespace weft::gputest
