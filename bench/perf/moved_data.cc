#include "bench/perf/pattern.h"
#include "bench/perf/workload.h"

namespace weft::bench {

void fill_moved(void* data, const Operation& operation, std::uint64_t repetition, int rank) {
  const std::size_t elements = operation.shape.buffer_elements;
  if (operation.data != nullptr)
    return operation.data->fill(data, elements, size_of(operation.type), repetition, rank, 0);
  fill_bits(data, elements, operation.type, repetition, rank, 0);
}

std::size_t count_wrong_moved(const void* data, std::size_t elements, const Operation& operation,
                              std::uint64_t repetition, int rank, std::uint64_t first_element) {
  if (operation.data != nullptr) {
    return operation.data->count_wrong(data, elements, size_of(operation.type), repetition, rank,
                                       first_element);
  }
  return count_wrong_bits(data, elements, operation.type, repetition, rank, first_element);
}

}  // namespace weft::bench
