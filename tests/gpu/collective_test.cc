// The reference itself: values, their bits, the right answers, and that a wrong byte anywhere is seen.
#include "tests/gpu/collective.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

namespace weft::gputest {
namespace {

const std::vector<ElementType> kAllTypes = {
    ElementType::kInt8,    ElementType::kUint8,    ElementType::kInt32,      ElementType::kUint32,
    ElementType::kInt64,   ElementType::kUint64,   ElementType::kFloat16,    ElementType::kFloat32,
    ElementType::kFloat64, ElementType::kBfloat16, ElementType::kFloat8E4M3, ElementType::kFloat8E5M2};
const std::vector<Operation> kAllOperations = {Operation::kAllReduce, Operation::kAllGather,
                                               Operation::kAllToAll, Operation::kAllToAllV};

// An independent decoder: the value of binary16, bfloat16 and FP8 by the formula of the formats.
double decode(ElementType type, std::uint64_t bits) {
  if (type == ElementType::kFloat32) {
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  if (type == ElementType::kFloat64) {
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  const bool e4m3 = type == ElementType::kFloat8E4M3, e5m2 = type == ElementType::kFloat8E5M2;
  const int fraction_bits = e4m3 ? 3 : e5m2 ? 2 : type == ElementType::kFloat16 ? 10 : 7;
  const int bias = e4m3 ? 7 : type == ElementType::kBfloat16 ? 127 : 15;
  const std::uint64_t sign_bit = e4m3 || e5m2 ? 0x80 : 0x8000;
  const auto fraction = static_cast<double>(bits & ((1u << fraction_bits) - 1));
  const int exponent = static_cast<int>((bits & (sign_bit - 1)) >> fraction_bits);
  const double sign = (bits & sign_bit) ? -1 : 1;
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp(1 + fraction / (1 << fraction_bits), exponent - bias);
}

TEST(Element, FloatingTypesHoldEveryExactSum) {
  for (const ElementType type : {ElementType::kFloat16, ElementType::kBfloat16, ElementType::kFloat32,
                                 ElementType::kFloat64, ElementType::kFloat8E4M3, ElementType::kFloat8E5M2}) {
    const std::int64_t largest = kMaxRanks * (exact_limit(type) - 1);
    const std::int64_t step = std::max<std::int64_t>(1, largest / 3001);
    for (std::int64_t number = -largest; number <= largest; number += step) {
      ASSERT_EQ(decode(type, element_bits(type, number)), static_cast<double>(number)) << name_of(type);
    }
    EXPECT_EQ(element_bits(type, 0), 0u) << "zero must be +0: sums of opposites are";
  }
}

TEST(Element, KnownBits) {
  EXPECT_EQ(element_bits(ElementType::kFloat16, 1), 0x3C00u);
  EXPECT_EQ(element_bits(ElementType::kFloat16, -2), 0xC000u);
  EXPECT_EQ(element_bits(ElementType::kFloat16, 2047), 0x67FFu);
  EXPECT_EQ(element_bits(ElementType::kBfloat16, 1), 0x3F80u);
  EXPECT_EQ(element_bits(ElementType::kBfloat16, -255), 0xC37Fu);
  EXPECT_EQ(element_bits(ElementType::kFloat8E4M3, 1), 0x38u);
  EXPECT_EQ(element_bits(ElementType::kFloat8E4M3, -7), 0xCEu);
  EXPECT_EQ(element_bits(ElementType::kFloat8E5M2, 1), 0x3Cu);
  EXPECT_EQ(element_bits(ElementType::kFloat8E5M2, -8), 0xC8u);
  EXPECT_EQ(element_bits(ElementType::kInt8, -1), 0xFFu);
  EXPECT_EQ(element_bits(ElementType::kInt64, -1), ~std::uint64_t{0});
}

TEST(Element, NumbersStayWithinTheLimitAndDiffer) {
  for (const ElementType type : kAllTypes) {
    std::set<std::int64_t> seen;
    for (std::size_t i = 0; i < 2000; ++i) {
      const std::int64_t number = element_number(type, 7, 3, i);
      if (exact_limit(type) != 0) {
        ASSERT_LT(std::abs(number), exact_limit(type));
      }
      seen.insert(number);
    }
    const bool few = exact_limit(type) == 2;  // -1, 0 and 1
    EXPECT_GT(seen.size(), few ? 2u : 50u) << name_of(type);
  }
  EXPECT_NE(element_number(ElementType::kInt64, 1, 0, 5), element_number(ElementType::kInt64, 1, 1, 5));
  EXPECT_NE(element_number(ElementType::kInt64, 1, 0, 5), element_number(ElementType::kInt64, 2, 0, 5));
}

// Carries out each operation naively on the inputs of all ranks and compares that with output_bits().
TEST(Collective, RightAnswersMatchANaiveExecution) {
  for (const Operation operation : kAllOperations) {
    for (const ElementType type : kAllTypes) {
      for (const int ranks : {2, 3, 4}) {
        const Collective c{operation, type, ranks, 37};
        std::vector<std::vector<unsigned char>> inputs;
        for (int rank = 0; rank < ranks; ++rank) {
          inputs.emplace_back(input_count(c, rank) * size_of(type));
          fill_input(c, 99, rank, inputs.back().data());
        }
        for (int rank = 0; rank < ranks; ++rank) {
          std::vector<unsigned char> output;
          if (operation == Operation::kAllReduce) {
            output.resize(c.count * size_of(type));
            for (std::size_t i = 0; i < c.count; ++i) {
              double sum = 0;
              std::uint64_t wrapped = 0;
              for (const auto& input : inputs) {
                wrapped += load_element(type, input.data(), i);
                if (exact_limit(type) != 0) sum += decode(type, load_element(type, input.data(), i));
              }
              const std::uint64_t bits = exact_limit(type) != 0
                                             ? element_bits(type, static_cast<std::int64_t>(sum))
                                             : element_bits(type, static_cast<std::int64_t>(wrapped));
              store_element(type, output.data(), i, bits);
            }
          } else {
            for (int from = 0; from < ranks; ++from) {
              const bool whole = operation == Operation::kAllGather;
              const std::size_t begin = whole ? 0 : send_offset(c, from, rank) * size_of(type);
              const std::size_t count = whole ? c.count : block_count(c, from, rank);
              const auto* block = inputs[static_cast<std::size_t>(from)].data() + begin;
              output.insert(output.end(), block, block + count * size_of(type));
            }
          }
          ASSERT_EQ(output.size(), output_count(c, rank) * size_of(type));
          ASSERT_EQ(compare_output(c, 99, rank, output.data()).wrong_bytes, 0u)
              << name_of(operation) << " " << name_of(type) << " rank " << rank << " of " << ranks;
        }
      }
    }
  }
}

TEST(Collective, EveryWrongByteIsCounted) {
  const Collective c{Operation::kAllGather, ElementType::kFloat32, 2, 50};
  std::vector<unsigned char> output;
  for (int from = 0; from < 2; ++from) {
    std::vector<unsigned char> input(input_count(c, from) * 4);
    fill_input(c, 5, from, input.data());
    output.insert(output.end(), input.begin(), input.end());
  }
  for (std::size_t i = 0; i < output.size(); ++i) {
    output[i] ^= 0x10;
    const Comparison found = compare_output(c, 5, 0, output.data());
    ASSERT_EQ(found.wrong_bytes, 1u);
    ASSERT_EQ(found.first_wrong_element, i / 4);
    output[i] ^= 0x10;
  }
  // The same data in another round, or with two ranks' blocks swapped, is wrong.
  EXPECT_GT(compare_output(c, 6, 0, output.data()).wrong_bytes, 200u);
  std::rotate(output.begin(), output.begin() + 200, output.end());
  EXPECT_GT(compare_output(c, 5, 0, output.data()).wrong_bytes, 200u);
}

TEST(Collective, UnequalBlocksIncludeEmptyOnesAndFitTogether) {
  for (const int ranks : {2, 3, 4, 8}) {
    const Collective c{Operation::kAllToAllV, ElementType::kUint8, ranks, 10};
    std::size_t sent = 0, received = 0;
    int empty = 0;
    for (int rank = 0; rank < ranks; ++rank) {
      sent += input_count(c, rank);
      received += output_count(c, rank);
      for (int to = 0; to < ranks; ++to) empty += block_count(c, rank, to) == 0;
    }
    EXPECT_EQ(sent, received);
    EXPECT_GT(empty, 0);
  }
}

TEST(Collective, WireBytesAreTheFewestPossible) {
  EXPECT_EQ(minimum_wire_bytes({Operation::kAllReduce, ElementType::kFloat32, 4, 100}), 2400u);
  EXPECT_EQ(minimum_wire_bytes({Operation::kAllGather, ElementType::kFloat32, 4, 100}), 4800u);
  EXPECT_EQ(minimum_wire_bytes({Operation::kAllToAll, ElementType::kUint8, 4, 100}), 1200u);
}

TEST(Collective, GuardsAreCounted) {
  std::vector<unsigned char> guard(256, 0xA5);
  EXPECT_EQ(count_other_bytes(guard.data(), guard.size(), 0xA5), 0u);
  guard[255] = guard[0] = 1;
  EXPECT_EQ(count_other_bytes(guard.data(), guard.size(), 0xA5), 2u);
}

TEST(Plan, CoversSizesTypesAndLayouts) {
  PlanOptions options;
  options.ranks = 4;
  options.operations = kAllOperations;
  options.types = kAllTypes;
  const std::vector<Case> plan = make_plan(options);
  std::size_t smallest = SIZE_MAX, largest = 0;
  std::set<std::pair<Operation, ElementType>> pairs;
  std::set<Layout> layouts;
  for (const Case& c : plan) {
    smallest = std::min(smallest, c.bytes());
    largest = std::max(largest, c.bytes());
    pairs.insert({c.collective.operation, c.collective.type});
    layouts.insert(c.layout);
    if (c.layout == Layout::kInPlace) {
      // A rank's in-place input lies within its output.
      for (int rank = 0; rank < 4; ++rank) {
        ASSERT_LE(in_place_offset(c.collective, rank) + input_count(c.collective, rank),
                  output_count(c.collective, rank));
      }
    }
  }
  EXPECT_EQ(smallest, 8u);
  EXPECT_GE(largest, std::size_t{64} << 20);
  EXPECT_EQ(pairs.size(), kAllOperations.size() * kAllTypes.size());
  EXPECT_EQ(layouts.size(), 3u);
}

TEST(Names, GoBothWays) {
  for (const ElementType type : kAllTypes) {
    ElementType parsed{};
    EXPECT_TRUE(parse(name_of(type), parsed));
    EXPECT_EQ(parsed, type);
  }
  Operation operation{};
  EXPECT_TRUE(parse("all_to_allv", operation));
  EXPECT_EQ(operation, Operation::kAllToAllV);
  EXPECT_FALSE(parse("all_to_nowhere", operation));
}

}  // namespace
}  // namespace weft::gputest
