// One tile in one warp as kernels of their own, whose instructions count_instructions.py counts. Never run.
//
// What is counted is the way that a coded tile of aligned elements takes. CountedWarp traps where a tile
// takes another: the compiler then leaves the other ways out, and what is left is straight, but for the loop
// over the escapes of one lane.
#include "compression/cuda/device_lanes.cuh"
#include "compression/cuda/tile_decode.h"
#include "compression/cuda/tile_reduce.h"

namespace weft::compression::cuda {
namespace {

WEFT_DEVICE void never() {
  __trap();
  __builtin_unreachable();
}

template <unsigned kFewest, unsigned kMost>
class CountedWarp : public DeviceWarp {
 public:
  using DeviceWarp::DeviceWarp;

  // Asked for what is nearly always so: whether elements differ.
  WEFT_DEVICE bool any(const Each<bool>& votes) const {
    if (!DeviceWarp::any(votes)) never();
    return true;
  }
  // Asked for the number of escapes; at dense for other numbers too.
  WEFT_DEVICE std::uint32_t sum(const Each<std::uint32_t>& values) const {
    const std::uint32_t all = DeviceWarp::sum(values);
    if (all - kFewest > kMost - kFewest) never();
    return all;
  }
};

template <typename C, unsigned kFewest, unsigned kMost>
WEFT_DEVICE void encode(const std::uint8_t* from, std::uint8_t* to) {
  using Warp = CountedWarp<kFewest, kMost>;
  __shared__ TileScratch scratch;
  Warp warp(scratch);
  TileElements<C, Warp> elements;
  load_elements<C>(warp, from, true, elements);
  TilePlan<C, Warp> plan;
  plan_tile<C>(warp, elements, magnitudes_of<C>(warp, elements), plan);
  if (plan.kind != PieceKind::kCoded) never();
  write_tile<C>(warp, plan, to);
}

template <typename C, unsigned kFewest, unsigned kMost>
WEFT_DEVICE void decode(const std::uint8_t* from, unsigned bytes, std::uint8_t* to) {
  using Warp = CountedWarp<kFewest, kMost>;
  __shared__ TileScratch scratch;
  Warp warp(scratch);
  TileElements<C, Warp> elements;
  if (read_tile<C>(warp, from, bytes, elements) != Fault::kNone) never();
  store_elements<C>(warp, elements, to, true);
}

template <typename C, unsigned kFewest, unsigned kMost>
WEFT_DEVICE void fused(const std::uint8_t* from, unsigned bytes, const std::uint8_t* local,
                       std::uint8_t* to) {
  using Warp = CountedWarp<kFewest, kMost>;
  __shared__ TileScratch scratch;
  Warp warp(scratch);
  TileElements<C, Warp> elements, here;
  typename Warp::template Each<std::uint32_t> most;
  if (read_tile<C>(warp, from, bytes, elements) != Fault::kNone) never();
  load_elements<C>(warp, local, true, here);
  reduce_numbers<C, ReduceOp::kSum>(warp, here, elements, most);
  TilePlan<C, Warp> plan;
  plan_tile<C>(warp, elements, most, plan);
  if (plan.kind != PieceKind::kCoded) never();
  write_tile<C>(warp, plan, to);
}

}  // namespace

#define WEFT_COUNTED(name, type, level, fewest, most)                                                    \
  extern "C" __global__ void encode_##name(const std::uint8_t* from, std::uint8_t* to) {                 \
    encode<Coding<ElementType::type, Level::level>, fewest, most>(from, to);                             \
  }                                                                                                      \
  extern "C" __global__ void decode_##name(const std::uint8_t* from, unsigned bytes, std::uint8_t* to) { \
    decode<Coding<ElementType::type, Level::level>, fewest, most>(from, bytes, to);                      \
  }
#define WEFT_COUNTED_FUSED(name, type, level, fewest, most)                               \
  extern "C" __global__ void fused_##name(const std::uint8_t* from, unsigned bytes,       \
                                          const std::uint8_t* local, std::uint8_t* to) {  \
    fused<Coding<ElementType::type, Level::level>, fewest, most>(from, bytes, local, to); \
  }

WEFT_COUNTED(bf16_fast_0, kBfloat16, kFast, 0, 0)
WEFT_COUNTED(bf16_fast_1, kBfloat16, kFast, 1, 1)
WEFT_COUNTED(bf16_fast_2_to_15, kBfloat16, kFast, 2, 15)
WEFT_COUNTED(bf16_fast_more, kBfloat16, kFast, 16, 128)
WEFT_COUNTED(fp32_fast_0, kFloat32, kFast, 0, 0)
WEFT_COUNTED(fp32_fast_1, kFloat32, kFast, 1, 1)
WEFT_COUNTED(fp16_fast_2_to_15, kFloat16, kFast, 2, 15)
WEFT_COUNTED(fp16_fast_more, kFloat16, kFast, 16, 128)
WEFT_COUNTED(bf16_dense_more, kBfloat16, kDense, 16, 128)
WEFT_COUNTED_FUSED(bf16_fast_0, kBfloat16, kFast, 0, 0)
WEFT_COUNTED_FUSED(bf16_fast_1, kBfloat16, kFast, 1, 1)
WEFT_COUNTED_FUSED(bf16_fast_2_to_15, kBfloat16, kFast, 2, 15)

}  // namespace weft::compression::cuda
