#include "bench/perf/data_file.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

namespace weft::bench {
namespace {

// Places in the file keep the alignment of elements of up to this size.
constexpr std::size_t kAlignment = 8;

}  // namespace

Result<DataFile> DataFile::read(const std::string& name) {
  std::ifstream stream(name, std::ios::binary);
  DataFile file;
  file.bytes_.assign(std::istreambuf_iterator<char>(stream), {});
  if (!stream || file.bytes_.size() < kAlignment) {
    return Status(StatusCode::kBadConfiguration, "--data " + name + ": it cannot be read, or has less than " +
                                                     std::to_string(kAlignment) + " bytes");
  }
  file.bytes_.resize(file.bytes_.size() / kAlignment * kAlignment);
  return file;
}

template <typename Use>
void DataFile::for_stretches(std::size_t bytes, std::uint64_t repetition, int rank, std::uint64_t first_byte,
                             const Use& use) const {
  const std::uint64_t size = bytes_.size();
  const std::uint64_t shift = (repetition * 1000003 + static_cast<std::uint64_t>(rank) * 7919) * kAlignment;
  std::size_t from = static_cast<std::size_t>((shift % size + first_byte % size) % size);
  for (std::size_t at = 0; at < bytes;) {
    const std::size_t stretch = std::min(bytes - at, bytes_.size() - from);
    use(from, at, stretch);
    at += stretch;
    from = 0;
  }
}

void DataFile::fill(void* data, std::size_t elements, std::size_t element_bytes, std::uint64_t repetition,
                    int rank, std::uint64_t first_element) const {
  for_stretches(elements * element_bytes, repetition, rank, first_element * element_bytes,
                [&](std::size_t from, std::size_t at, std::size_t bytes) {
                  std::memcpy(static_cast<char*>(data) + at, bytes_.data() + from, bytes);
                });
}

std::size_t DataFile::count_wrong(const void* data, std::size_t elements, std::size_t element_bytes,
                                  std::uint64_t repetition, int rank, std::uint64_t first_element) const {
  std::size_t wrong = 0;
  for_stretches(elements * element_bytes, repetition, rank, first_element * element_bytes,
                [&](std::size_t from, std::size_t at, std::size_t bytes) {
                  const char* got = static_cast<const char*>(data) + at;
                  if (std::memcmp(got, bytes_.data() + from, bytes) == 0) return;
                  for (std::size_t i = 0; i < bytes; i += element_bytes)
                    wrong += std::memcmp(got + i, bytes_.data() + from + i, element_bytes) != 0 ? 1 : 0;
                });
  return wrong;
}

}  // namespace weft::bench
