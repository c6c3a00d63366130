#include "compression/slot/codec.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "compression/slot/slot_reader.h"
#include "compression/slot/slot_writer.h"
#include "compression/tile_shape.h"
#include "compression/visit_type.h"

namespace weft::compression {
namespace {

// Raw slots have no pieces: as much at a time as the nearest cache holds, next to what it is reduced with.
constexpr std::size_t kRawPortionBytes = kMaxTileBytes;
constexpr std::size_t kLargestPieceBytes = std::max(kArchiveElements * 4, kZstdBlockBytes);

std::size_t bytes_of(DataType type) {
  return visit_type(type, [](auto sample) { return sizeof(sample); });
}

Status misfit(const char* what, std::size_t has, std::size_t needs) {
  return {StatusCode::kInvalidArgument, std::string(what) + " has " + std::to_string(has) + " bytes where " +
                                            std::to_string(needs) + " are needed."};
}

// Every size is a power of two, or 0 where any will do: the larger is a multiple of the other.
std::size_t portion_bytes(std::size_t reader_piece, std::size_t writer_piece) {
  const std::size_t larger = std::max(reader_piece, writer_piece);
  return larger == 0 ? kRawPortionBytes : larger;
}

// Where a portion lies between being decoded and being used: near, if it is small.
class Portion {
 public:
  explicit Portion(std::size_t bytes) : at_(bytes <= sizeof(near_) ? near_ : far()) {}
  std::uint8_t* data() { return at_; }

 private:
  static std::uint8_t* far() {
    thread_local const auto memory = std::make_unique<std::uint8_t[]>(kLargestPieceBytes);
    return memory.get();
  }
  alignas(64) std::uint8_t near_[kMaxTileBytes];
  std::uint8_t* at_;
};

// Calls use(result, offset, bytes) for each portion of local (op) slot, in order.
template <typename Use>
Status reduce_portions(SlotReader& reader, const Reduction& reduction, std::span<const std::byte> local,
                       std::size_t portion, const cpu::TileKernels& kernels, const Use& use) {
  const std::size_t payload = local.size(), element = bytes_of(reduction.type);
  if (reader.header().payload_bytes != payload)
    return {StatusCode::kProtocolError, "A coded slot holds " +
                                            std::to_string(reader.header().payload_bytes) + " bytes where " +
                                            std::to_string(payload) + " are to be reduced."};
  if (payload % element != 0 || reduction.divisor < 1)
    return {StatusCode::kInvalidArgument, "A reduction needs whole elements and a divisor of at least 1."};
  if (reduction.divisor != 1 && reduction.op != ReduceOp::kAvg)
    return {StatusCode::kInvalidArgument, "Only an average has a divisor; this reduction is none."};
  const std::optional<DataType> coded = data_type_of(reader.header().type);
  if (coded && *coded != reduction.type)
    return {StatusCode::kProtocolError,
            "A coded slot holds elements of type " + std::string(to_string(reader.header().type)) +
                " where " + std::string(to_string(element_type_of(reduction.type))) +
                " are to be reduced: do all ranks call the collective with the same type?"};
  const cpu::ReduceLoop loop = cpu::reduce_loop(kernels, reduction.type, reduction.op);
  const cpu::DivideLoop divide = cpu::divide_loop(kernels, reduction.type);
  Portion decoded(portion);
  for (std::size_t at = 0; at < payload; at += portion) {
    const std::size_t bytes = std::min(portion, payload - at);
    Status status = reader.read(decoded.data(), bytes);
    if (!status) return status;
    std::uint8_t* result = use.place(decoded.data(), at);
    loop(result, local.data() + at, decoded.data(), bytes / element);
    if (reduction.divisor != 1) divide(result, bytes / element, reduction.divisor);
    use.done(result, bytes);
  }
  return reader.finish();
}

struct ToDestination {
  std::byte* destination;
  std::uint8_t* place(std::uint8_t*, std::size_t at) const {
    return reinterpret_cast<std::uint8_t*>(destination) + at;
  }
  void done(const std::uint8_t*, std::size_t) const {}
};

struct ToSlot {
  SlotWriter& writer;
  std::uint8_t* place(std::uint8_t* decoded, std::size_t) const { return decoded; }
  void done(const std::uint8_t* result, std::size_t bytes) const { writer.append(result, bytes); }
};

}  // namespace

Result<std::size_t> pack(std::span<const std::byte> source, ElementType type, Level level,
                         std::span<std::byte> slot, const cpu::TileKernels& kernels) {
  if (source.size() > kMaxPayloadBytes)
    return Status(StatusCode::kInvalidArgument, "A slot holds at most 1 TiB; send larger messages in parts.");
  const std::size_t needed = max_slot_bytes(type, level, source.size());
  if (slot.size() < needed) return misfit("A slot", slot.size(), needed);
  SlotWriter writer(type, level, source.size(), slot.data(), kernels);
  if (!source.empty()) writer.append(reinterpret_cast<const std::uint8_t*>(source.data()), source.size());
  return writer.finish();
}

Status unpack(std::span<const std::byte> slot, std::span<std::byte> destination,
              const cpu::TileKernels& kernels) {
  auto reader = SlotReader::open(slot, kernels);
  if (!reader) return reader.status();
  if (reader->header().payload_bytes != destination.size())
    return {StatusCode::kProtocolError, "A coded slot holds " +
                                            std::to_string(reader->header().payload_bytes) + " bytes where " +
                                            std::to_string(destination.size()) + " are expected."};
  Status status = reader->read(reinterpret_cast<std::uint8_t*>(destination.data()), destination.size());
  return status ? reader->finish() : status;
}

Status unpack_reduce(std::span<const std::byte> slot, const Reduction& reduction,
                     std::span<const std::byte> local, std::span<std::byte> destination,
                     const cpu::TileKernels& kernels) {
  if (destination.size() != local.size())
    return misfit("A reduction's destination", destination.size(), local.size());
  auto reader = SlotReader::open(slot, kernels);
  if (!reader) return reader.status();
  return reduce_portions(*reader, reduction, local, portion_bytes(reader->piece_bytes(), 0), kernels,
                         ToDestination{destination.data()});
}

Result<std::size_t> unpack_reduce_pack(std::span<const std::byte> slot, const Reduction& reduction,
                                       std::span<const std::byte> local, Level level,
                                       std::span<std::byte> next_slot, const cpu::TileKernels& kernels) {
  auto reader = SlotReader::open(slot, kernels);
  if (!reader) return reader.status();
  const ElementType type = element_type_of(reduction.type);
  const std::size_t needed = max_slot_bytes(type, level, local.size());
  if (next_slot.size() < needed) return misfit("The next slot", next_slot.size(), needed);
  SlotWriter writer(type, level, local.size(), next_slot.data(), kernels);
  Status status =
      reduce_portions(*reader, reduction, local, portion_bytes(reader->piece_bytes(), writer.piece_bytes()),
                      kernels, ToSlot{writer});
  if (!status) return status;
  return writer.finish();
}

}  // namespace weft::compression
