#include "bench/perf/workload.h"

namespace weft::bench {
namespace {

class AllToAllWorkload final : public Workload {
 public:
  std::string_view name() const override { return "all_to_all"; }
  std::string_view op_name(ReduceOp) const override { return "none"; }
  double bus_factor(int ranks) const override { return static_cast<double>(ranks - 1) / ranks; }

  // Blocks are cut down to whole 16 bytes, as nccl-tests does, so that the rows can be compared.
  RowShape shape(std::size_t bytes, std::size_t element_bytes, int ranks) const override {
    const auto n = static_cast<std::size_t>(ranks);
    const std::size_t alignment = 16 / element_bytes;
    const std::size_t block = bytes / element_bytes / n / alignment * alignment;
    return {block * n, block};
  }
  Status run(Communicator& communicator, const Operation& operation) override {
    return communicator.all_to_all(operation.input, operation.output,
                                   operation.shape.count * size_of(operation.type));
  }
  void fill(void* input, const Operation& operation, std::uint64_t repetition, int rank, int ranks) override {
    fill_moved(input, operation, repetition, rank);
  }
  std::size_t count_wrong(const Operation& operation, std::uint64_t repetition, int rank,
                          int ranks) override {
    const std::size_t block = operation.shape.count;
    std::size_t wrong = 0;
    for (int from = 0; from < ranks; ++from) {
      const auto* data = static_cast<const char*>(operation.output) +
                         static_cast<std::size_t>(from) * block * size_of(operation.type);
      wrong += count_wrong_moved(data, block, operation, repetition, from,
                                 static_cast<std::uint64_t>(rank) * block);
    }
    return wrong;
  }
};

}  // namespace

std::unique_ptr<Workload> make_all_to_all_workload() {
  return std::make_unique<AllToAllWorkload>();
}

}  // namespace weft::bench
