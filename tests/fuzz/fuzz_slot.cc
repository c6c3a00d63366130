// Coded slots from a hostile peer. Input: bit 0 of the first byte says whether the header is mended; then a
// slot.
//
// Mended means: magic, version, reserved bytes and slot size are put right and the payload's size is kept
// below 1 MiB, so that the fuzzer gets at what lies behind them.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "compression/slot/codec.h"
#include "tests/fuzz/require.h"

using namespace weft::compression;
using weft::fuzz::require;

namespace {

constexpr std::uint64_t kMostPayload = 1 << 20;

void mend(std::vector<std::byte>& slot) {
  slot.resize(std::max(slot.size(), kSlotHeaderBytes));
  std::uint64_t payload_bytes;
  std::memcpy(&payload_bytes, &slot[8], 8);
  const auto level = static_cast<Level>(std::to_integer<int>(slot[3]) % kLevels);
  const auto type = static_cast<ElementType>(std::to_integer<int>(slot[4]) % kElementTypes);
  const SlotHeader header{level_for(type, level), type, payload_bytes % kMostPayload, slot.size()};
  write_header(header, slot.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto* first = reinterpret_cast<const std::byte*>(data) + 1;
  std::vector<std::byte> slot(first, first + size - 1);
  if ((data[0] & 1) != 0) mend(slot);
  slot.shrink_to_fit();
  const auto header = read_header(slot);
  if (!header) {
    require(!header.status().message().empty(), "what is refused is refused in words");
    return 0;
  }
  if (header->payload_bytes >= kMostPayload) return 0;
  const auto bytes = static_cast<std::size_t>(header->payload_bytes);

  std::vector<std::byte> payload(bytes), again(bytes);
  const weft::Status status = unpack(slot, payload);
  require(status.is_ok() || !status.message().empty(), "what is refused is refused in words");
  for (const auto instructions : {cpu::Instructions::kPortable, cpu::Instructions::kAvx2}) {
    const cpu::TileKernels* kernels = cpu::tile_kernels(instructions);
    if (kernels == nullptr) continue;
    const weft::Status other = unpack(slot, again, *kernels);
    require(other.message() == status.message(), "all instructions refuse the same");
    require(!status || again == payload, "all instructions decode the same");
  }
  if (!status) return 0;

  std::vector<std::byte> repacked(max_slot_bytes(header->type, header->level, bytes));
  const auto used = pack(payload, header->type, header->level, repacked);
  require(used.is_ok(), "what was decoded can be coded");
  repacked.resize(*used);
  require(unpack(repacked, again).is_ok() && again == payload, "and comes back");
  const std::vector<std::byte> local(bytes);
  const Reduction reduction{weft::DataType::kUint8, weft::ReduceOp::kMax, 1};
  require(unpack_reduce(slot, reduction, local, again).is_ok() && again == payload,
          "nothing is smaller than 0");
  return 0;
}
