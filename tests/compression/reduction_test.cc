// The fused reductions against what they stand for: unpack, reduce with the plain loops, pack.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "compression/slot/codec.h"
#include "compression/visit_type.h"
#include "tests/compression/element_samples.h"
#include "tests/compression/implementations.h"
#include "tests/compression/packed_slot.h"

namespace weft::compression {
namespace {

struct ReductionCase {
  DataType data_type;
  std::size_t elements;
};
// Lengths that end within a tile, within a loop's step, and with one.
constexpr ReductionCase kReductionCases[] = {{DataType::kBfloat16, 3 * 1024 + 77},
                                             {DataType::kFloat16, 2 * 1024 + 1},
                                             {DataType::kFloat32, 2 * 1024},
                                             {DataType::kFloat8E4M3, 3 * 1024 + 77},
                                             {DataType::kFloat8E5M2, 2 * 1024 + 1},
                                             {DataType::kFloat64, 700},
                                             {DataType::kInt8, 5000},
                                             {DataType::kUint8, 5000},
                                             {DataType::kInt32, 3001},
                                             {DataType::kUint32, 3001},
                                             {DataType::kInt64, 1501},
                                             {DataType::kUint64, 1501}};
constexpr ReduceOp kReductionOps[] = {ReduceOp::kSum, ReduceOp::kProd, ReduceOp::kMax, ReduceOp::kMin,
                                      ReduceOp::kAvg};

std::size_t bytes_of(DataType type) {
  return visit_type(type, [](auto sample) { return sizeof(sample); });
}

std::vector<std::byte> operand(const ReductionCase& c, std::uint64_t seed) {
  const ElementType type = element_type_of(c.data_type);
  return type == ElementType::kBytes ? random_bytes(c.elements * bytes_of(c.data_type), seed)
                                     : gaussian(type, c.elements, 0.7f, seed);
}

std::vector<std::byte> reduced(const ReductionCase& c, const std::vector<std::byte>& local,
                               const std::vector<std::byte>& received, ReduceOp op, int divisor) {
  std::vector<std::byte> result(local.size());
  cpu::reduce_loop(*cpu::tile_kernels(cpu::Instructions::kPortable), c.data_type, op)(
      result.data(), local.data(), received.data(), c.elements);
  if (divisor != 1)
    cpu::divide_loop(*cpu::tile_kernels(cpu::Instructions::kPortable), c.data_type)(result.data(), c.elements,
                                                                                    divisor);
  return result;
}

TEST(Reduction, IsThatOfThePlainLoops) {
  for (const ReductionCase& c : kReductionCases) {
    const ElementType type = element_type_of(c.data_type);
    const auto local = operand(c, 1), received = operand(c, 2);
    for (const Level level : {Level::kRaw, Level::kFast, Level::kDense, Level::kArchive}) {
      const auto slot = packed(received, type, level);
      for (const ReduceOp op : kReductionOps) {
        const Reduction reduction{c.data_type, op, op == ReduceOp::kAvg ? 3 : 1};
        const auto wanted = reduced(c, local, received, op, reduction.divisor);
        const auto next_wanted = packed(wanted, type, Level::kDense);
        for (const cpu::TileKernels* kernels : implementations()) {
          SCOPED_TRACE(std::string(to_string(level)) + " " + std::to_string(static_cast<int>(c.data_type)) +
                       " " + std::to_string(static_cast<int>(op)) + " " + std::string(kernels->name));
          std::vector<std::byte> result(local.size());
          Status status = unpack_reduce(slot, reduction, local, result, *kernels);
          ASSERT_TRUE(status) << status.message();
          ASSERT_EQ(result, wanted);
          auto in_place = local;
          ASSERT_TRUE(unpack_reduce(slot, reduction, in_place, in_place, *kernels));
          ASSERT_EQ(in_place, wanted);
          std::vector<std::byte> next(max_slot_bytes(type, Level::kDense, local.size()));
          const auto used = unpack_reduce_pack(slot, reduction, local, Level::kDense, next, *kernels);
          ASSERT_TRUE(used) << used.status().message();
          next.resize(*used);
          ASSERT_EQ(next, next_wanted);
        }
      }
    }
  }
}

// Pieces of 65,536 elements in, of 1,024 out, and the other way round.
TEST(Reduction, GoesFromOneLevelToAnother) {
  const ReductionCase c{DataType::kBfloat16, 70000};
  const auto local = operand(c, 3), received = operand(c, 4);
  const auto wanted = reduced(c, local, received, ReduceOp::kSum, 1);
  for (const Level from : {Level::kRaw, Level::kFast, Level::kArchive}) {
    for (const Level to : {Level::kRaw, Level::kFast, Level::kArchive}) {
      std::vector<std::byte> next(max_slot_bytes(ElementType::kBfloat16, to, local.size()));
      const auto used = unpack_reduce_pack(packed(received, ElementType::kBfloat16, from),
                                           {DataType::kBfloat16, ReduceOp::kSum, 1}, local, to, next);
      ASSERT_TRUE(used) << used.status().message();
      next.resize(*used);
      EXPECT_EQ(next, packed(wanted, ElementType::kBfloat16, to))
          << to_string(from) << " to " << to_string(to);
    }
  }
}

// The rule of element_arithmetic.h, written a second time.
std::uint32_t sum_of_nan(std::uint32_t left, std::uint32_t right) {
  const auto is_nan = [](std::uint32_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u; };
  if (is_nan(left)) return left | 0x00400000u;
  if (is_nan(right)) return right | 0x00400000u;
  return 0xffc00000u;  // opposite infinities
}

TEST(Reduction, TheLeftOfTwoNanStays) {
  const std::vector<std::uint32_t> special{0x7fc00000, 0xffc00000, 0x7fc10000, 0xffc20000, 0x7f810000,
                                           0xff830000, 0x7f800000, 0xff800000, 0x3f800000, 0x80000000};
  std::vector<std::uint32_t> left, right, wanted;
  for (const auto a : special) {
    for (const auto b : special) {
      const bool opposite = (a ^ b) == 0x80000000u && (a & 0x7fffffffu) == 0x7f800000u;
      const auto is_nan = [](std::uint32_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u; };
      if (!is_nan(a) && !is_nan(b) && !opposite) continue;
      left.push_back(a);
      right.push_back(b);
      wanted.push_back(sum_of_nan(a, b));
    }
  }
  std::vector<std::uint16_t> upper_left, upper_right;
  for (const auto a : left) upper_left.push_back(static_cast<std::uint16_t>(a >> 16));
  for (const auto b : right) upper_right.push_back(static_cast<std::uint16_t>(b >> 16));
  for (const cpu::TileKernels* kernels : implementations()) {
    SCOPED_TRACE(kernels->name);
    std::vector<std::uint32_t> found(left.size());
    cpu::reduce_loop(*kernels, DataType::kFloat32, ReduceOp::kSum)(found.data(), left.data(), right.data(),
                                                                   left.size());
    EXPECT_EQ(found, wanted);
    std::vector<std::uint16_t> upper(left.size());
    cpu::reduce_loop(*kernels, DataType::kBfloat16, ReduceOp::kSum)(upper.data(), upper_left.data(),
                                                                    upper_right.data(), left.size());
    for (std::size_t i = 0; i < left.size(); ++i)
      EXPECT_EQ(upper[i], wanted[i] >> 16) << std::hex << left[i] << " " << right[i];
  }
}

// NaN, infinities, zeros of both signs and denormals: every pair, every operation.
TEST(Reduction, SpecialNumbersAreTheSameOnEveryMachine) {
  const std::vector<std::uint16_t> special{0x7fc0, 0xffc1, 0x7f81, 0x7f80, 0xff80, 0x0000, 0x8000, 0x0001,
                                           0x8001, 0x7e00, 0xfe01, 0x7c01, 0x7c00, 0xfc00, 0x03ff, 0x0400,
                                           0x7bff, 0xfbff, 0x3c00, 0xbf80, 0x8400, 0x0080};
  std::vector<std::uint16_t> a, b;
  for (const auto x : special) {
    for (const auto y : special) {
      a.insert(a.end(), {x, x});
      b.insert(b.end(), {y, y});
    }
  }
  for (const DataType type : {DataType::kBfloat16, DataType::kFloat16, DataType::kFloat32,
                              DataType::kFloat8E4M3, DataType::kFloat8E5M2, DataType::kFloat64}) {
    const std::size_t count = a.size() * 2 / bytes_of(type);
    for (const ReduceOp op : kReductionOps) {
      std::vector<std::uint16_t> wanted(a.size()), found(a.size());
      const auto reduce = [&](const cpu::TileKernels& kernels, std::vector<std::uint16_t>& result) {
        cpu::reduce_loop(kernels, type, op)(result.data(), a.data(), b.data(), count);
        if (op == ReduceOp::kAvg) cpu::divide_loop(kernels, type)(result.data(), count, 3);
      };
      reduce(*cpu::tile_kernels(cpu::Instructions::kPortable), wanted);
      for (const cpu::TileKernels* kernels : implementations()) {
        reduce(*kernels, found);
        for (std::size_t i = 0; i < a.size(); ++i)
          ASSERT_EQ(found[i], wanted[i]) << std::hex << a[i] << " " << b[i] << " " << kernels->name << " "
                                         << static_cast<int>(op) << " " << static_cast<int>(type);
      }
    }
  }
}

// Every 16-bit number by some divisors; whole steps of the loops and what is left of one.
TEST(Reduction, QuotientsAreTheSameOnEveryMachine) {
  for (const DataType type : {DataType::kBfloat16, DataType::kFloat16, DataType::kFloat32}) {
    std::vector<std::uint16_t> numbers(65536 + 6);
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::uint16_t>(i * 40503u);
    const std::size_t count = numbers.size() * 2 / bytes_of(type);
    for (const int divisor : {2, 3, 7, 1000}) {
      auto wanted = numbers;
      cpu::divide_loop(*cpu::tile_kernels(cpu::Instructions::kPortable), type)(wanted.data(), count, divisor);
      for (const cpu::TileKernels* kernels : implementations()) {
        auto found = numbers;
        cpu::divide_loop(*kernels, type)(found.data(), count, divisor);
        EXPECT_EQ(found, wanted) << kernels->name << " " << static_cast<int>(type) << " / " << divisor;
      }
    }
  }
}

TEST(Reduction, WhatDoesNotFitIsRefused) {
  const auto received = random_bytes(4096, 5);
  const auto slot = packed(received, ElementType::kFloat32, Level::kFast);
  std::vector<std::byte> local(4092), result(4092);
  EXPECT_EQ(unpack_reduce(slot, {}, local, result).code(), StatusCode::kProtocolError);
  local.resize(4096);
  EXPECT_EQ(unpack_reduce(slot, {}, local, result).code(), StatusCode::kInvalidArgument);
  result.resize(4096);
  EXPECT_EQ(unpack_reduce(slot, {DataType::kFloat32, ReduceOp::kAvg, 0}, local, result).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(unpack_reduce(slot, {DataType::kFloat32, ReduceOp::kMax, 4}, local, result).code(),
            StatusCode::kInvalidArgument);
  // Ranks that do not agree on the type.
  const auto other = unpack_reduce(slot, {DataType::kBfloat16, ReduceOp::kSum, 1}, local, result);
  EXPECT_EQ(other.code(), StatusCode::kProtocolError);
  EXPECT_NE(other.message().find("type fp32 where bf16"), std::string::npos) << other.message();
  EXPECT_EQ(unpack_reduce(slot, {DataType::kInt32, ReduceOp::kSum, 1}, local, result).code(),
            StatusCode::kProtocolError);
}

// What a peer took for bytes goes on as what it is.
TEST(Reduction, TheNextSlotHasTheReductionsType) {
  const auto local = gaussian(ElementType::kBfloat16, 4096, 1, 1),
             received = gaussian(ElementType::kBfloat16, 4096, 1, 2);
  std::vector<std::byte> next(max_slot_bytes(ElementType::kBfloat16, Level::kFast, local.size()));
  const auto used = unpack_reduce_pack(packed(received, ElementType::kBytes, Level::kRaw),
                                       {DataType::kBfloat16, ReduceOp::kSum, 1}, local, Level::kFast, next);
  ASSERT_TRUE(used) << used.status().message();
  EXPECT_EQ(read_header(next).value().type, ElementType::kBfloat16);
  EXPECT_LT(*used, local.size());
}

}  // namespace
}  // namespace weft::compression
