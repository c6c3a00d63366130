// The GPU's four primitives, run by the host, against the CPU's: the same slots, the same results.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "compression/cuda/coding_choice.h"
#include "compression/cuda/host_lanes.h"
#include "compression/cuda/lane_kernels.h"
#include "compression/cuda/slot.h"
#include "compression/slot/codec.h"
#include "tests/compression/element_samples.h"
#include "tests/compression/packed_slot.h"
#include "tests/compression/portable_tiles.h"

namespace weft::compression {
namespace {

using cuda::Fault;
using cuda::HostBlock;
using cuda::SlotOutcome;
using Payload = std::vector<std::byte>;

// Memory of exactly so many bytes that begins `offset` behind a multiple of 16: a sanitizer sees what leaves
// it.
class Memory {
 public:
  explicit Memory(std::size_t bytes, std::size_t offset = 0, std::byte fill = std::byte{0xee})
      : all_(static_cast<std::uint8_t*>(::operator new (bytes + offset, std::align_val_t{16}))),
        at_(all_.get() + offset),
        bytes_(bytes) {
    std::memset(at_, std::to_integer<int>(fill), bytes);
  }
  explicit Memory(const Payload& payload, std::size_t offset = 0) : Memory(payload.size(), offset) {
    if (!payload.empty()) std::memcpy(at_, payload.data(), payload.size());
  }
  std::uint8_t* data() { return at_; }
  Payload bytes(std::size_t count) const {
    const auto* from = reinterpret_cast<const std::byte*>(at_);
    return {from, from + count};
  }
  Payload bytes() const { return bytes(bytes_); }

 private:
  struct Free {
    void operator()(std::uint8_t* at) const { ::operator delete (at, std::align_val_t{16}); }
  };
  std::unique_ptr<std::uint8_t, Free> all_;
  std::uint8_t* at_;
  std::size_t bytes_;
};

// Groups of 1 to 32 warps, lanes and warps forwards and backwards.
struct Shape {
  unsigned warps;
  bool backwards;
};
constexpr Shape kShapes[] = {{1, false}, {1, true}, {3, true}, {8, false}, {32, false}};

TEST(LaneSlots, ArePackedAndUnpackedAsTheCpuDoes) {
  for (const Sample& sample : samples()) {
    for (const Level level : kTileLevels) {
      if (level_for(sample.type, level) != level) continue;
      const Payload wanted = packed(sample.bytes, sample.type, level, portable());
      for (const Shape& shape : kShapes) {
        // Payloads that begin anywhere, slots at any multiple of 4.
        for (const std::size_t offset : {0, 4, 7}) {
          SCOPED_TRACE(sample.name + " " + std::string(to_string(level)) + " " + std::to_string(shape.warps) +
                       " +" + std::to_string(offset));
          cuda::visit_coding(sample.type, level, [&](auto coding) {
            using C = decltype(coding);
            HostBlock block(shape.warps, shape.backwards);
            Memory source(sample.bytes, offset),
                slot(max_slot_bytes(sample.type, level, sample.bytes.size()), offset / 4 * 4);
            const SlotOutcome made = cuda::pack<C>(block, source.data(), sample.bytes.size(), slot.data());
            ASSERT_EQ(made.fault, Fault::kNone);
            ASSERT_EQ(slot.bytes(made.slot_bytes), wanted);
            Memory exact(wanted, 12), again(sample.bytes.size(), offset);
            const SlotOutcome read =
                cuda::unpack<C>(block, exact.data(), wanted.size(), again.data(), sample.bytes.size());
            ASSERT_EQ(read.fault, Fault::kNone);
            ASSERT_EQ(read.slot_bytes, wanted.size());
            ASSERT_EQ(again.bytes(), sample.bytes);
            ASSERT_EQ(block.faults(), 0u) << "an access that a GPU would not forgive";
          });
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(LaneSlots, OfLevelRawAreUnpacked) {
  const Payload payload = gaussian(ElementType::kBfloat16, 3333, 1, 5);
  const Payload slot = packed(payload, ElementType::kBfloat16, Level::kRaw);
  using C = cuda::Coding<ElementType::kBfloat16, Level::kFast>;
  HostBlock block(4);
  Memory exact(slot), again(payload.size());
  const auto outcome = cuda::unpack<C>(block, exact.data(), slot.size(), again.data(), payload.size());
  ASSERT_EQ(outcome.fault, Fault::kNone);
  EXPECT_EQ(again.bytes(), payload);
}

struct ReduceCase {
  DataType data_type;
  std::size_t elements;
};
constexpr ReduceCase kReduceCases[] = {{DataType::kBfloat16, 11 * 1024 + 77},
                                       {DataType::kFloat16, 9 * 1024 + 1},
                                       {DataType::kFloat32, 5 * 1024},
                                       {DataType::kFloat8E4M3, 9 * 1024 + 78},
                                       {DataType::kFloat8E5M2, 5 * 1024}};

template <typename C, ReduceOp kOp>
void expect_reduced(const Shape& shape, const Payload& slot, const Payload& local,
                    const Reduction& reduction) {
  Payload result(local.size());
  ASSERT_TRUE(unpack_reduce(slot, reduction, local, result, portable()));
  Payload next(max_slot_bytes(C::kType, C::kLevel, local.size()));
  const auto used = unpack_reduce_pack(slot, reduction, local, C::kLevel, next, portable());
  ASSERT_TRUE(used);

  HostBlock block(shape.warps, shape.backwards);
  Memory received(slot), here(local, 2), made(local.size(), 6), next_made(next.size(), 4);
  auto outcome = cuda::unpack_reduce<C, kOp>(block, received.data(), slot.size(), here.data(), made.data(),
                                             local.size(), reduction.divisor);
  ASSERT_EQ(outcome.fault, Fault::kNone);
  ASSERT_EQ(made.bytes(), result);
  outcome = cuda::unpack_reduce_pack<C, kOp>(block, received.data(), slot.size(), here.data(),
                                             next_made.data(), local.size(), reduction.divisor);
  ASSERT_EQ(outcome.fault, Fault::kNone);
  ASSERT_EQ(outcome.slot_bytes, *used);
  next.resize(*used);
  ASSERT_EQ(next_made.bytes(*used), next);
  outcome = cuda::unpack_reduce<C, kOp>(block, received.data(), slot.size(), here.data(), here.data(),
                                        local.size(), reduction.divisor);
  ASSERT_EQ(here.bytes(), result) << "in place";
  ASSERT_EQ(block.faults(), 0u) << "an access that a GPU would not forgive";
}

template <typename C>
void expect_reduced(const Payload& slot, const Payload& local) {
  const DataType type = *data_type_of(C::kType);
  for (const Shape& shape : {Shape{1, false}, Shape{4, true}}) {
    expect_reduced<C, ReduceOp::kSum>(shape, slot, local, {type, ReduceOp::kSum, 1});
    expect_reduced<C, ReduceOp::kProd>(shape, slot, local, {type, ReduceOp::kProd, 1});
    expect_reduced<C, ReduceOp::kMax>(shape, slot, local, {type, ReduceOp::kMax, 1});
    expect_reduced<C, ReduceOp::kMin>(shape, slot, local, {type, ReduceOp::kMin, 1});
    expect_reduced<C, ReduceOp::kAvg>(shape, slot, local, {type, ReduceOp::kAvg, 3});
  }
}

TEST(LaneSlots, AreReducedAsTheCpuDoes) {
  for (const ReduceCase& c : kReduceCases) {
    const ElementType type = element_type_of(c.data_type);
    const Payload local = gaussian(type, c.elements, 0.7f, 1), received = gaussian(type, c.elements, 0.6f, 2);
    for (const Level level : kTileLevels) {
      SCOPED_TRACE(std::string(to_string(type)) + " " + std::string(to_string(level)));
      cuda::visit_coding(type, level, [&](auto coding) {
        for (const Level from : {level, Level::kRaw})
          expect_reduced<decltype(coding)>(packed(received, type, from), local);
      });
      if (HasFatalFailure()) return;
    }
  }
}

// Loads made ahead, or late: the same bytes, over several rounds and more pieces than a table reader knows at
// once.
template <cuda::Loads kLoads>
void expect_loads_do_not_matter() {
  using C = cuda::Coding<ElementType::kBfloat16, Level::kFast>;
  const std::size_t elements = 100 * kTileElements + 77;
  const Payload local = gaussian(C::kType, elements, 0.7f, 1), other = gaussian(C::kType, elements, 0.6f, 2);
  const Reduction reduction{DataType::kBfloat16, ReduceOp::kSum, 1};
  for (const Level from : {Level::kFast, Level::kRaw}) {
    const Payload slot = packed(other, C::kType, from, portable());
    Payload result(local.size()), next(max_slot_bytes(C::kType, C::kLevel, local.size()));
    ASSERT_TRUE(unpack_reduce(slot, reduction, local, result, portable()));
    const auto used = unpack_reduce_pack(slot, reduction, local, C::kLevel, next, portable());
    ASSERT_TRUE(used);
    next.resize(*used);
    for (const Shape& shape : kShapes) {
      SCOPED_TRACE(std::string(to_string(from)) + " " + std::to_string(shape.warps));
      HostBlock block(shape.warps, shape.backwards);
      Memory source(other), received(slot), here(local), made(local.size()), slots(next.size() * 2);
      auto outcome = cuda::unpack<C, kLoads>(block, received.data(), slot.size(), made.data(), local.size());
      ASSERT_EQ(outcome.fault, Fault::kNone);
      ASSERT_EQ(made.bytes(), other);
      outcome = cuda::unpack_reduce<C, ReduceOp::kSum, kLoads>(block, received.data(), slot.size(),
                                                               here.data(), made.data(), local.size());
      ASSERT_EQ(outcome.fault, Fault::kNone);
      ASSERT_EQ(made.bytes(), result);
      outcome = cuda::unpack_reduce_pack<C, ReduceOp::kSum, kLoads>(block, received.data(), slot.size(),
                                                                    here.data(), slots.data(), local.size());
      ASSERT_EQ(outcome.fault, Fault::kNone);
      ASSERT_EQ(slots.bytes(outcome.slot_bytes), next);
      if (from == Level::kFast) {
        outcome = cuda::pack<C, kLoads>(block, source.data(), other.size(), slots.data());
        ASSERT_EQ(slots.bytes(outcome.slot_bytes), slot);
      }
      ASSERT_EQ(block.faults(), 0u) << "an access that a GPU would not forgive";
    }
  }
}
TEST(LaneSlots, AreTheSameWhenLoadsAreMadeAtOtherTimes) {
  expect_loads_do_not_matter<cuda::Loads{}>();
  expect_loads_do_not_matter<cuda::Loads{.ahead = true}>();
  expect_loads_do_not_matter<cuda::Loads{.local_late = true}>();
  expect_loads_do_not_matter<cuda::Loads{.ahead = true, .local_late = true}>();
}

// NaN of every kind, infinities, zeros and denormals, all against each other.
TEST(LaneSlots, SpecialNumbersAreReducedAsTheCpuDoes) {
  for (const DataType data_type : {DataType::kBfloat16, DataType::kFloat16, DataType::kFloat32}) {
    const ElementType type = element_type_of(data_type);
    const std::size_t size = element_bytes(type), shift = type == ElementType::kFloat32 ? 16 : 0;
    const std::uint32_t exponent = type == ElementType::kFloat16 ? 0x7c00u : 0x7f80u;
    SplitMix random(7);
    Payload local, received;
    while (local.size() < 12 * kTileElements * size) {
      auto a = static_cast<std::uint32_t>(random.next() & 0xffff),
           b = static_cast<std::uint32_t>(random.next() & 0xffff);
      if (random.next() % 4 == 0) a |= exponent;
      if (random.next() % 4 == 0) b |= exponent;
      if (random.next() % 8 == 0) a &= 0x8000u;
      if (random.next() % 8 == 0) b = a ^ 0x8000u;
      for (std::size_t i = 0; i < size; ++i) {
        local.push_back(static_cast<std::byte>(a << shift >> (8 * i) & 0xff));
        received.push_back(static_cast<std::byte>(b << shift >> (8 * i) & 0xff));
      }
    }
    cuda::visit_coding(type, Level::kFast, [&](auto coding) {
      expect_reduced<decltype(coding)>(packed(received, type, Level::kFast), local);
    });
    if (HasFatalFailure()) return;
  }
}

// FP8 of any bits: all NaNs are the same.
TEST(LaneSlots, OfAnyFloat8AreReducedAsTheCpuDoes) {
  for (const ElementType type : {ElementType::kFloat8E4M3, ElementType::kFloat8E5M2}) {
    Payload local = random_bytes(6 * kTileElements, 8), received = random_bytes(6 * kTileElements, 9);
    // Tiles of few exponents, which are coded, and with NaN and infinity.
    for (std::size_t i = 2 * kTileElements; i < received.size(); ++i)
      received[i] |= std::byte{static_cast<unsigned char>(i % 512 == 0 ? 0x7c : 0x60)};
    cuda::visit_coding(type, Level::kFast, [&](auto coding) {
      expect_reduced<decltype(coding)>(packed(received, type, Level::kFast), local);
    });
    if (HasFatalFailure()) return;
  }
}

// What a peer or a cable has spoilt: the CPU and the lanes find the same fault in the same piece, or the same
// bytes.
TEST(LaneSlots, ThatAreMalformedAreRefusedAsTheCpuDoes) {
  SplitMix random(3);
  for (const Sample& sample : samples()) {
    if (sample.bytes.size() > 20000) continue;
    for (const Level level : kTileLevels) {
      if (level_for(sample.type, level) != level) continue;
      const Payload good = packed(sample.bytes, sample.type, level);
      for (int round = 0; round < 24; ++round) {
        Payload bad = good;
        if (round % 6 == 5) {
          const std::uint64_t bytes = kSlotHeaderBytes + random.next() % (bad.size() - kSlotHeaderBytes + 1);
          bad.resize(bytes);
          std::memcpy(&bad[16], &bytes, 8);
        }
        for (int changes = 0; changes < 1 + round % 4; ++changes) {
          const std::size_t where =
              kSlotHeaderBytes +
              random.next() % std::max<std::size_t>(
                                  (changes % 2 == 0 ? std::min<std::size_t>(bad.size(), 64) : bad.size()) -
                                      kSlotHeaderBytes,
                                  1);
          if (where < bad.size()) bad[where] = static_cast<std::byte>(random.next() >> 56);
        }
        Payload wanted(sample.bytes.size());
        const Status status = unpack(bad, wanted, portable());
        cuda::visit_coding(sample.type, level, [&](auto coding) {
          using C = decltype(coding);
          HostBlock block(1 + static_cast<unsigned>(random.next() % 8));
          Memory slot(bad, 4), made(sample.bytes.size());
          const auto outcome =
              cuda::unpack<C>(block, slot.data(), bad.size(), made.data(), sample.bytes.size());
          ASSERT_EQ(outcome.fault == Fault::kNone, static_cast<bool>(status)) << status.message();
          if (outcome.fault == Fault::kNone) {
            ASSERT_EQ(made.bytes(), wanted);
          } else if (outcome.fault < Fault::kHeader) {
            ASSERT_NE(status.message().find(cuda::fault_words(outcome.fault)), std::string::npos)
                << status.message() << " / " << cuda::fault_words(outcome.fault);
            ASSERT_NE(status.message().find("Piece " + std::to_string(outcome.piece) + " of "),
                      std::string::npos)
                << status.message();
          }
          ASSERT_EQ(block.faults(), 0u);
        });
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(LaneSlots, WhoseHeaderIsWrongAreRefused) {
  const Payload payload = gaussian(ElementType::kBfloat16, 2048, 1, 1);
  const Payload good = packed(payload, ElementType::kBfloat16, Level::kFast);
  using C = cuda::Coding<ElementType::kBfloat16, Level::kFast>;
  const auto fault_at = [&](std::size_t offset, std::size_t byte, int value) {
    Payload bad = good;
    bad[byte] = static_cast<std::byte>(value);
    HostBlock block(2);
    Memory slot(bad, offset), made(payload.size());
    return cuda::unpack<C>(block, slot.data(), bad.size(), made.data(), payload.size()).fault;
  };
  EXPECT_EQ(fault_at(0, 0, 'W'), Fault::kNone);
  EXPECT_EQ(fault_at(2, 0, 'W'), Fault::kMisaligned);
  EXPECT_EQ(fault_at(0, 0, 'w'), Fault::kHeader);
  EXPECT_EQ(fault_at(0, 2, 2), Fault::kHeader);
  EXPECT_EQ(fault_at(0, 3, 2), Fault::kOtherCoding);
  EXPECT_EQ(fault_at(0, 4, 2), Fault::kOtherCoding);
  EXPECT_EQ(fault_at(0, 5, 1), Fault::kHeader);
  EXPECT_EQ(fault_at(0, 9, 8), Fault::kPayloadSize);
  EXPECT_EQ(fault_at(0, 14, 1), Fault::kPayloadSize);
  EXPECT_EQ(fault_at(0, 19, 1), Fault::kHeader);
  EXPECT_EQ(fault_at(0, 31, 1), Fault::kHeader);
}

TEST(LaneSlots, AreNotDividedByLessThanOne) {
  using C = cuda::Coding<ElementType::kBfloat16, Level::kFast>;
  const Payload payload = gaussian(ElementType::kBfloat16, 2048, 1, 1);
  const Payload good = packed(payload, ElementType::kBfloat16, Level::kFast);
  HostBlock block(2);
  Memory slot(good, 0), local(payload, 0), made(max_slot_bytes(C::kType, C::kLevel, payload.size()));
  const auto reduced = [&](int divisor) {
    return cuda::unpack_reduce<C, ReduceOp::kSum>(block, slot.data(), good.size(), local.data(), made.data(),
                                                  payload.size(), divisor)
        .fault;
  };
  const auto packed_again = [&](int divisor) {
    return cuda::unpack_reduce_pack<C, ReduceOp::kSum>(block, slot.data(), good.size(), local.data(),
                                                       made.data(), payload.size(), divisor)
        .fault;
  };
  for (const int divisor : {0, -1}) {
    EXPECT_EQ(reduced(divisor), Fault::kDivisor);
    EXPECT_EQ(packed_again(divisor), Fault::kDivisor);
  }
  EXPECT_EQ(reduced(1), Fault::kNone);
  EXPECT_EQ(packed_again(1), Fault::kNone);
}

}  // namespace
}  // namespace weft::compression
