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
  if (divisor != 1) cpu::divide_loop(c.data_type)(result.data(), c.elements, divisor);
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

// NaN, infinities, zeros of both signs and denormals against numbers: which of two NaNs' payloads stays is
// the machine's choice, so each pair has at most one.
TEST(Reduction, SpecialNumbersAreTheSameOnEveryMachine) {
  const std::vector<std::uint16_t> special{0x7fc0, 0xffc1, 0x7f81, 0x7f80, 0xff80, 0x0000,
                                           0x8000, 0x0001, 0x8001, 0x7e00, 0xfe01, 0x7c01,
                                           0x7c00, 0xfc00, 0x03ff, 0x0400, 0x7bff, 0xfbff};
  const std::vector<std::uint16_t> plain{0x0000, 0x8000, 0x3c00, 0xbf80, 0x0001,
                                         0x8400, 0x7bff, 0x0080, 0x8001};
  std::vector<std::uint16_t> a, b;
  for (const auto x : special) {
    for (const auto y : plain) {
      a.insert(a.end(), {x, y});
      b.insert(b.end(), {y, x});
    }
  }
  for (const DataType type : {DataType::kBfloat16, DataType::kFloat16}) {
    for (const ReduceOp op : kReductionOps) {
      std::vector<std::uint16_t> wanted(a.size()), found(a.size());
      cpu::reduce_loop(*cpu::tile_kernels(cpu::Instructions::kPortable), type, op)(wanted.data(), a.data(),
                                                                                   b.data(), a.size());
      for (const cpu::TileKernels* kernels : implementations()) {
        cpu::reduce_loop(*kernels, type, op)(found.data(), a.data(), b.data(), a.size());
        for (std::size_t i = 0; i < a.size(); ++i)
          ASSERT_EQ(found[i], wanted[i]) << std::hex << a[i] << " " << b[i] << " " << kernels->name << " "
                                         << static_cast<int>(op) << " " << static_cast<int>(type);
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
}

}  // namespace
}  // namespace weft::compression
