#include "compression/slot/threaded_codec.h"

#include <algorithm>
#include <cstdint>
#include <future>
#include <vector>

#include "compression/slot/codec.h"
#include "compression/slot/slot_reader.h"
#include "compression/slot/slot_writer.h"

namespace weft::compression {
namespace {

// Pieces [first, next) of a payload.
struct Part {
  std::size_t first, next;
};

// Even shares; one part or none where there is nothing to share.
std::vector<Part> parts_of(const SlotLayout& layout, int threads) {
  const std::size_t parts = std::min(layout.pieces, static_cast<std::size_t>(std::max(1, threads)));
  std::vector<Part> result;
  for (std::size_t i = 0; i < parts; ++i)
    result.push_back({layout.pieces * i / parts, layout.pieces * (i + 1) / parts});
  return result;
}

// Calls work(i) for each part, the first one in this thread, and returns when all are done.
template <typename Work>
void on_threads(std::size_t parts, const Work& work) {
  std::vector<std::future<void>> others;
  for (std::size_t i = 1; i < parts; ++i)
    others.push_back(std::async(std::launch::async, [&work, i] { work(i); }));
  work(0);
  for (std::future<void>& other : others) other.get();
}

std::span<const std::byte> payload_of(Part part, const SlotLayout& layout,
                                      std::span<const std::byte> payload) {
  const std::size_t at = part.first * layout.piece_bytes;
  return payload.subspan(at, std::min(payload.size(), part.next * layout.piece_bytes) - at);
}

}  // namespace

Result<std::size_t> pack_on_threads(std::span<const std::byte> source, ElementType type, Level level,
                                    std::span<std::byte> slot, int threads) {
  if (source.size() > kMaxPayloadBytes || slot.size() < max_slot_bytes(type, level, source.size()))
    return pack(source, type, level, slot);  // which says what is wrong
  const SlotLayout layout = slot_layout({level_for(type, level), type, source.size(), 0});
  const std::vector<Part> parts = parts_of(layout, threads);
  if (parts.size() < 2) return pack(source, type, level, slot);
  std::vector<SlotWriter> writers;
  for (const Part& part : parts)
    writers.emplace_back(type, level, source.size(), slot.data(), cpu::tile_kernels(), part.first);
  on_threads(parts.size(), [&](std::size_t i) {
    const auto payload = payload_of(parts[i], layout, source);
    writers[i].append(reinterpret_cast<const std::uint8_t*>(payload.data()), payload.size());
  });
  for (std::size_t i = 1; i < parts.size(); ++i) writers[0].take_up(writers[i]);
  return writers[0].finish();
}

Status unpack_on_threads(std::span<const std::byte> slot, std::span<std::byte> destination, int threads) {
  auto whole = SlotReader::open(slot, cpu::tile_kernels());
  if (!whole) return whole.status();
  const SlotLayout layout = slot_layout(whole->header());
  const std::vector<Part> parts = parts_of(layout, threads);
  if (parts.size() < 2 || whole->header().payload_bytes != destination.size())
    return unpack(slot, destination);
  std::vector<SlotReader> readers;
  for (const Part& part : parts) {
    if (!readers.empty()) {
      Status status = whole->skip(part.first - parts[readers.size() - 1].first);
      if (!status) return status;
    }
    readers.push_back(*whole);
  }
  std::vector<Status> results(parts.size());
  on_threads(parts.size(), [&](std::size_t i) {
    const auto payload = payload_of(parts[i], layout, destination);
    results[i] = readers[i].read(
        reinterpret_cast<std::uint8_t*>(destination.data()) + (payload.data() - destination.data()),
        payload.size());
  });
  for (const Status& status : results)
    if (!status) return status;
  return readers.back().finish();
}

}  // namespace weft::compression
