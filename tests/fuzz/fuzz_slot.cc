// Coded slots from a hostile peer. All that decodes a slot must come to one verdict, and to the same bytes:
// each set of instructions, the reductions, several threads, and the GPU's decoder run by the host. Input:
// bit 0 of the first byte says whether the header is mended, bit 1 whether threads decode it too, which
// takes as long as all else; then a slot.
//
// Mended means: magic, version, reserved bytes and slot size are put right and the payload's size is kept
// below 300,000, so that the fuzzer gets at what lies behind them.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "compression/cuda/coding_choice.h"
#include "compression/cuda/fault.h"
#include "compression/cuda/host_lanes.h"
#include "compression/cuda/lane_kernels.h"
#include "compression/cuda/slot.h"
#include "compression/slot/codec.h"
#include "compression/slot/threaded_codec.h"
#include "tests/fuzz/require.h"

using namespace weft::compression;
using weft::fuzz::require;

namespace {

constexpr std::uint64_t kMostPayload = 300'000;  // a zstd block and part of one
using Bytes = std::vector<std::byte>;

void mend(Bytes& slot) {
  slot.resize(std::max(slot.size(), kSlotHeaderBytes));
  std::uint64_t payload_bytes;
  std::memcpy(&payload_bytes, &slot[8], 8);
  const auto level = static_cast<Level>(std::to_integer<int>(slot[3]) % kLevels);
  const auto type = static_cast<ElementType>(std::to_integer<int>(slot[4]) % kElementTypes);
  const SlotHeader header{level_for(type, level), type, payload_bytes % kMostPayload, slot.size()};
  write_header(header, slot.data());
}

void tile_kernels_agree(const Bytes& slot, const SlotHeader& header, const weft::Status& status,
                        const Bytes& payload) {
  std::vector<const cpu::TileKernels*> all;
  for (const auto instructions :
       {cpu::Instructions::kPortable, cpu::Instructions::kAvx2, cpu::Instructions::kAvx512})
    if (const cpu::TileKernels* kernels = cpu::tile_kernels(instructions)) all.push_back(kernels);
  if (header.level == Level::kFast || header.level == Level::kDense) all.push_back(&cuda::kLaneKernels);
  Bytes again(payload.size());
  for (const cpu::TileKernels* kernels : all) {
    const weft::Status other = unpack(slot, again, *kernels);
    require(other.message() == status.message(), "all instructions refuse the same");
    require(!status || again == payload, "all instructions decode the same");
  }
}

// The whole decoder of the GPU, which reads header and table too. It has none for bytes and level archive.
void lanes_agree(const Bytes& slot, const SlotHeader& header, const weft::Status& status,
                 const Bytes& payload) {
  const Level level = header.level == Level::kRaw ? Level::kFast : header.level;
  cuda::visit_coding(header.type, level, [&](auto coding) {
    Bytes again(payload.size());
    cuda::HostBlock block(1 + static_cast<unsigned>(slot.size() % 8));
    const auto outcome =
        cuda::unpack<decltype(coding)>(block, reinterpret_cast<const std::uint8_t*>(slot.data()), slot.size(),
                                       reinterpret_cast<std::uint8_t*>(again.data()), again.size());
    require((outcome.fault == cuda::Fault::kNone) == status.is_ok(), "the lanes refuse what the CPU does");
    if (status) {
      require(again == payload, "the lanes decode what the CPU does");
    } else if (header.level != Level::kRaw && outcome.fault < cuda::Fault::kHeader) {  // raw has no pieces
      require(status.message().find(cuda::fault_words(outcome.fault)) != std::string::npos,
              "the lanes find the CPU's fault");
      require(status.message().find("Piece " + std::to_string(outcome.piece) + " of ") != std::string::npos,
              "the lanes find it in the CPU's piece");
    }
    require(block.faults() == 0, "the lanes make no access that a GPU would not forgive");
  });
}

void reductions_agree(const Bytes& slot, const SlotHeader& header, const weft::Status& status,
                      const Bytes& payload) {
  const weft::DataType type = data_type_of(header.type).value_or(weft::DataType::kUint8);
  const std::size_t element = element_bytes(header.type);
  const bool good = status.is_ok() && payload.size() % element == 0;
  Bytes local(payload.size());
  std::rotate_copy(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(payload.size() / 2),
                   payload.end(), local.begin());
  const Level level = level_for(header.type, header.level);
  Bytes wanted(payload.size()), reduced(payload.size()), again(payload.size()),
      next(max_slot_bytes(header.type, level, payload.size()));
  const cpu::TileKernels& kernels = cpu::tile_kernels();
  for (const auto op : {weft::ReduceOp::kSum, weft::ReduceOp::kMax}) {
    const Reduction reduction{type, op, 1};
    require(unpack_reduce(slot, reduction, local, reduced).is_ok() == good,
            "a reduction refuses what unpack does");
    const auto used = unpack_reduce_pack(slot, reduction, local, level, next);
    require(used.is_ok() == good, "a reduction that is coded again refuses what unpack does");
    if (!good) continue;
    cpu::reduce_loop(kernels, type, op)(wanted.data(), local.data(), payload.data(),
                                        payload.size() / element);
    require(reduced == wanted, "a reduction reduces what unpack decodes");
    require(unpack(std::span(next).first(*used), again).is_ok() && again == wanted,
            "a reduction that is coded again comes back");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto* first = reinterpret_cast<const std::byte*>(data) + 1;
  Bytes slot(first, first + size - 1);
  if ((data[0] & 1) != 0) mend(slot);
  slot.shrink_to_fit();
  const auto header = read_header(slot);
  if (!header) {
    require(!header.status().message().empty(), "what is refused is refused in words");
    return 0;
  }
  if (header->payload_bytes >= kMostPayload) return 0;
  const auto bytes = static_cast<std::size_t>(header->payload_bytes);

  Bytes payload(bytes), again(bytes);
  const weft::Status status = unpack(slot, payload);
  require(status.is_ok() || !status.message().empty(), "what is refused is refused in words");
  tile_kernels_agree(slot, *header, status, payload);
  lanes_agree(slot, *header, status, payload);
  reductions_agree(slot, *header, status, payload);
  if ((data[0] & 2) != 0) {
    require(unpack_on_threads(slot, again, 3).is_ok() == status.is_ok(), "threads refuse what one does");
    require(!status || again == payload, "threads decode what one does");
  }
  if (!status) return 0;

  Bytes repacked(max_slot_bytes(header->type, header->level, bytes));
  const auto used = pack(payload, header->type, header->level, repacked);
  require(used.is_ok(), "what was decoded can be coded");
  repacked.resize(*used);
  require(unpack(repacked, again).is_ok() && again == payload, "and comes back");
  return 0;
}
