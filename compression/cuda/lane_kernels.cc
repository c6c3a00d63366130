#include "compression/cuda/lane_kernels.h"

#include "compression/cuda/coding_choice.h"
#include "compression/cuda/host_lanes.h"
#include "compression/cuda/tile_decode.h"

namespace weft::compression::cuda {
namespace {

std::size_t encode(ElementType type, Level level, const std::uint8_t* tile, std::uint8_t* coded) {
  std::size_t bytes = 0;
  visit_coding(type, level, [&](auto coding) {
    using C = decltype(coding);
    HostWarp warp;
    TileElements<C, HostWarp> elements;
    load_elements<C>(warp, tile, true, elements);
    TilePlan<C, HostWarp> plan{};
    plan_tile<C>(warp, elements, magnitudes_of<C>(warp, elements), plan, false);
    if (plan.kind == PieceKind::kRaw) return;
    write_tile<C>(warp, plan, coded);
    bytes = plan.bytes;
  });
  return bytes;
}

const char* decode(ElementType type, Level level, const std::uint8_t* coded, std::size_t bytes,
                   std::uint8_t* tile) {
  const char* words = nullptr;
  visit_coding(type, level, [&](auto coding) {
    using C = decltype(coding);
    HostWarp warp;
    TileElements<C, HostWarp> elements;
    const Fault fault = read_tile<C>(warp, coded, static_cast<unsigned>(bytes), elements);
    if (fault == Fault::kNone) {
      store_elements<C>(warp, elements, tile, true);
    } else {
      words = fault_words(fault);
    }
  });
  return words;
}

cpu::ReduceLoop no_reduce(DataType, ReduceOp) {
  return nullptr;
}
cpu::DivideLoop no_divide(DataType) {
  return nullptr;
}

}  // namespace

const cpu::TileKernels kLaneKernels{"lanes", encode, decode, no_reduce, no_divide, {}};

const char* fault_words(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "nothing is wrong";
    case Fault::kOutsideSlot:
      return "it does not end within the slot";
    case Fault::kUnknownKind:
      return "its kind is unknown";
    case Fault::kRawSize:
      return "it is raw and has another size than its payload";
    case Fault::kConstantSize:
      return "it is constant and has another size than one element";
    case Fault::kShorterThanTile:
      return "it is coded and shorter than a tile";
    case Fault::kShorterThanPlanes:
      return "it is shorter than its planes";
    case Fault::kWindowOutside:
      return "its window lies outside of the exponents";
    case Fault::kReservedByte:
      return "a reserved byte is not 0";
    case Fault::kTooManyEscapes:
      return "it has more escapes than a tile may have";
    case Fault::kListLength:
      return "its list of escapes has another length than its size says";
    case Fault::kEscapeCount:
      return "its planes have another number of escapes than its header says";
    case Fault::kHeader:
      return "its header is not that of a coded slot, or it ends within its table";
    case Fault::kOtherCoding:
      return "it has another element type or level than the kernel was made for";
    case Fault::kPayloadSize:
      return "its payload has another size than the buffer, or does not have whole elements";
    case Fault::kLeftOver:
      return "bytes are left over behind its last piece";
    case Fault::kMisaligned:
      return "it does not begin at a multiple of 4 bytes";
    case Fault::kDivisor:
      return "its reduction is to be divided by less than 1";
  }
  return "its fault is unknown";
}

}  // namespace weft::compression::cuda
